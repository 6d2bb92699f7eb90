#!/usr/bin/env bats
# The README is a promise: what it says to paste runs as it stands.

load lib

# Its shell blocks without the lines that build, test or want a data set.  (recipes.bats has
# those with other programs.)
readme() {
	awk '/^## / { other = /other programs/ } /^```sh/ { on = 1; next } /^```/ { on = 0 } on && !other' \
		"$BATS_TEST_DIRNAME/../../README.md" |
		grep -v -e '^\./scripts/' -e '^make '
}

@test "the README's pipelines run as they stand" {
	printf 'id,f0,f1\n1,0.5,1\n2,0.1,0\n3,-1,2\n' >users.csv
	printf 'src,dst\n1,2\n2,3\n3,1\n1,3\n' >follows.csv
	printf 'id,label\n1,0\n2,1\n3,1\n' >labels.csv
	printf 'id,f0,f1\n7,0.5,1\n8,0.1,0\n1,-1,2\n' >new-users.csv
	readme >readme.sh
	grep -q rn-train readme.sh
	bash -euo pipefail readme.sh >out
	grep -q '^100 epochs' out
	grep -q '^id,z0,z1$' out
	[ -s model.rnm ]
	[ -s logits.json ]
	[ "$(rn-cat --no-header predictions.er | wc -l)" = 2 ] # whom user 1 follows
}

@test "every program that the README names is there" {
	for p in $(grep -oE '\brn-[a-z]+\b' "$BATS_TEST_DIRNAME/../../README.md" | sort -u); do
		"$p" --help >/dev/null
	done
}

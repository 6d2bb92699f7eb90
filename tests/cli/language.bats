#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# docs/language.md is a promise: its programs run as they stand, in the order of the page and
# in one folder, and write what it says that they write.

load lib

page="$BATS_TEST_DIRNAME/../../docs/language.md"

# Its blocks as 001.sh, 002.relnn, 003.csv, …
blocks() {
	awk '/^```[a-z]/ { kind = substr($0, 4); n++; name = sprintf("%03d.%s", n, kind); printf "" >name; on = 1; next }
		/^```/ { on = 0 } on { print >name }' "$page"
}

@test "the programs of docs/language.md run" {
	local programs=0 results=0
	blocks
	for b in [0-9]*.*; do
		case $b in
		*.sh)
			bash -euo pipefail "$b"
			;;
		*.relnn)
			rm -f P.csv
			programs=$((programs + 1))
			name=$(sed -n '1s/^# file: //p' "$b")
			[ -z "$name" ] || cp "$b" "$name"
			if ! rn-train "$b" >out 2>&1 || grep -q warning out; then
				cat "$b" out
				return 1
			fi
			;;
		*.csv)
			results=$((results + 1))
			diff "$b" <(head -n "$(wc -l <"$b")" P.csv)
			;;
		esac
	done
	[ "$programs" -ge 15 ]
	[ "$results" -ge 2 ]
}

@test "what the tutorial trains learns something" {
	blocks
	bash -euo pipefail 001.sh
	for b in [0-9]*.sh; do
		grep -q meta.csv "$b" && bash -euo pipefail "$b"
	done
	for b in $(grep -l 'name="test"' [0-9]*.relnn); do
		accuracy=$(rn-train "$b" --json -q | member test)
		awk -v a="$accuracy" -v b="$b" 'BEGIN { print b, a; exit !(a > 0.6) }'
	done
}

@test "rn-compile takes every program of the page to a spec and back" {
	blocks
	bash -euo pipefail 001.sh
	printf 'ts,rel,tt\nAuthor,Wrote,Paper\nPaper,WrittenBy,Author\nTerm,In,Paper\nPaper,Has,Term\n' >meta.csv
	seq 0 11 | sed '1i term' >term.csv
	for b in [0-9]*.relnn; do
		rn-compile "$b" -q -o a.json
		rn-compile a.json --to relnn -o flat.relnn
		rn-compile flat.relnn -q | diff a.json -
	done
}

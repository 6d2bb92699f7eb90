#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Training within --mem: what fits runs, what does not is refused before the first epoch.

load lib

# Three hidden layers of 4,000 rows, each a megabyte.
layers() {
	{
		echo id,x0,x1,x2,x3,label
		seq 4000 | awk '{ print $1 "," $1 % 7 "," $1 % 5 "," $1 % 3 "," $1 % 11 "," $1 % 2 }'
	} >t.csv
	cat >m.relnn <<-'E'
		?source T = "t.csv" <key="id", emb="x0,x1,x2,x3"> .
		L1(v; tanh(Linear(4, 64)(z))) :- T(v; z) .
		L2(v; Linear(64, 64)(Dropout(0.5)(tanh(z)))) :- L1(v; z) .
		L3(v; Linear(64, 64)(Dropout(0.5)(tanh(z)))) :- L2(v; z) .
		L4(v; Linear(64, 2)(Dropout(0.5)(tanh(z)))) :- L3(v; z) .
		?fit <epochs=3, lr=0.01> Loss(; CrossEntropyLoss()(z, [label])) :- L4(v; z), T(v, label) .
	E
}

bits() {
	rn-train -q m.relnn --json "$@" | sed 's/.*"bits": "\([^"]*\)".*/\1/'
}

# The size that the last refusal asks for.
wanted() {
	local x=${stderr#*; it wants --mem }
	echo "${x%%,*}"
}

@test "a fit that needs more than --mem is refused before it begins" {
	layers
	fails_with 4 rn-train -q m.relnn --mem 2M --log log -o m.rnm
	[[ $stderr == "rn-train: fit 'Loss' needs "*"K, more than --mem 2M: "*"K for results, "*"K for constants, \
"*"K for index arrays, "*"K for parameters; the largest results at once: '"*"' (map) 1000K, "*" (map) 1000K; \
it wants --mem "*"K, or fewer rows or narrower embeddings there" ]]
	[ ! -s log ]
	[ ! -e m.rnm ]
	[ "$(bits --mem "$(wanted)")" = "$(bits)" ]
}

@test "what is cheap is computed again where that makes a fit fit" {
	layers
	fails_with 4 rn-train -q m.relnn --mem 2M
	less=$(wanted)
	fails_with 4 rn-train -q m.relnn --mem 2M --no-rewrite recompute
	[[ $stderr == *"K, less without --no-rewrite recompute, or fewer rows"* ]]
	more=$(wanted)
	((${less%K} < ${more%K}))
	fails_with 4 rn-train -q m.relnn --mem "$less" --no-rewrite recompute
	[ "$(bits --mem "$less")" = "$(bits --mem "$more" --no-rewrite recompute)" ]
}

@test "a staged fit is refused, too" {
	layers
	fails_with 4 rn-train -q m.relnn --mem 2M --placement staged
	[[ $stderr == "rn-train: fit 'Loss' needs "*", more than --mem 2M: "* ]]
}

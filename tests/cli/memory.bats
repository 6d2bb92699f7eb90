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

@test "a staged fit is refused, too, and computes again what is cheap" {
	layers
	fails_with 4 rn-train -q m.relnn --mem 2M --placement staged
	[[ $stderr == "rn-train: fit 'Loss' needs "*", more than --mem 2M: "* ]]
	less=$(wanted)
	fails_with 4 rn-train -q m.relnn --mem 2M --placement staged --no-rewrite recompute
	more=$(wanted)
	((${less%K} < ${more%K}))
	[ "$(bits --mem "$less" --placement staged)" = "$(bits)" ]
}

# A fit of ten rows, and runs over 400,000 of 64 numbers, each result 98 MB.
large_and_small() {
	seq 400000 | awk 'BEGIN { print "id,x,label" } { print $1 "," $1 % 7 "," $1 % 2 }' >t.csv
	cat >m.relnn - <<-'E'
		?source T = "t.csv" <key="id"> .
		A(v; tanh(Linear(1, 64)([x]))) :- T(v, x, label) .
		B(v; tanh(Linear(64, 64)(z))) :- A(v; z) .
		O(v; Linear(64, 2)(z)) :- B(v; z) .
		?fit <epochs=2> L(; CrossEntropyLoss()(z, [label])) :- O(v; z), T(v, x, label), v < 11 .
	E
	printf '%s\n' "$@" >>m.relnn
}

# refused WHO LEAST: by both placements, before the first epoch, for want of more than LEAST MB.
refused() {
	for placement in fused staged; do
		fails_with 4 rn-train -q m.relnn --mem 120M --placement $placement --log log -o m.rnm
		[[ $stderr == "rn-train: $1 needs "*"M, more than --mem 120M: "*" for results, "*"'A/map' (map) 98M, \
'B' (map) 98M"*"; it wants --mem "*"M, or fewer rows"* ]]
		[ ! -s log ]
		[ ! -e m.rnm ]
		size=$(wanted)
		[ "${size%M}" -gt "$2" ]
	done
}

# suffices FUSED STAGED: what they say they want does, and what is taken is little more (MB): the
# programs themselves, and the relations.
suffices() {
	for placement in fused staged; do
		fails_with 4 rn-train -q m.relnn --mem 120M --placement $placement
		size=$(wanted)
		run --separate-stderr rn-train -q m.relnn --json --mem "$size" --placement $placement
		[ "$status" = 0 ]
		peak=$(sed 's/.*"peak_bytes": \([0-9]*\).*/\1/' <<<"$output")
		echo "$placement: $size wanted, $((peak >> 20))M taken"
		# The sanitizers take memory of their own.
		[ "${RN_VARIANT:-release}" != release ] || ((peak >> 20 < $1))
		shift
	done
}

EVAL='?eval <name="e", metric="accuracy", target="label"> E(v, label; z) :- O(v; z), T(v, x, label) .'
VAL='?val <metric="accuracy", target="label"> V(v, label; z) :- O(v; z), T(v, x, label) .'
PRED='?pred P(v; z) :- O(v; z) .'

@test "an evaluation that needs more than --mem is refused before the first epoch" {
	large_and_small "$EVAL"
	refused "eval 'E'" 195
	suffices 250 280
}

@test "a validation that needs more than --mem is refused before the first epoch" {
	large_and_small "$VAL"
	refused "val 'V'" 195
	suffices 250 280
}

@test "a prediction that needs more than --mem is refused before the first epoch" {
	large_and_small "$PRED"
	refused "pred 'O'" 195
	suffices 250 280
}

@test "a prediction with a value per edge is refused before the first epoch, not when it is made" {
	layers
	awk 'BEGIN { print "s,t"; for (i = 0; i < 100000; i++) print 1 + i % 4000 "," 1 + i * 7 % 4000 }' >e.csv
	cat >>m.relnn <<-'E'
		?source Edge = "e.csv" .
		S(v; sum(tanh(z * y))) :- Edge(v, w), L1(w; z), L1(v; y) .
		?pred <to="p.csv"> P(v; z) :- S(v; z) .
	E
	fails_with 4 rn-train -q m.relnn --mem 20M --log log
	[[ $stderr == "rn-train: pred 'S' needs "*"M, more than --mem 20M: "* ]]
	[ ! -s log ]
	rn-train -q m.relnn --mem "$(wanted)"
	[ -s p.csv ]
}

@test "metrics without a fit, and those of a model, that need more than --mem are refused" {
	large_and_small "$EVAL"
	sed -i '/^?fit/d' m.relnn
	fails_with 4 rn-train -q m.relnn --mem 120M
	[[ $stderr == "rn-train: eval 'E' needs "*"M, more than --mem 120M: "*"'B' (map) 98M"*"; it wants --mem "*"M, or "* ]]
	rn-train -q m.relnn --mem "$(wanted)" --json -o m.rnm >out
	fails_with 4 rn-eval m.rnm --mem 120M
	[[ $stderr == "rn-eval: eval 'E' needs "*"M, more than --mem 120M: "*"'B' (map) 98M"*"; it wants --mem "*"M, or "* ]]
	[ "$(rn-eval m.rnm --mem "$(wanted)" --json | member e)" = "$(member e <out)" ]
	# What is predicted beside them is sized, too, and made when they are gone.
	printf '%s\n' "$PRED" >>m.relnn
	fails_with 4 rn-train -q m.relnn --mem 120M
	rn-train -q m.relnn --mem "$(wanted)" --json >again
	[ "$(member e <again)" = "$(member e <out)" ]
	[ -s P.csv ]
}

@test "a second fit that needs more than --mem is refused before the first one" {
	large_and_small '?fit <epochs=2> L2(; CrossEntropyLoss()(z, [label])) :- O(v; z), T(v, x, label) .'
	refused "fit 'L2'" 290
	suffices 350 480
}

@test "runs that are not at work at the same time share memory" {
	large_and_small "$VAL" "${EVAL/\"e\"/\"e2\"}" "$EVAL" "$PRED"
	suffices 260 460 # staged: what the processes had is added, though they are gone before the evaluations
	fails_with 4 rn-train -q m.relnn --mem 205M
	[[ $stderr == *"for the other runs"* ]]
}

@test "what is there beside a fit counts, and lets it compute again what is cheap" {
	layers
	fails_with 4 rn-train -q m.relnn --mem 2M --no-rewrite recompute
	more=$(wanted) # for the fit alone, with all that it could keep
	cat >>m.relnn <<-'E'
		?eval <name="e", metric="accuracy", target="label"> E(v, label; z) :- L4(v; z), T(v, label) .
	E
	fails_with 4 rn-train -q m.relnn --mem "$more" --no-rewrite recompute
	[[ $stderr == "rn-train: fit 'Loss' needs "*" for the other runs; "*", less without --no-rewrite recompute, "* ]]
	[ "$(bits --mem "$more")" = "$(bits)" ]
	[ -n "$(bits)" ]
}

@test "peak_bytes is of the program itself, however large is what started it" {
	layers
	for placement in fused staged; do
		peak=$(python3 - rn-train -q m.relnn --json --placement $placement <<-'E'
			import os, sys
			large = b"x" * (300 << 20)
			os.execvp(sys.argv[1], sys.argv[1:])
		E
		)
		peak=$(sed 's/.*"peak_bytes": \([0-9]*\).*/\1/' <<<"$peak")
		((peak > 1 << 20 && peak < 200 << 20))
	done
}

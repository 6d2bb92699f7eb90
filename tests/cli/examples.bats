#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The examples: programs compile, their model.json is what they compile to and has the same bits, the number
# of parameters, and the same bits staged, with one thread and with two.  With RN_DATA, the folder of data
# sets, or ../shared/data.

load lib

DATA=${RN_DATA:-$RN_ROOT/../shared/data}

# The examples in a tree of their own, as their sources are ../../../shared/data.
setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	mkdir -p main shared
	cp -r "$RN_ROOT/examples" main/examples
	ln -s "$(realpath -m "$DATA")" shared/data
	cd main/examples || return 1
}

needs() {
	[ -e "$DATA/$1" ] || skip "no $DATA/$1: set RN_DATA to the folder of data sets"
}

# bits THREADS FILE OPTION...: of two epochs
bits() {
	rn-train "${@:2}" --epochs 2 --threads "$1" --output-dir . --json -q >out && member bits <out
}

# same_bits FILE...: each of them and staged as the first one in one process
same_bits() {
	local file want
	want=$(bits 1 "$1")
	for file; do
		[ "$(bits 2 "$file")" = "$want" ]
	done
	[ "$(bits 1 "$1" --placement staged --stages 4)" = "$want" ]
	[ "$(bits 2 "$1" --placement staged --stages 4)" = "$want" ]
}

# example NAME DATA-FOLDER PARAMETERS
example() {
	[ "$2" = - ] || needs "$2"
	cd "$1" || return 1
	rn-compile model.relnn | diff model.json -
	same_bits model.relnn model.json
	[ "$(member parameters <out)" = "$3" ]
	[ "$(run_make . json MORE="--epochs 2")" = "$(member bits <out)" ]
	cd .. || return 1
}

# run_make NAME TARGET [SETTING...]: the bits of its JSON line
run_make() {
	make -s -C "$1" "${@:2}" BIN="$RN_BIN" RN_DATA="$DATA" RUNS=1 OUT="$PWD/made" | tail -n 1 | member bits
}

# The pipeline has the bits of the program.
spellings_agree() {
	[ "$(run_make "$1" pipeline)" = "$(run_make "$1" train)" ]
}

@test "gcn-cora, gcn-citeseer: the three spellings have the same bits" {
	for i in cora:23040 citeseer:59344; do
		example "gcn-${i%:*}" "${i%:*}" "${i#*:}"
		spellings_agree "gcn-${i%:*}"
	done
}

@test "gcn-cora: so has a spec that was written by hand" {
	needs cora
	cp "$RN_ROOT/tests/golden/spec/gcn-cora.json" hand.json
	[ "$(bits 2 hand.json --set data="$(realpath "$DATA/cora")")" = "$(bits 2 gcn-cora/model.json)" ]
}

@test "hgt-dblp-1l: one edge type reaches the authors" {
	example hgt-dblp-1l dblp 313287
}

@test "hgt-dblp-2l: a softmax over all types" {
	example hgt-dblp-2l dblp 382993
}

@test "hgt-dblp-best" {
	example hgt-dblp-best dblp 384145
}

@test "hgnn, three hypergraphs" {
	example hgnn-coauthorship-cora hypergraph/coauthorship_cora 46119
	example hgnn-cocitation-cora hypergraph/cocitation_cora 46119
	example hgnn-cocitation-citeseer hypergraph/cocitation_citeseer 118726
	for i in coauthorship-cora cocitation-cora cocitation-citeseer; do
		spellings_agree "hgnn-$i"
	done
}

@test "hygnn-coauthorship-cora" {
	example hygnn-coauthorship-cora hypergraph/coauthorship_cora 251527
	spellings_agree hygnn-coauthorship-cora
}

@test "link-cora: held-out links reach the network in neither direction" {
	example link-cora cora 46368
	{
		cat link-cora/model.relnn
		echo '?pred <to="edge.csv"> E(s, t) :- Edge(s, t) .
			?pred <to="held.csv"> H(s, t, test) :- Held(s, t, test) .
			?pred <to="pair.csv"> P(s, t, test, y) :- Pair(s, t, test, y) .
			?pred <to="learnt.csv"> L(s, t, y) :- Learnt(s, t, y) .'
	} >link-cora/all.relnn
	rn-train link-cora/all.relnn --epochs 1 --set split=3 --output-dir . -q
	grep -q 'sum(a \* h).*Adj(s, t; a)' link-cora/model.relnn
	awk -F, '
		function fail(what) { print what ": " $0; failed = 1 }
		FNR == 1 { file++; next }
		file == 1 { cites[$1, $2]; links++ }
		file == 2 { edge[$1, $2]; $1 == $2 ? own++ : kept++ }
		file == 2 && $1 != $2 && !(($1, $2) in cites) { fail("no link") }
		file == 3 { held[$1, $2] = held[$2, $1] = $3; n[$3] += 2 }
		file == 3 && !(($1, $2) in cites) { fail("not held out of the links") }
		file == 3 && (($1, $2) in edge || ($2, $1) in edge) { fail("leaks") }
		file == 4 && $4 == 1 && (!(($1, $2) in held) || held[$1, $2] != $3) { fail("not held out") }
		file == 4 && $4 == 0 && (($1, $2) in cites || $1 == $2) { fail("known") }
		file == 4 { pairs[$3, $4]++ }
		file == 5 && ($3 == 1) != (($1, $2) in edge) { fail("not as the edges say") }
		END {
			if (own != 2708 || kept + n["true"] + n["false"] != links || links != 10556 ||
			    n["false"] != 2 * 264 || n["true"] != 2 * 528 || pairs["false", 1] != 264 ||
			    pairs["true", 1] != 528 || pairs["false", 0] < 260 || pairs["true", 0] < 520 || file != 5)
				fail(own " " kept " " n["true"] " " n["false"] " " pairs["false", 0] " " pairs["true", 0])
			exit failed
		}' "$DATA/cora/cites.csv" edge.csv held.csv pair.csv learnt.csv
}

# Lines of a program without blank ones and comments, and of these all but constants and sources; of
# the Python beside it without blank ones and comments.
@test "the READMEs count the lines as they are" {
	for i in */model.relnn; do
		sed 's/#.*//' "$i" | grep '[^[:space:]]' >lines
		sed -n '/^```python/,/^```$/p' "${i%/*}/README.md" | sed '/^```/d; s/#.*//' | grep '[^[:space:]]' >python
		for n in "$(wc -l <lines)" "$(grep -cvE '^\?source|^[a-z_]+ = [^(]*\.' lines)" "$(wc -l <python)"; do
			echo "| $n |"
		done >want
		sed -n '/^## Lines/,/^```/p' "${i%/*}/README.md" | grep -o '| [0-9]* |$' | diff want - || { echo "$i"; return 1; }
	done
}

@test "karate" {
	cd karate
	same_bits model.json
	cd ..
	spellings_agree karate
}

@test "rgcn" {
	example rgcn - 33716
	cp rgcn/*.csv .
	rgcn/generate.sh
	for i in triple node relation; do
		cmp "$i.csv" "rgcn/$i.csv"
	done
}

@test "dhn-csl: three signatures with walks of 4 steps" {
	needs csl
	! too_many dhn-csl || skip "too many graphs for ThreadSanitizer"
	example dhn-csl csl 25610
	[ "$(rn-train dhn-csl/model.relnn --set most=4 --epochs 30 --threads 1 --output-dir . --json -q |
		member train)" = 0.3 ]
	want=$(rn-train dhn-csl/model.relnn --set most=3 --epochs 2 --threads 1 --output-dir . --json -q | member bits)
	(cd dhn-csl && MOST=3 EPOCHS=2 RN_DATA=$DATA ./pipeline.sh | member bits) >got
	[ "$(cat got)" = "$want" ]
}

@test "dhn-exp" {
	! too_many dhn-exp || skip "too many graphs for ThreadSanitizer"
	example dhn-exp exp 13402
}

@test "dhn-sr25" {
	example dhn-sr25 sr25 24345
}

@test "gcn-csl, gcn-exp, gcn-sr25: at chance" {
	needs csl
	needs exp
	needs sr25
	example gcn-csl csl 1018
	example gcn-exp exp 882
	example gcn-sr25 sr25 1103
	make -s -C gcn-csl BIN="$RN_BIN" RN_DATA="$DATA" RUNS=1 OUT="$PWD/out" | tee csl.json
	[ "$(tail -n 1 csl.json | member test)" = 0.1 ]
	make -s -C gcn-exp BIN="$RN_BIN" RN_DATA="$DATA" RUNS=1 OUT="$PWD/out" MORE='--epochs 3' | tee exp.json
	[ "$(tail -n 1 exp.json | member test)" = 0.5 ]
	make -s -C gcn-sr25 BIN="$RN_BIN" RN_DATA="$DATA" RUNS=1 OUT="$PWD/out" | tee sr25.json
	[[ $(tail -n 1 sr25.json | member train) == 0.0666* ]]
}

@test "make pipeline says where there is none" {
	! make -s -C rgcn BIN="$RN_BIN" OUT="$PWD/out" pipeline 2>err
	[ "$(head -n 1 err)" = "rgcn is not written as a pipeline, only as model.relnn model.json" ]
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The staged placement: for everything that can be trained the same bytes as fused, whatever the number of
# stages and of threads; a run that is resumed in the other placement ends in the same bits.

load lib

PLACES=('-t 2' '--placement staged -t 1' '--placement staged -t 2' '--placement staged --stages 2 -t 1'
	'--placement staged --stages 3 -t 2')

# trained DIR OPTION...: model, predictions, and the numbers of the log.
trained() {
	local dir=$1
	shift
	mkdir -p "$dir"
	rn-train "$@" --output-dir "$dir" --log "$dir/log" -o "$dir/m.rnm" --no-history --json -q >"$dir/result"
	member bits <"$dir/result" >"$dir/bits"
	[ "$(wc -c <"$dir/bits")" = 17 ]
	sed -i 's/,"ms":[^}]*//' "$dir/log"
	rm "$dir/result"
}

# same_everywhere OPTION...: of rn-train
same_everywhere() {
	local i=0 where
	trained fused "$@" -t 1
	[ -s fused/log ]
	for where in "${PLACES[@]}"; do
		i=$((i + 1))
		# shellcheck disable=SC2086
		trained "other$i" "$@" $where
		diff -r fused "other$i" || { echo "differs: $where"; return 1; }
	done
	rm -r fused other*
}

# Authors and their papers.
library() {
	awk 'BEGIN {
		srand(5); print "author,f,split" >"author.csv"; print "paper,year" >"paper.csv"
		print "author,paper" >"writes.csv"; print "paper,term" >"has_term.csv"
		for (a = 0; a < 24; a++)
			print a "," a % 3 "," (a % 4 == 3 ? "test" : a % 4 == 2 ? "val" : "train") >"author.csv"
		for (p = 0; p < 30; p++) {
			print p "," 2000 + p % 20 >"paper.csv"
			for (k = 0; k < 3; k++) print p "," (p % 3) * 4 + int(rand() * 4) >"has_term.csv"
			for (k = 0; k < 2; k++) print (p % 3 + 3 * int(rand() * 8)) % 24 "," p >"writes.csv"
		}
	}'
	seq 0 11 | sed '1i term' >term.csv
}

SOURCES='?source Author = "author.csv" <key="author"> .
?source Paper = "paper.csv" <key="paper"> .
?source Writes = "writes.csv" .
?source Has = "has_term.csv" .
?stage Term = encode <expr="index(term, 12)"> (Has) .
X(p; sum(z)) :- Term(p; z) .'

RUNS='?fit <epochs=15, lr=0.05> Loss(; CrossEntropyLoss()(z, [f])) :- Out(a; z), Author(a, f, "train") .
?val <metric="accuracy", target="f"> Val(a, f; z) :- Out(a; z), Author(a, f, "val") .
?eval <name="test", metric="f1_macro", target="f"> Test(a, f; z) :- Out(a; z), Author(a, f, "test") .
?pred P(a, [ArgMax(z)]) :- Out(a; z) .'

# program RULE...: with the sources and runs that most tests share.
program() {
	library
	printf '%s\n' "$SOURCES" "$@" "$RUNS" >m.relnn
}

@test "dropout, sparse inputs, optional atoms, several predictions" {
	program 'H(p; Dropout(0.3)(ReLU()(Linear(12, 8)(z)))) :- X(p; z) .' \
		'Out(a; mean(Linear(8, 3)(z))) :- Author(a), ?Writes(a, p), ?H(p; z) .' \
		'?pred Q(p; z) :- H(p; z) .'
	same_everywhere m.relnn
}

@test "attention of several heads" {
	program 'K<i> = Linear(8, 4) .' 'Q<i> = Linear(8, 4) .' 'V<i> = Linear(8, 4, False) .' \
		'H(p; Linear(12, 8)(z)) :- X(p; z) .' 'A0(a; mean(z)) :- Writes(a, p), H(p; z) .' \
		'Score<i>(p, a; dot(Q<i>(y), K<i>(z)) / sqrt(4)) :- Writes(a, p), H(p; z), A0(a; y) .' \
		'Head<i>(a; sum(softmax(s; a) * V<i>(z))) :- Score<i>(p, a; s), H(p; z) .' \
		'Heads(a; Concat(*z)) :- Join(Set(Head<i>(a; z) | 1 <= i, i <= 3)) .' \
		'Out(a; Linear(12, 3)(z)) :- Heads(a; z) .'
	same_everywhere m.relnn
}

@test "batch normalisation, layer normalisation, max" {
	program 'H(p; BatchNorm1d(8)(Linear(12, 8)(z))) :- X(p; z) .' \
		'Out(a; Linear(8, 3)(LayerNorm(8)(z))) :- G(a; z) .' \
		'G(a; max(tanh(z))) :- Writes(a, p), H(p; z) .'
	same_everywhere m.relnn
}

@test "an output that feeds several stages, and a parameter that several use" {
	program 'W = Linear(8, 8) .' 'H(p; Linear(12, 8)(z)) :- X(p; z) .' 'G(a; mean(z)) :- Writes(a, p), H(p; z) .' \
		'B(p; mean(W(z))) :- Writes(a, p), G(a; z) .' \
		'Out(a; mean(Linear(8, 3)(W(x) + gelu(y) * z))) :- Writes(a, p), B(p; x), H(p; y), G(a; z) .'
	same_everywhere m.relnn
}

@test "learned vectors, several fits, and what is asked between them" {
	program 'E(p; Embedding(30, 6)([p])) :- Paper(p) .' \
		'Out(a; mean(Linear(6, 3)(z))) :- Writes(a, p), E(p; z) .' \
		'Y(p; Linear(6, 1)(z)) :- E(p; z) .' \
		'?fit <epochs=9, optimizer="sgd", lr=0.1> Old(; MSELoss()(z, ([y] - 2010) / 10)) :- Y(p; z), Paper(p, y) .' \
		'?eval <name="early", metric="mae", target="y"> Early(p, y; z) :- Y(p; z), Paper(p, y) .' \
		'?pred Before(p; z) :- Y(p; z) .'
	same_everywhere m.relnn
}

@test "fitted encoders" {
	library
	cat >m.relnn <<-'END'
		?source A = "author.csv" <key="author"> .
		H(a, f; Linear(8, 3)(Concat([a] / 24, [a, OneHot(split), Category(2)(split)]))) :- A(a, f, split) .
		?fit <epochs=12> L(; CrossEntropyLoss()(z, [f])) :- H(a, f; z) .
		?pred Q(a, f; z) :- H(a, f; z) .
	END
	same_everywhere m.relnn
}

@test "a loss and a validation that are constants, as a factor of 0 makes them" {
	library
	cat >m.relnn <<-'END'
		?source P = "paper.csv" <key="paper"> .
		W = Tensor(1, 1, 1.0) .
		?fit <epochs=3> L(; MSELoss()(0 * Linear(1, 1)([y] / 2010), [y] / 2010)) :- P(p, y) .
		?val <metric="rmse", target="y"> V(p, y; 0 * z) :- L2(p, y; z) .
		L2(p, y; W * [p]) :- P(p, y) .
		?fit <epochs=3> Next(; z) :- L2(p, y; z) .
	END
	same_everywhere m.relnn
}

@test "negatives, and metrics of each query" {
	seq 0 11 | sed '1i id' >nodes.csv
	{ echo u,v; for u in $(seq 0 11); do echo "$u,$(((u + 1) % 12))"; echo "$u,$(((u + 11) % 12))"; done; } >edges.csv
	cat >m.relnn <<-'END'
		?source nodes = "nodes.csv" <key="id"> .
		?source edges = "edges.csv" .
		?stage pairs = negative <col="v", per=2, label="y"> (edges, candidates=nodes) .
		E(n; Embedding(12, 4, name="e")([n])) :- nodes(n) .
		S(u, v, y; rowsum(a * b)) :- pairs(u, v, y), E(u; a), E(v; b) .
		?fit <epochs=25, lr=0.1> L(; BCEWithLogitsLoss()(view(1)(z), [y])) :- S(u, v, y; z) .
		?val <metric="mrr", target="y", group="u", patience=8, every=2> V(u, y; z) :- S(u, v, y; z) .
		?eval <name="hits", metric="hits@2", target="y", group="u"> T(u, y; z) :- S(u, v, y; z) .
		?pred P(u, v; z) :- S(u, v, y; z) .
	END
	same_everywhere m.relnn
}

@test "a weight matrix per value" {
	printf 's,t,r,y\n1,1,a,0\n2,1,b,1\n3,2,a,0\n4,3,c,1\n2,3,a,1\n' >e.csv
	for more in '' '--bases 2'; do
		# shellcheck disable=SC2086
		rn-scan e.csv --emb s,t | rn-linear 4 --per r $more --name h | rn-map 'ReLU(z)' --name a |
			rn-linear 2 --name out | rn-loss cross-entropy --target y -o l.er
		same_everywhere l.er --epochs 12
	done
}

@test "values of some megabytes, which one process makes again" {
	awk 'BEGIN { print "id,a,b,y" >"points.csv"; print "s,t" >"edges.csv"
		for (i = 0; i < 70000; i++) {
			print i "," i % 97 / 97 "," i % 89 / 89 "," i % 3 >"points.csv"
			print i "," (i * 9973 + 1) % 70000 "\n" i "," i >"edges.csv"
		}
	}'
	cat >m.relnn <<-'END'
		?source P = "points.csv" <key="id"> .
		?source E = "edges.csv" .
		H(p; Linear(2, 64)([a, b])) :- P(p, a, b, y) .
		S(t; sum(z)) :- E(s, t), H(s; z) .
		G(p; Linear(64, 64)(Dropout(0.5)(ReLU()(z)))) :- S(p; z) .
		T(t; sum(z)) :- E(s, t), G(s; z) .
		Out(p; Linear(64, 3)(z)) :- T(p; z) .
		?fit <epochs=2> L(; CrossEntropyLoss()(z, [y])) :- Out(p; z), P(p, a, b, y), a < 0.95 .
	END
	same_everywhere m.relnn
	# What stages share is told once: bytes of the fit; the most of a stage.
	rn-train m.relnn --epochs 1 -v 2>&1 | sed -n "s/^rn-train: fit 'L':.* \([0-9]*\) bytes$/\1/p" >fused
	rn-train m.relnn --epochs 1 -v --placement staged 2>&1 |
		sed -n "s/^rn-train: \(fit 'L'\|stage . of .\)[:,].* \([0-9]*\) bytes\(, linked.*\)*$/\2/p" >staged
	awk 'NR == FNR { fused = $1; next } { last = $1; n++; sum += $1 }
		END { exit !(n > 4 && sum - last < 10e6 && last > fused && last < 1.5 * fused) }' fused staged
}

@test "stages run the instructions of the fused placement; kept apart only where one has a device of its own" {
	local fused
	points
	cat >m.relnn <<-'END'
		?source P = "points.csv" <key="id", emb="a,b"> .
		A(p; Linear(2, 8)(z)) :- P(p; z) .
		B(p; tanh(z) * 2) :- A(p; z) .
		C(p; ReLU()(z) + 1) :- B(p; z) .
		D(p; Linear(8, 1)(sigmoid(z))) :- C(p; z) .
		?fit <epochs=3> L(; MSELoss()(z, [a])) :- D(p; z), P(p, a, b) .
	END
	# told OPTION...: instructions of the fit; then its stages
	told() {
		rn-train m.relnn -v "$@" 2>&1 | sed -n "s/^rn-train: fit 'L': \([0-9]*\) instr.*/\1/p; \
			s/^rn-train: stage . of ., '\([^']*\)': process [0-9]*, [0-9]* instr.*/\1/p" | sort | xargs
	}
	fused=$(told)
	[[ $fused =~ ^[0-9]+$ ]]
	[ "$(told --placement staged)" = "$fused A B D L" ]
	[ "$(told --placement staged --stages 2)" = "$fused A, B D, L" ]
	[[ $(told --placement staged --device-map C=cpu) =~ ^([0-9]+)" A B C D L"$ ]]
	[ "${BASH_REMATCH[1]}" -gt "$fused" ]
	same_everywhere m.relnn
	[ "$(rn-train m.relnn --json -q --placement staged --device-map C=cpu | member bits)" = \
		"$(rn-train m.relnn --json -q | member bits)" ]
}

@test "optimizers, schedules, clipping, decay, and several seeds" {
	points
	for o in '--optimizer sgd --momentum 0.9 --clip 0.5 --schedule step --period 4' \
		'--optimizer adamw --weight-decay 0.1 --schedule cosine --warmup 3 --clip-value 0.01' \
		'--decay h*=0.01 --schedule exponential --patience 3 --val-every 2' '--runs 2 --seed 3'; do
		# shellcheck disable=SC2086
		same_everywhere model.json --epochs 12 $o
	done
	rn-train model.json --epochs 2 -q --weights-out w
	same_everywhere model.json --epochs 7 --weights-in w
}

@test "checkpoints go on in either placement" {
	program 'H(p; Dropout(0.3)(BatchNorm1d(8)(Linear(12, 8)(z)))) :- X(p; z) .' \
		'Out(a; mean(Linear(8, 3)(z))) :- Writes(a, p), H(p; z) .'
	trained whole m.relnn
	for first in fused staged; do
		rm -rf a
		trained a m.relnn --placement $first --checkpoint $first.rnm --checkpoint-every 4
		diff -r whole a
	done
	cmp fused.rnm staged.rnm
	for first in fused staged; do
		for then in fused staged; do
			rm -rf b
			mkdir b
			head -n 14 whole/log >b/log
			trained b m.relnn --placement $then --resume $first.rnm
			diff -r whole b
		done
	done
}

# ---- every example -----------------------------------------------------------------------------------

DATA=${RN_DATA:-$RN_ROOT/../shared/data}

# data_of EXAMPLE: the folder that it needs, or nothing
data_of() {
	case $1 in
	karate | rgcn) ;;
	link-cora) echo cora ;;
	hgt-dblp-*) echo dblp ;;
	gcn-* | dhn-*) echo "${1#*-}" ;;
	h*gnn-*) echo hypergraph ;;
	*) echo "a folder that this test does not know of" ;;
	esac
}

# example_is_same NAME: the bits of three epochs, and the checkpoint after two; then on from it.
example_is_same() {
	local dir=main/examples/$1 n t first second
	local -a train=(rn-train "$dir/model.json" --epochs 3 --json -q --output-dir "$1" --no-history)
	mkdir -p "$1"
	"${train[@]}" -t 1 --checkpoint "$1/fused.rnm" --checkpoint-every 2 | member bits >"$1/want"
	[ "$(wc -c <"$1/want")" = 17 ]
	"${train[@]}" -t 2 --placement staged --checkpoint "$1/staged.rnm" --checkpoint-every 2 | member bits | cmp - "$1/want"
	cmp "$1/fused.rnm" "$1/staged.rnm"
	"${train[@]}" -t 1 --placement staged --stages 3 --resume "$1/fused.rnm" | member bits | cmp - "$1/want"
	[ "${RN_LONG:-0}" = 1 ] || return 0
	for n in '' 1 2 3 5 8 100; do
		for t in 1 2; do
			"${train[@]}" -t $t --placement staged ${n:+--stages $n} | member bits | cmp - "$1/want"
		done
	done
	for first in fused staged; do
		for second in fused staged; do
			"${train[@]}" -t 2 --placement $second --resume "$1/$first.rnm" | member bits | cmp - "$1/want"
		done
	done
}

@test "every example has the same bits in either placement, and goes on in the other (RN_LONG=1: any number of stages)" {
	local example data skipped=''
	mkdir -p main shared
	cp -r "$RN_ROOT/examples" main/examples
	ln -s "$(realpath -m "$DATA")" shared/data
	for example in main/examples/*/model.json; do
		example=$(basename "$(dirname "$example")")
		! too_many "$example" || continue
		data=$(data_of "$example")
		if [ -n "$data" ] && [ ! -e "$DATA/$data" ]; then
			skipped+=" $example"
			continue
		fi
		example_is_same "$example" || { echo "differs: $example"; return 1; }
	done
	[ -z "$skipped" ] || skip "no data for$skipped: set RN_DATA to the folder of data sets"
}

# ---- what is told --------------------------------------------------------------------------------------

@test "-v: a line for each stage at the start, and what it did at the end" {
	points
	run -0 --separate-stderr rn-train model.json --placement staged -v
	[ "$(grep -c "^rn-train: stage [1-4] of 4, '[a-z]*': process [0-9]*, [0-9]* instructions, [0-9]* bytes, linked by [a-z ]*$" <<<"$stderr")" = 4 ]
	[ "$(grep -c "^rn-train: stage [1-4] of 4, '[a-z]*': process [0-9]*, [0-9.e+]* rows/s, busy [0-9]* %, waiting [0-9]* %, [0-9.e+]* bytes in, [0-9.e+]* bytes out, shared memory$" <<<"$stderr")" = 4 ]
	run -0 --separate-stderr rn-train model.json --placement staged --stages 2 -v
	[[ $stderr == *"stage 1 of 2, 'h"*"stage 2 of 2, '"*"loss'"* ]]
	run -0 --separate-stderr rn-train model.json --placement staged
	[ -z "$stderr" ]
}

@test "--stats: an object for each process" {
	points
	run -0 --separate-stderr rn-train model.json --placement staged --stats=json
	[ "$(grep -o '{"fit":"loss","stage":"[a-z]*","pid":[0-9]*,"steps":40,"seconds_start":[0-9.]*,"seconds":[0-9.]*,"seconds_busy":[0-9.]*,"seconds_hand_over":[0-9.]*,"rows_per_second":[0-9.]*,"bytes_in":[0-9]*,"bytes_out":[0-9]*,"peak_bytes":[0-9]*,"data":"shared memory","at_once":[0-9]*}' <<<"$stderr" | wc -l)" = 4 ]
	run -0 --separate-stderr rn-train model.json --placement staged --stats
	[ "${#stderr_lines[@]}" = 5 ]
	# 960 bytes for each of 20 steps and 2 validations.
	run -0 --separate-stderr rn-train model.json --placement staged --epochs 20 --val-every 10 --stats=json
	grep -q '"stage":"h",[^}]*"bytes_in":19200,"bytes_out":21120,' <<<"$stderr"
	run -0 --separate-stderr rn-train model.json --placement staged --epochs 1 --stats=json
	sed -n 's/.*"seconds":\([0-9.]*\),"seconds_busy":\([0-9.]*\),.*/\1 \2/p' <<<"$stderr" |
		awk '{ n++ } !($1 > 0 && $2 <= $1) { bad = 1 } END { exit bad || !n }'
	run -0 --separate-stderr rn-train model.json --placement staged --stats
	[[ ${stderr_lines[1]} == "rn-train: stage 'h' of 'loss': 40 steps, "*" s busy of "*" bytes in, "*" out, peak memory "*" bytes" ]]
}

@test "rn-explain draws the cut" {
	points
	run -0 --separate-stderr rn-explain model.json --placement staged
	[ -z "$stderr" ]
	[[ $output == *$'\npred(out) --name all --to pred.csv\n\nstaged fit(loss): 4 processes, '* ]]
	grep -q '^   1  h = linear: [0-9]* instructions, 30 rows, [0-9.e+]* flops; forward to 2 (960 bytes)' <<<"$output"
	grep -q '^   2  drop = map: .*; forward to 3 (960 bytes); back to 1 (960 bytes)' <<<"$output"
	grep -q '^   4  loss = loss: .*; back to 3 (240 bytes)$' <<<"$output"
	run -0 --separate-stderr rn-explain model.json --placement staged --stages 2
	[ "$(grep -c '^   [0-9]  ' <<<"$output")" = 2 ]
	rn-explain model.json --json | rn-explain - --placement staged --stages 1 | grep -q ' 1 process, 0 bytes between them$'
	fails_with 2 rn-explain model.json --stages 2
	says "rn-explain: --stages wants --placement staged"
	fails_with 2 rn-explain model.json --placement staged --json
	rn-scan points.csv --emb a,b -o x.er
	fails_with 2 rn-explain x.er --placement staged
	says "rn-explain: there is nothing to cut: the plan has no fit run"
}

# ---- faults ----------------------------------------------------------------------------------------------

teardown() {
	[ -z "${child-}" ] || kill -9 "$child" 2>/dev/null || true
}

# find_stages [N]: the processes of $child, once there are N (4).
find_stages() {
	for _ in $(seq 500); do
		read -ra stages < <(cat "/proc/$child/task/$child/children"; echo)
		[ ${#stages[@]} != "${1-4}" ] || return 0
		sleep 0.02
	done
	return 1
}

# A training that takes long, in the background: $child, and its stages.
slow() {
	points
	sed -i 's/"hidden": 8, "epochs": 40/"hidden": 64, "epochs": 10000000/' model.json
	rm -f log
	rn-train model.json --placement staged --log log "$@" >out 2>err </dev/null &
	child=$!
	until [ -s log ]; do
		runs
		sleep 0.02
	done
	find_stages
}

# runs: the training does; where it has ended, what it said.
runs() {
	kill -0 "$child" 2>/dev/null || { cat err && return 1; }
}

# goes_on: another epoch is logged.  Until then who is lost may have gone with what was lost before.
goes_on() {
	local last line=
	last=$(tail -n 1 log)
	until [ -n "$line" ] && [ "$line" != "$last" ]; do
		runs
		sleep 0.02
		line=$(tail -n 1 log)
	done
}

# held: how many files in memory and links the coordinator has open.
held() {
	find "/proc/$child/fd" -lname '/memfd:*' -o -lname 'socket:*' | wc -l
}

# ended N: the training ended with that status within 5 s, and none of its stages runs.
ended() {
	local begin=$SECONDS rc=0 pid
	wait "$child" || rc=$?
	[ $rc = "$1" ]
	[ $((SECONDS - begin)) -le 5 ]
	for pid in "${stages[@]}"; do
		for _ in $(seq 100); do
			[ -e "/proc/$pid" ] || break
			sleep 0.02
		done
		[ ! -e "/proc/$pid" ]
	done
}

@test "a stage that is killed, or crashes: its name, its node, what it was doing" {
	slow
	kill -9 "${stages[1]}"
	ended 1
	grep -q "^rn-train: stage 'drop' (map, process ${stages[1]}) was killed by signal 9 (Killed).* of epoch [0-9]*$" err
	slow
	kill -SEGV "${stages[3]}"
	ended 1
	# A sanitizer tells of it in words of its own.
	grep -q "^rn-train: stage 'loss' (loss, process ${stages[3]}) \(was killed by signal 11\|ended with exit code\)" err
}

@test "a stage that is stopped: after --stage-timeout" {
	slow --stage-timeout 0.3
	kill -STOP "${stages[2]}"
	ended 1
	grep -q "^rn-train: stage 'out' (linear, process ${stages[2]}) has been stopped for 0.3 s.* (--stage-timeout)$" err
	fails_with 2 rn-train model.json --stage-timeout -1
	says "rn-train: --stage-timeout must not be below 0"
}

# memory NAME: what the coordinator shares with its stages for the fit under that name, which it made
# before others of that name; fails once the coordinator is gone.
memory() {
	local fd
	for fd in $(printf '%s\n' "/proc/$child/fd/"* | sort -V); do
		[ "$(readlink "$fd")" != "/memfd:rn-$1 (deleted)" ] || { echo "$fd"; return; }
	done
	return 1
}

# scribble NAME OFFSET BYTES: as a stage gone wild might; BYTES are as of printf.
scribble() {
	local at
	at=$(memory "$1")
	# shellcheck disable=SC2059
	printf "$3" | dd of="$at" oflag=seek_bytes seek="$2" conv=notrunc status=none
}

# scribble_on ...: again and again until the training ends; it is killed where it does not.
scribble_on() {
	for _ in $(seq 150); do
		scribble "$@" 2>/dev/null || return 0
		sleep 0.1
	done
	kill -9 $child
}

@test "a stage that writes over what all of them share: that is told, and nobody crashes or waits for ever" {
	local where pass='\(the [a-z]* pass\|a validation\) of epoch [0-9]*'
	local over='some stage has written over the board that all of them share; train with --placement fused'
	slow --stage-timeout 0
	run ! scribble agenda 0 '\377'
	[[ $output == *'Operation not permitted' ]]
	# How many segments have not ended: in a pass, or between two, where that is no matter.
	scribble_on values 12 '\377\377\377\377'
	ended 70
	grep -q "^rn-train: $pass: it has not ended, and no stage has work: $over$" err
	# How many segments a segment waits for.
	slow --stage-timeout 0
	scribble_on counts 0 '\377\377\377\377\377\377\377\377\377\377\377\377'
	ended 70
	grep -q "^rn-train: $pass: it has not ended, and no stage has work: $over$" err
	# Who failed.
	for where in '\377\377\377\377 there is not' '\2\0\0\0 has not'; do
		slow --stage-timeout 0
		scribble values 24 "${where%% *}"
		ended 70
		grep -q "^rn-train: $pass: a stage is said to have failed that ${where#* }: $over$" err
	done
}

@test "a stage that is killed is noticed where SIGCHLD is ignored, too" {
	# shellcheck disable=SC2317 # slow calls it
	rn-train() { exec perl -e '$SIG{CHLD} = "IGNORE"; exec @ARGV' "$RN_BIN/rn-train" "$@"; }
	slow --stage-timeout 8
	for pid in "$child" "${stages[0]}"; do
		(((0x$(sed -n 's/^SigIgn:[[:space:]]*//p' "/proc/$pid/status") & 0x10000) == 0))
	done
	kill -9 "${stages[1]}"
	ended 1
	grep -q "^rn-train: stage 'drop' (map, process ${stages[1]}) was killed by signal 9 (Killed)" err
}

@test "a stopped stage does not hold back a signal that ends the training" {
	slow --checkpoint c.rnm
	kill -STOP "${stages[2]}"
	kill -TERM $child
	ended 1
	grep -q "^rn-train: stage 'out' (linear, process ${stages[2]}) has been stopped for 2 s.* (the training is to end)$" err
	[ ! -e c.rnm ]
	# A second signal ends it at once.
	slow --checkpoint c.rnm
	kill -STOP "${stages[2]}"
	kill -TERM $child
	sleep 0.1
	kill -TERM $child
	ended 143
	# With another try there is a checkpoint.
	slow --checkpoint c.rnm --retry 1
	kill -STOP "${stages[2]}"
	kill -TERM $child
	ended 143
	grep -q 'has been stopped for 2 s.*; trying again after epoch 0 (1 of 1)$' err
	[ -s c.rnm ]
}

@test "what is about processes wants --placement staged; --stage wants its link" {
	points
	for o in stages=2 retry=1 stage-timeout=5; do
		fails_with 2 rn-train model.json "--$o"
		says "rn-train: --${o%=*} wants --placement staged"
	done
	for fd in 0 7 99999999999; do
		fails_with 2 rn-train --stage $fd </dev/null 7>&-
		says "rn-train: --stage is for processes of --placement staged, which start with a socket there: descriptor $fd is none"
	done
}

@test "a limit on the size of files is one on shared memory" {
	points
	# shellcheck disable=SC2016
	fails_with 4 bash -c 'ulimit -f 12; rn-train model.json --set hidden=64 --placement staged'
	grep -q "^rn-train: cannot make [0-9]* bytes of memory that stages share: files may have 12288 bytes (ulimit -f); raise that limit, or train with --placement fused$" <<<"$stderr"
	bash -c 'ulimit -f 12; rn-train model.json --set hidden=64 -q'
}

@test "open files: as many as the system allows, and what to do where that is too few" {
	points
	# shellcheck disable=SC2016
	bash -c 'ulimit -Sn 12; rn-train model.json --placement staged -q'
	# shellcheck disable=SC2016
	fails_with 1 bash -c 'ulimit -n 11; rn-train model.json --placement staged -q'
	says "rn-train: 4 stage processes take 12 open files, and there may be 11 (ulimit -n): raise that limit, or have fewer of them (--stages N)"
}

@test "where memory runs out the system ends a stage before the coordinator" {
	local pid ours
	slow
	ours=$(cat "/proc/$child/oom_score_adj")
	[ "$ours" -lt 1000 ] || skip "nothing can go before these tests"
	for pid in "${stages[@]}"; do
		[ "$(cat "/proc/$pid/oom_score_adj")" = $((ours > 900 ? 1000 : ours + 100)) ]
	done
	kill $child
	ended 143
}

@test "a limit on processes" {
	[ "$(id -u)" = 0 ] || skip "only root can be a user who has no other process"
	nobody='setpriv --reuid 65533 --regid 65533 --clear-groups'
	$nobody rn-train --version >version || skip "the programs are out of that user's reach"
	points
	chmod 777 .
	$nobody test -w . || skip "this folder is out of that user's reach"
	# shellcheck disable=SC2086
	fails_with 1 $nobody bash -c 'ulimit -u 1; exec rn-train model.json --placement staged -q'
	says "rn-train: cannot start a process for stage 'h': no more are allowed (ulimit -u, or pids.max of a container): allow more, or have fewer of them (--stages N)"
}

@test "memory that processes share cannot be executed" {
	local fd n=0
	[ "$(printf '%s\n' 6.3 "$(uname -r)" | sort -V | head -n 1)" = 6.3 ] || skip "this kernel knows nothing of that"
	slow
	for fd in "/proc/$child/fd/"*; do
		[[ $(readlink "$fd") == /memfd:rn-* ]] || continue
		n=$((n + 1))
		[ "$(stat -L -c %a "$fd")" = 666 ]
	done
	[ "$n" -ge 9 ]
	kill $child
	ended 143
}

# no_memory N OPTION...: a training whose N stages get no more memory, which the checkpoint wants that SIGTERM makes.
no_memory() {
	rm -f log
	rn-train model.json --placement staged --log log --checkpoint c.rnm "${@:2}" >out 2>err </dev/null &
	child=$!
	until [ -s log ]; do sleep 0.02; done
	find_stages "$1"
	for pid in "${stages[@]}"; do prlimit --pid "$pid" --as=1000000; done
	kill -TERM $child
}

@test "a stage without memory: exit 4; --retry starts it again" {
	local why='failed during a checkpoint: out of memory: [0-9]* bytes for optimizer slots'
	[ "${RN_VARIANT:-release}" = release ] || skip "the sanitizers take memory of their own"
	points
	sed -i 's/"hidden": 8, "epochs": 40/"hidden": 20000, "epochs": 10000000/' model.json
	no_memory 4
	ended 4
	grep -q "^rn-train: stage 'h' (linear, process ${stages[0]}) $why$" err
	[ ! -e c.rnm ]
	# Several nodes in one process.
	no_memory 1 --stages 1
	ended 4
	grep -q "^rn-train: stage 'h, drop, out, loss' (several, process ${stages[0]}) $why$" err
	[ ! -e c.rnm ]
	# With memory it goes on; then SIGTERM has its checkpoint.
	no_memory 1 --stages 1 --retry 1
	ended 143
	grep -q "^rn-train: warning: stage 'h, drop, out, loss' (several, process ${stages[0]}) $why; trying again after epoch 0 (1 of 1)$" err
	[ -s c.rnm ]
	rm c.rnm
	no_memory 4 --retry 1
	ended 143
	grep -q "^rn-train: warning: stage 'h' (linear, process ${stages[0]}) $why; trying again after epoch 0 (1 of 1)$" err
	[ -s c.rnm ]
}

@test "a stage that is lost leaves the last checkpoint, from which --resume goes on to the same bytes" {
	points
	trained whole model.json --epochs 8000
	rn-train model.json --epochs 8000 --placement staged --checkpoint c.rnm --checkpoint-every 100 \
		--log log -o m.rnm --no-history >out 2>err </dev/null &
	child=$!
	until [ "$(cat log 2>/dev/null | wc -l)" -gt 1000 ]; do sleep 0.01; done
	find_stages
	kill -9 "${stages[1]}"
	ended 1
	[ ! -e m.rnm ]
	[ -s c.rnm ]
	mkdir other
	cp log other/log
	trained other model.json --epochs 8000 --resume c.rnm
	diff -r whole other
}

@test "a coordinator that is killed leaves no stage behind, also a stopped one" {
	slow
	kill -STOP "${stages[0]}"
	kill -9 $child
	ended 137
}

@test "--retry goes on from the last checkpoint, to the same bytes; only what was lost is started again" {
	points
	trained whole model.json --epochs 20000
	mkdir other
	rn-train model.json --epochs 20000 --placement staged --retry 3 --checkpoint c.rnm --checkpoint-every 100 \
		--log other/log --output-dir other -o other/m.rnm --no-history --json >result 2>err </dev/null &
	child=$!
	for n in 2 3; do
		until [ "$(cat other/log 2>/dev/null | wc -l)" -gt $((n * 1000)) ]; do sleep 0.01; done
		find_stages
		before=("${stages[@]}")
		kill -9 "${stages[$n]}"
		until [ "$(grep -c 'trying again' err)" = $((n - 1)) ]; do sleep 0.01; done
		find_stages
		kept=0
		for pid in "${stages[@]}"; do
			[[ " ${before[*]} " != *" $pid "* ]] || kept=$((kept + 1))
		done
		[ $kept = 3 ]
	done
	wait $child
	grep -q "^rn-train: warning: stage '[a-z]*' ([a-z]*, process [0-9]*) was killed by .*; trying again after epoch [0-9]*00 (1 of 3)$" err
	[ "$(grep -c 'trying again' err)" = 2 ]
	member bits <result >other/bits
	sed -i 's/,"ms":[^}]*//' other/log
	diff -r whole other
	# What takes several at once is one loss, also where one of them is only found to be stopped later.
	slow --retry 1 --stage-timeout 1
	kill -9 "${stages[@]}"
	until grep -q 'trying again after epoch 0 (1 of 1)$' err; do runs; sleep 0.02; done
	for pid in "${stages[@]}"; do until [ ! -e "/proc/$pid" ]; do sleep 0.02; done; done
	find_stages
	kill -9 "${stages[1]}"
	ended 1
	slow --retry 1 --stage-timeout 1
	before=("${stages[@]}")
	kill -9 "${stages[0]}"
	kill -STOP "${stages[3]}"
	until grep -q "process ${stages[3]}) has been stopped for 1 s.*; it is started again, too$" err; do runs; sleep 0.02; done
	until [ ! -e "/proc/${before[3]}" ]; do sleep 0.02; done
	goes_on
	find_stages
	kill -9 "${stages[1]}"
	ended 1
	# Without a checkpoint it begins again; it holds as much memory and as many links as before.
	slow --retry 1
	held=$(held)
	kill -9 "${stages[1]}"
	until grep -q 'trying again after epoch 0 (1 of 1)$' err; do runs; sleep 0.02; done
	goes_on
	[ "$(held)" = "$held" ]
	find_stages
	kill -9 "${stages[1]}"
	ended 1
}

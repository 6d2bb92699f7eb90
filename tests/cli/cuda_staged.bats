#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# --placement staged --device cuda, on the emulated device (tests/cuda/emulate): the bytes of the fused placement,
# whether stages share memory of the device or of the host, and whoever waits for their work; --device-map.
load lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	export XDG_CACHE_HOME=$BATS_FILE_TMPDIR/cache # kernels are compiled once for this file
	export RN_CUDA_FUSE=0                         # and most of these tests do without
}

# The programs with the library that runs on the CPU.
emulated() {
	env LD_LIBRARY_PATH="$RN_BIN/../emulated" "$@"
}

# trained DIR OPTION...: model, predictions, the numbers of the log and the metrics.
trained() {
	local dir=$1
	shift
	mkdir -p "$dir"
	emulated rn-train "$@" --output-dir "$dir" --log "$dir/log" -o "$dir/m.rnm" --no-history --json -q >"$dir/result"
	sed -i 's/,"ms":[^}]*//' "$dir/log"
	sed -i 's/"\(ms_per_epoch\|seconds[a-z_]*\|peak_[a-z_]*\)": [^,]*, *//g' "$dir/result"
	[ "$(member bits <"$dir/result" | wc -c)" = 17 ]
}

# same_staged 'WHAT...' OPTION...: of rn-train, where processes cannot have these of each other
same_staged() {
	local what
	trained fused "${@:2}" --device cuda
	[ -s fused/log ]
	for what in $1; do
		RN_EMULATE_IPC=$what RN_EMULATE_LAG=200 trained other "${@:2}" --device cuda --placement staged
		diff -r fused other || { echo "differs: $what"; return 1; }
		rm -r other
	done
	trained other "${@:2}" --device cuda --placement staged --stages 2
	diff -r fused other
	rm -r fused other
}

@test "a small network: the bytes of the fused placement by any transport, and -v tells which" {
	points
	same_staged 'none export import event all' model.json --epochs 4
	RN_EMULATE_STRICT=1 RN_EMULATE_ORDER=down same_staged 'none all' model.json --epochs 2
	# Kernels that are compiled, and not interpreted: from the second run on.
	RN_CUDA_FUSE=1 trained fused model.json --epochs 2 --device cuda
	RN_CUDA_FUSE=1 trained other model.json --epochs 2 --device cuda --placement staged --stages 2
	diff -r fused other
	for how in 'cuda ipc' 'pinned memory'; do
		run -0 --separate-stderr emulated rn-train model.json --epochs 2 --device cuda --placement staged -v
		[ "$(grep -c "^rn-train: stage [1-4] of 4, '[a-z]*': process [0-9]* on cuda:0, [0-9]* instructions, [0-9]* bytes, linked by $how$" <<<"$stderr")" = 4 ]
		[ "$(grep -c "^rn-train: stage [1-4] of 4, .* bytes out, $how$" <<<"$stderr")" = 4 ]
		run -0 --separate-stderr emulated rn-train model.json --epochs 2 --device cuda --placement staged --stats=json
		[ "$(grep -o "\"data\":\"$how\",\"at_once\":[0-9]*,\"peak_device_bytes\":[1-9][0-9]*}" <<<"$stderr" | wc -l)" = 4 ]
		export RN_EMULATE_IPC=all
	done
}

# A graph of 40 nodes.
graph() {
	awk 'BEGIN {
		srand(5); print "id,a,y,split" >"node.csv"; print "src,dst" >"edge.csv"
		for (i = 0; i < 40; i++) print i "," int(rand() * 100) / 100 "," i % 3 "," (i % 4 ? "train" : "val") >"node.csv"
		for (i = 0; i < 200; i++) print int(rand() * 40) "," int(rand() * 40) >"edge.csv"
	}'
	printf '%s\n' '?source Node = "node.csv" <key="id"> .' '?source Edge = "edge.csv" .' "$@" >m.relnn
}

@test "graph networks: branches, a parameter that several stages use, normalisation, dropout" {
	graph 'W = Linear(6, 6) .' 'H(n; Dropout(0.3)(ReLU()(Linear(1, 6)([a])))) :- Node(n, a, y, s) .' \
		'G(d; mean(W(z))) :- Edge(s, d), H(s; z) .' 'B(d; max(tanh(z))) :- Edge(s, d), H(s; z) .' \
		'Out(n; BatchNorm1d(3)(Linear(6, 3)(W(x) + y * z))) :- G(n; x), B(n; y), H(n; z) .' \
		'?fit <epochs=4, lr=0.05> Loss(; CrossEntropyLoss()(z, [y])) :- Out(n; z), Node(n, a, y, "train") .' \
		'?val <metric="accuracy", target="y", every=2> Val(n, y; z) :- Out(n; z), Node(n, a, y, "val") .' \
		'?pred P(n; z) :- Out(n; z) .'
	same_staged 'none export' m.relnn
}

# Bytes of the device that all stages have for themselves at most, in a run with this option.
own_bytes() {
	emulated rn-train m.relnn --device cuda --placement staged --epochs 2 -q --stats=json 2>&1 >/dev/null |
		grep -o '"peak_device_bytes":[0-9]*}' | tr -dc '0-9\n' | awk '{ n += $1 } END { print n + 0 }'
}

@test "large constants are on the device once, and not once for each stage that reads them" {
	local shared copied
	awk 'BEGIN {
		srand(5); print "id,a,y,split" >"node.csv"; print "src,dst" >"edge.csv"
		for (i = 0; i < 300; i++) print i "," int(rand() * 100) / 100 "," i % 3 "," (i % 4 ? "train" : "val") >"node.csv"
		for (i = 0; i < 40000; i++) print int(rand() * 300) "," int(rand() * 300) >"edge.csv"
	}'
	printf '%s\n' '?source Node = "node.csv" <key="id"> .' '?source Edge = "edge.csv" .' \
		'H(n; Embedding(300, 4)([n])) :- Node(n, a, y, s) .' 'G(d; mean(z)) :- Edge(s, d), H(s; z) .' \
		'K(n; tanh(Linear(4, 4)(z))) :- G(n; z) .' 'M(d; mean(z)) :- Edge(s, d), K(s; z) .' \
		'Out(n; Linear(4, 3)(z)) :- M(n; z) .' \
		'?fit <epochs=2, lr=0.05> Loss(; CrossEntropyLoss()(z, [y])) :- Out(n; z), Node(n, a, y, "train") .' \
		'?val <metric="accuracy", target="y"> Val(n, y; z) :- Out(n; z), Node(n, a, y, "val") .' >m.relnn
	same_staged 'none import export-3' m.relnn --no-rewrite all
	same_staged 'none all' m.relnn
	shared=$(own_bytes)
	copied=$(RN_EMULATE_IPC=all own_bytes)
	echo "$shared of its own where constants are shared, $copied where they are not"
	[ "$shared" -gt 0 ]
	# Of two stages, in the fit and in the validation: index arrays of 40,000 edges, 160,000 bytes each.
	[ $((copied - shared)) -ge 1200000 ]
}

# what_travels: of the fit and each validation, with RN_EMULATE_IPC: v (values) and c (constants) on the device, or -.
what_travels() {
	sed -nE '/^rn-train: (fit|validation): [0-9]+ bytes of values by /{
		s/.* by (cuda ipc|pinned memory), [0-9]+ of constants (shared on the device|for each stage to copy)$/\1\2/
		s/cuda ipc/v/; s/pinned memory/-/; s/shared on the device/c/; s/for each stage to copy/-/; p }' "$1" | paste -sd' '
}

@test "each single handle that cannot be had: memory of the host, and the same bytes" {
	local what how
	awk 'BEGIN {
		srand(5); print "id,a,y,split" >"node.csv"; print "src,dst" >"edge.csv"
		for (i = 0; i < 300; i++) print i "," int(rand() * 100) / 100 "," i % 3 "," (i % 4 ? "train" : "val") >"node.csv"
		for (i = 0; i < 20000; i++) print int(rand() * 300) "," int(rand() * 300) >"edge.csv"
	}'
	printf '%s\n' '?source Node = "node.csv" <key="id"> .' '?source Edge = "edge.csv" .' \
		'H(n; Embedding(300, 4)([n])) :- Node(n, a, y, s) .' 'G(d; mean(z)) :- Edge(s, d), H(s; z) .' \
		'Out(n; Linear(4, 3)(tanh(z))) :- G(n; z) .' \
		'?fit <epochs=3, lr=0.05> Loss(; CrossEntropyLoss()(z, [y])) :- Out(n; z), Node(n, a, y, "train") .' \
		'?val <metric="accuracy", target="y"> Val(n, y; z) :- Out(n; z), Node(n, a, y, "val") .' \
		'?fit <epochs=2, lr=0.01> Again(; CrossEntropyLoss()(z, [y])) :- Out(n; z), Node(n, a, y, "train") .' \
		'?val <metric="accuracy", target="y"> All(n, y; z) :- Out(n; z), Node(n, a, y, s) .' >m.relnn
	trained fused m.relnn --device cuda --no-rewrite all
	# Parameters; then values and constants of a fit, its validation, and of both for the second one, whose
	# processes are new.
	while read -r what how; do
		rm -rf other
		RN_EMULATE_IPC=$what RN_EMULATE_LAG=200 trained other m.relnn --device cuda --no-rewrite all --placement staged -v 2>err
		diff -r fused other || { echo "differs: $what"; return 1; }
		[ "$(what_travels err)" = "$how" ] || { echo "$what: $(what_travels err), not $how"; return 1; }
	done <<-'END'
		none vc vc vc vc
		export-1 -- -- -- --
		export-2 -- -- -- --
		export-3 v- vc vc vc
		export-4 vc -- vc vc
		export-5 vc v- vc vc
		export-6 vc vc -- --
		export-7 vc vc v- vc
		export-8 vc vc vc --
		export-9 vc vc vc v-
		export-10 vc vc vc vc
		import-1 -- -- -- --
		import-2 -- -- -- --
		import-3 -- -- -- --
		import-4 vc -- vc --
		import-5 vc -- vc --
		import-6 vc vc vc vc
		event-1 vc vc vc vc
		event-of-1 vc vc vc vc
		event-of-2 vc vc vc vc
	END
}

@test "several fits, and metrics of before, between and behind them" {
	graph 'E(n; Embedding(40, 4)([n])) :- Node(n, a, y, s) .' 'Out(d; mean(Linear(4, 3)(z))) :- Edge(s, d), E(s; z) .' \
		'Y(n; Linear(4, 1)(z)) :- E(n; z) .' \
		'?eval <name="before", metric="accuracy", target="y"> T0(n, y; z) :- Out(n; z), Node(n, a, y, s) .' \
		'?fit <epochs=3, optimizer="sgd", lr=0.1> First(; MSELoss()(z, [a])) :- Y(n; z), Node(n, a, y, s) .' \
		'?eval <name="early", metric="mae", target="a"> T1(n, a; z) :- Y(n; z), Node(n, a, y, s) .' \
		'?fit <epochs=3, lr=0.05> Loss(; CrossEntropyLoss()(z, [y])) :- Out(n; z), Node(n, a, y, "train") .' \
		'?eval <name="late", metric="accuracy", target="y"> T2(n, y; z) :- Out(n; z), Node(n, a, y, s) .' \
		'?pred P(n; z) :- Out(n; z) .'
	same_staged 'none import' m.relnn
	same_staged 'none event' m.relnn --runs 2 --seed 4
}

@test "gcn-cora" {
	local data=${RN_DATA:-$RN_ROOT/../shared/data}
	[ -e "$data/cora" ] || skip "no data: set RN_DATA to the folder of data sets"
	mkdir -p main shared
	cp -r "$RN_ROOT/examples" main/examples
	ln -s "$(realpath -m "$data")" shared/data
	trained fused main/examples/gcn-cora/model.json --epochs 2 --device cuda
	trained other main/examples/gcn-cora/model.json --epochs 2 --device cuda --placement staged
	diff -r fused other
	rm -r other
	RN_EMULATE_IPC=all trained other main/examples/gcn-cora/model.json --epochs 2 --device cuda --placement staged
	diff -r fused other
}

@test "checkpoints go on in either placement; --retry" {
	local first second
	points
	trained whole model.json --epochs 7 --device cuda
	for first in fused staged; do
		trained first model.json --epochs 7 --device cuda --placement $first --checkpoint $first.rnm --checkpoint-every 3
		diff -r whole first
		rm -r first
	done
	cmp fused.rnm staged.rnm
	for first in fused staged; do
		for second in fused staged; do
			mkdir on
			head -n 6 whole/log >on/log
			trained on model.json --epochs 7 --device cuda --placement $second --resume $first.rnm
			diff -r whole on
			rm -r on
		done
	done
}

# ---- devices -------------------------------------------------------------------------------------------

# close_losses A B: of two logs, equal to 1e-4.
close_losses() {
	paste <(sed -n 's/.*"loss": *\([^,}]*\).*/\1/p' "$1") <(sed -n 's/.*"loss": *\([^,}]*\).*/\1/p' "$2") | awk '
		!($1 == $1 + 0 && $2 == $2 + 0) { exit bad = 1 }
		{ d = $1 - $2; if (d < 0) d = -d; if (d > 1e-4 * $2) exit bad = 1 }
		END { exit bad || NR < 3 }' || {
		cat "$1" "$2"
		return 1
	}
}

@test "--device-map puts stages elsewhere" {
	points
	emulated rn-train model.json --epochs 3 -q --device cuda --log fused.log
	for map in drop=cpu h=cpu,loss=cpu h=cpu,drop=cpu,out=cpu,loss=cpu; do
		RN_EMULATE_LAG=2000 RN_EMULATE_STRICT=1 emulated rn-train model.json --epochs 3 --device cuda --log log \
			--placement staged --device-map $map -v 2>err
		close_losses log fused.log
		[ "$(grep -c ' on cpu, .* linked by shared memory$' err)" = "$(tr , '\n' <<<$map | wc -l)" ]
		[ "$(grep -c ' on cuda:0, .* linked by pinned memory$' err)" = $((4 - $(tr , '\n' <<<$map | wc -l))) ]
	done
	emulated rn-train model.json --epochs 3 --device cpu --log log --placement staged --device-map drop=cuda \
		--device-map out=cuda:0 -v 2>err
	close_losses log fused.log
	[ "$(grep -c ' on cuda:0, .* linked by pinned memory$' err)" = 2 ]
	# What is shared then needs no memory of the device.
	RN_EMULATE_MEMORY=3 fails_with 4 emulated rn-train model.json --epochs 2 --device cuda --placement staged
	[[ $stderr == "rn-train: device 'cuda': out of memory: 2.0 MiB are wanted for what stages share, "*"--device-map"* ]]
	[[ $stderr == *"; fit 'loss' needs "*"the largest: "*"it helps to have fewer rows"* ]]
	RN_EMULATE_MEMORY=5 fails_with 4 emulated rn-train model.json --epochs 4 --val-every 2 --device cuda --placement staged --log val.log
	[[ $stderr == *" are wanted for what stages share, "*"; val 'val' needs "* ]]
	[ ! -s val.log ] # before the first epoch
	RN_EMULATE_MEMORY=3 emulated rn-train model.json --epochs 2 --device cuda --placement staged --device-map drop=cpu
	# Stages of one name and another are one process: --stages.
	emulated rn-train model.json --epochs 3 -q --device cuda --placement staged --stages 2 --device-map h=cuda --log log
	cmp <(sed 's/,"ms":.*//' log) <(sed 's/,"ms":.*//' fused.log)
	fails_with 2 emulated rn-train model.json --device cuda --placement staged --stages 2 --device-map h=cpu
	says "rn-train: --device-map: stages 'h' (cpu) and 'drop' (cuda:0) are one process: raise --stages, or give both one device"
	# Two devices share no memory.
	RN_EMULATE_DEVICES=2 emulated rn-train model.json --epochs 3 --device cuda --log log --placement staged \
		--device-map out=cuda:1 -v 2>err
	cmp <(sed 's/,"ms":.*//' log) <(sed 's/,"ms":.*//' fused.log)
	grep -q "'out': process [0-9]* on cuda:1, .* linked by pinned memory$" err
}

@test "--device-map: what is wrong with it" {
	points
	fails_with 2 rn-train model.json --device-map h=cpu
	says "rn-train: --device-map wants --placement staged"
	fails_with 2 rn-train model.json --placement staged --device-map x=cpu
	says "rn-train: --device-map x=cpu: no such stage is trained; there are 'h', 'drop', 'out', 'loss'"
	fails_with 2 rn-train model.json --placement staged --device-map h
	says "rn-train: --device-map wants STAGE=DEVICE, not 'h'"
	fails_with 2 rn-train model.json --placement staged --device-map h=auto
	says "rn-train: --device-map h=auto: a device is cpu, cuda or cuda:N"
	fails_with 2 rn-train model.json --placement staged --device-map h=cpu,out=cpu --device-map h=cuda
	says "rn-train: --device-map: stage 'h' is given twice"
	# A map that changes nothing is fine without a device.
	run -0 --separate-stderr rn-train model.json --epochs 2 --placement staged --device-map h=cpu -v
	[ "$(grep -c 'linked by shared memory$' <<<"$stderr")" = 4 ]
}

# ---- faults ---------------------------------------------------------------------------------------------

@test "no device: the error of the fused placement; a stage's own names it" {
	points
	RN_EMULATE_DEVICES=0 fails_with 4 emulated rn-train model.json --device cuda
	want=$stderr
	RN_EMULATE_DEVICES=0 fails_with 4 emulated rn-train model.json --device cuda --placement staged
	says "$want"
	RN_EMULATE_DEVICES=0 fails_with 4 emulated rn-train model.json --placement staged --device-map out=cuda
	[[ $stderr == "rn-train: stage 'out' (linear, process "*") failed during the start: ${want#rn-train: }" ]]
}

@test "a device that is lost: exit 4, whoever waits for whom, and the checkpoint is whole" {
	points
	trained whole model.json --epochs 9 --device cuda
	for n in 3 9 30; do
		rm -f c.rnm
		RN_EMULATE_FAIL=$n fails_with 4 emulated rn-train model.json --epochs 200 --device cuda --placement staged -q \
			--checkpoint c.rnm --checkpoint-every 1
		[[ $stderr == "rn-train: stage '"*" failed "*" of epoch "*": "*"uncorrectable ECC error"* ]]
	done
	# The node that it was at, of all that the process has.
	RN_EMULATE_FAIL=30 fails_with 4 emulated rn-train model.json --epochs 200 --device cuda --placement staged -q --stages 1
	[[ $stderr == "rn-train: stage 'h, drop, out, loss' (several, process "*") failed in '"*"' ("*"), the "*" pass of epoch "*": "*"uncorrectable ECC error"* ]]
	emulated rn-train model.json --epochs 9 --device cuda --placement staged -q --json --resume c.rnm --allow-changed >result
	[ "$(member bits <result)" = "$(member bits <whole/result)" ]
}

teardown() {
	[ -z "${child-}" ] || kill -9 "$child" 2>/dev/null || true
}

# A training that takes long, in the background: $child, and its stages.
slow() {
	rm -f log
	LD_LIBRARY_PATH="$RN_BIN/../emulated" rn-train model.json --device cuda --placement staged --log log "$@" \
		>out 2>err </dev/null 3>&- &
	child=$!
	until [ -s log ]; do sleep 0.02; done
	read -ra stages < <(cat "/proc/$child/task/$child/children"; echo)
	[ ${#stages[@]} = 4 ]
}

# ended N: the training ended with that status within 5 s, and none of its stages runs.
ended() {
	local begin=$SECONDS rc=0 pid
	wait "$child" || rc=$?
	[ $rc = "$1" ]
	[ $((SECONDS - begin)) -le 5 ]
	for pid in "${stages[@]}"; do
		for _ in $(seq 200); do
			[ -e "/proc/$pid" ] || break
			sleep 0.02
		done
		[ ! -e "/proc/$pid" ]
	done
}

@test "a stage that is killed or stopped, and a coordinator that is killed" {
	points
	for what in none all; do
		RN_EMULATE_IPC=$what RN_EMULATE_LAG=300 slow --epochs 1000000
		kill -9 "${stages[1]}"
		ended 1
		grep -q "^rn-train: stage 'drop' (map, process ${stages[1]}) was killed by signal 9 (Killed).* of epoch [0-9]*$" err
	done
	# Mostly it has ended its work by then but for what lags, for which the next one waits.
	for lag in 0 5000 5000; do
		RN_EMULATE_LAG=$lag slow --epochs 1000000 --stage-timeout 0.5
		kill -STOP "${stages[2]}"
		ended 1
		grep -q "^rn-train: stage 'out' (linear, process ${stages[2]}) has been stopped for 0.5 s.* (--stage-timeout)$" err
	done
	slow --epochs 1000000
	kill -9 "$child"
	ended 137
}

@test "--retry starts all of them again, to the same bits" {
	points
	trained whole model.json --epochs 80 --device cuda
	for what in none all export-3 import-3; do # the third: of the validation
		RN_EMULATE_IPC=$what slow --epochs 80 --json --retry 1 --checkpoint c.rnm --checkpoint-every 5
		kill -9 "${stages[2]}"
		wait "$child"
		grep -q "^rn-train: warning: stage 'out' (linear, process ${stages[2]}) was killed by .*; trying again after epoch [0-9]* (1 of 1)$" err
		[ "$(member bits <out)" = "$(member bits <whole/result)" ]
		rm c.rnm
	done
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# --device cuda: on the emulated device (tests/cuda/emulate), and what is said where there is
# no device.
load lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	export XDG_CACHE_HOME=$BATS_FILE_TMPDIR/cache # kernels are compiled once for this file
}

# The programs with the library that runs on the CPU.
emulated() {
	env LD_LIBRARY_PATH="$RN_BIN/../emulated" "$@"
}

# close_to A B: equal to 1e-4 of B, line by line.
close_to() {
	[ -s "$1" ] && [ "$(wc -l <"$1")" = "$(wc -l <"$2")" ] || return 1
	paste "$1" "$2" | awk '
		!($1 == $1 + 0 && $2 == $2 + 0) { exit bad = 1 }
		{ d = $1 - $2; if (d < 0) d = -d; s = $2 < 0 ? -$2 : $2; if (d > 1e-4 * s + 1e-9) exit bad = 1 }
		END { exit bad }' || {
		paste "$1" "$2"
		return 1
	}
}

losses() {
	sed -n 's/.*"loss": *\([^,}]*\).*/\1/p' "$1"
}

# Three epochs of model.json on both devices.
same_losses() {
	rn-train model.json --seed 3 --epochs 3 --log cpu.log -q "$@"
	emulated rn-train model.json --seed 3 --epochs 3 --log cuda.log -q --device cuda "$@"
	losses cpu.log >cpu.txt
	losses cuda.log >cuda.txt
	[ "$(wc -l <cuda.txt)" = 3 ]
	close_to cuda.txt cpu.txt
}

@test "a small network: the CPU's losses, in the same bits each time" {
	points
	same_losses
	mv cuda.txt before.txt
	RN_CUDA_FUSE=0 same_losses # interpreted, instead of compiled
	cmp before.txt cuda.txt
	RN_EMULATE_STRICT=1 RN_EMULATE_ORDER=down same_losses
	cmp before.txt cuda.txt
}

# A graph of 40 nodes, for joins and aggregates.
graph() {
	awk 'BEGIN {
		srand(5); print "id,a,y" >"node.csv"; print "src,dst" >"edge.csv"
		for (i = 0; i < 40; i++) print i "," int(rand() * 100) / 100 "," i % 3 >"node.csv"
		for (i = 0; i < 200; i++) print int(rand() * 40) "," int(rand() * 40) >"edge.csv"
	}'
}

@test "graph networks: sums, means and maxima over neighbours" {
	graph
	for agg in 'sum(z)' 'mean(z)' 'max(z)'; do
		cat >model.json <<-END
			{"rn": 1,
			 "sources": {"node": {"from": "node.csv", "key": ["id"]}, "edge": {"from": "edge.csv"}},
			 "stages": [
			  {"name": "x", "op": "encode", "in": "node", "expr": "raw(a)"},
			  {"name": "h", "op": "linear", "in": "x", "out": 5},
			  {"name": "act", "op": "map", "in": "h", "expr": "Dropout(0.3)(tanh(z))"},
			  {"name": "j", "op": "join", "in": {"e": "edge", "n": "act"}, "on": {"src": "id"}},
			  {"name": "n", "op": "agg", "in": "j", "expr": "$agg", "by": ["dst"]},
			  {"name": "o", "op": "linear", "in": "n", "out": 3},
			  {"name": "out", "op": "join", "in": ["o", "node"], "on": {"dst": "id"}},
			  {"name": "loss", "op": "loss", "in": "out", "kind": "cross-entropy", "target": "y"}],
			 "run": [{"fit": {"loss": "loss", "epochs": 3}}]}
		END
		same_losses
	done
}

@test "optimizers, schedules and clipping" {
	points
	same_losses --optimizer adamw --weight-decay 0.1 --schedule cosine --warmup 2
	same_losses --optimizer sgd --momentum 0.9 --clip 0.5
}

@test "a run that is resumed ends in the same bits" {
	points
	emulated rn-train model.json --epochs 8 --device cuda -q --json >whole.json
	emulated rn-train model.json --epochs 8 --device cuda -q --json \
		--checkpoint c.ck --checkpoint-every 3 >/dev/null
	emulated rn-train model.json --epochs 8 --device cuda -q --json --resume c.ck >resumed.json
	[ "$(member bits <whole.json)" = "$(member bits <resumed.json)" ]
	[ -n "$(member bits <whole.json)" ]
}

@test "rn-predict and streams on the device" {
	points
	rn-train model.json --epochs 3 -q -o m.rnm >/dev/null
	rn-predict m.rnm -o cpu.csv
	emulated rn-predict m.rnm --device cuda -o cuda.csv
	[ "$(wc -l <cpu.csv)" = 91 ]
	cmp <(cut -d , -f -6 cpu.csv) <(cut -d , -f -6 cuda.csv)
	for column in 7 8; do
		tail -n +2 cpu.csv | cut -d , -f $column >cpu.txt
		tail -n +2 cuda.csv | cut -d , -f $column >cuda.txt
		close_to cuda.txt cpu.txt
	done
}

# The same without a validation: nobody looks at an epoch, so that they run in windows.
unwatched() {
	points
	sed -i 's/^ *{"val".*//' model.json
}

@test "epochs without the host: the bits of one after the other, however they are cut" {
	local options
	for options in "" "--optimizer adamw --weight-decay 0.1 --schedule cosine --warmup 2 --clip 0.5" \
		"--optimizer sgd --momentum 0.9"; do
		unwatched
		# shellcheck disable=SC2086
		{
			emulated rn-train model.json --device cuda -q --json --log all.log $options >all.json
			emulated rn-train model.json --device cuda -q --json --log one.log $options \
				--checkpoint c.ck --checkpoint-every 1 >one.json
			RN_CUDA_GRAPH=0 emulated rn-train model.json --device cuda -q --json $options \
				--checkpoint c.ck --checkpoint-every 7 >seven.json
		}
		[ -n "$(member bits <all.json)" ]
		[ "$(member bits <all.json)" = "$(member bits <one.json)" ]
		[ "$(member bits <all.json)" = "$(member bits <seven.json)" ]
		losses all.log >all.txt
		losses one.log >one.txt
		[ "$(wc -l <all.txt)" = 40 ]
		cmp all.txt one.txt
	done
}

# What a log tells of values, and how a run ended.
told() {
	sed 's/,"ms":[^,}]*//' "$1.log"
	sed 's/"\(ms_per_epoch\|seconds_[a-z]*\|peak[a-z_]*\)": [^,}]*//g' "$1.json"
}

# The fused placement validates on the device, the staged one on the host.
same_validations() {
	emulated rn-train model.json --device cuda --json --log device.log -v "$@" >device.json 2>device.err
	emulated rn-train model.json --device cuda -q --json --log host.log --placement staged "$@" >host.json
	grep "val of 'val': .* is found on the device" device.err
	diff <(told device) <(told host)
	emulated rn-train model.json --device cuda -q --json --log device.log --checkpoint c.ck \
		--checkpoint-every 1 "$@" >device.json
	diff <(told device) <(told host)
}

@test "validations on the device: the host's values, best epoch, and bits" {
	points
	same_validations
	[ "$(grep -c '"val":' device.log)" = 40 ]
	sed -i 's/{"val": {/{"val": {"every": 7, /' model.json
	for metric in f1_binary f1_macro f1_micro; do
		sed -i "s/\(\"val\", \"metric\": \"\)[a-z0-9_]*/\1$metric/" model.json
		same_validations
	done
	sed -i 's/"out": 2}/"out": 1}/; s/cross-entropy", "target": "y"/mse", "target": "b"/
		s/^ *{"eval".*//; s/, "decode": [^}]*//; s/"every": 7, //' model.json
	for metric in mae rmse r2; do
		sed -i "s/\"metric\": \"[a-z0-9_]*\", \"target\": \"[a-z]\"/\"metric\": \"$metric\", \"target\": \"b\"/" model.json
		same_validations
	done
	awk -F, -v OFS=, 'NR == 1 { print $0, "c" } NR > 1 { print $0, NR % 4 ? $3 : "" }' points.csv >more.csv
	mv more.csv points.csv # NULLs among the labels
	sed -i 's/"metric": "r2", "target": "b"/"metric": "rmse", "target": "c"/' model.json
	same_validations
}

@test "validations on the device: patience ends a fit where it does on the host" {
	points
	sed -i 's/{"val": {/{"val": {"patience": 3, /' model.json
	for lr in 0.01 0.3; do
		same_validations --lr $lr
		[ "$(wc -l <device.log)" -lt 40 ]
	done
}

@test "validations on the device: rankings, of all rows and by query" {
	points
	awk -F, -v OFS=, 'NR == 1 { print $0, "q" } NR > 1 { if (NR % 5 == 0) $4 = ""; print $0, int(NR * NR / 3) % 7 }' \
		points.csv >queries.csv # NULLs among the labels
	mv queries.csv points.csv
	for metric in roc_auc average_precision hits@9 mrr map@9; do
		sed -i "s/\(\"val\", \"metric\": \"\)[a-z0-9_@]*/\1$metric/" model.json
		same_validations
		[ "$(grep -o '"val":[^,}]*' device.log | sort -u | wc -l)" -gt 1 ]
	done
	sed -i 's/{"val": {/{"val": {"group": "q", /' model.json
	for metric in hits@2 mrr map@2; do
		sed -i "s/\(\"val\", \"metric\": \"\)[a-z0-9_@]*/\1$metric/" model.json
		same_validations
		[ "$(grep -o '"val":[^,}]*' device.log | sort -u | wc -l)" -gt 1 ]
	done
}

@test "validations on the device: a metric that is not defined, and a loss that leaves the numbers" {
	points
	sed -i 's/,[01],val/,,val/' points.csv
	same_validations
	grep "accuracy is not defined: there is no row with a label" device.err
	points
	for placement in fused staged; do
		fails_with 5 emulated rn-train model.json --optimizer sgd --lr 3e4 --log $placement.log \
			--device cuda --placement $placement
		echo "$stderr" >$placement.err
	done
	diff fused.err staged.err
	diff <(sed 's/,"ms":.*//' fused.log) <(sed 's/,"ms":.*//' staged.log)
	grep '"val":' fused.log
}

@test "a validation of every seventh epoch, and a resumed run goes on in its bits" {
	points
	sed -i 's/{"val": {/{"val": {"every": 7, /' model.json
	emulated rn-train model.json --device cuda -q --json --log log >whole.json
	[ "$(grep -c '"val":' log)" = 6 ] # 7, 14, 21, 28, 35, and the last
	grep '"epoch":14,.*"val":' log
	rn-train model.json -q --json >cpu.json
	[ "$(member best_epoch <cpu.json)" = "$(member best_epoch <whole.json)" ]
	emulated rn-train model.json --device cuda -q --json --epochs 40 --checkpoint c.ck --checkpoint-every 9 >/dev/null
	emulated rn-train model.json --device cuda -q --json --resume c.ck >resumed.json
	[ "$(member bits <whole.json)" = "$(member bits <resumed.json)" ]
}

@test "a loss that is not finite stops at its epoch, within a window" {
	unwatched
	fails_with 5 rn-train model.json --optimizer sgd --lr 3e4 --log cpu.log
	mine=$stderr
	fails_with 5 emulated rn-train model.json --optimizer sgd --lr 3e4 --log cuda.log --device cuda
	[ "$stderr" = "$mine" ]
	[[ $stderr == *"diverged at epoch 9"* ]] # windows have 1, 2, 4, 8 epochs
	losses cpu.log >cpu.txt
	losses cuda.log >cuda.txt
	[ "$(wc -l <cuda.txt)" = 8 ]
	close_to cuda.txt cpu.txt
}

@test "--log-every: lines of every Nth epoch and the last, on both devices" {
	unwatched
	rn-train model.json -q --log cpu.log --log-every 15
	emulated rn-train model.json -q --log cuda.log --log-every 15 --device cuda
	for log in cpu.log cuda.log; do
		[ "$(sed 's/.*"epoch":\([0-9]*\).*/\1/' "$log" | tr '\n' ' ')" = "15 30 40 " ]
	done
	rn-train model.json -q --json >plain.json
	rn-train model.json -q --json --log-every 15 --log cpu.log >thin.json
	[ "$(member bits <plain.json)" = "$(member bits <thin.json)" ] # the losses are part of them
	fails_with 2 rn-train model.json --log-every 0
}

@test "--math: what rounds wide products, the cpu's are f32" {
	awk 'BEGIN { srand(3); print "id,a,b,y"
		for (i = 0; i < 17000; i++) print i "," rand() "," rand() "," i % 2 }' >points.csv
	cat >model.json <<-'END'
		{"rn": 1,
		 "sources": {"points": {"from": "points.csv", "key": ["id"]}},
		 "stages": [
		  {"name": "x", "op": "encode", "in": "points", "expr": "raw(a, b)"},
		  {"name": "h", "op": "linear", "in": "x", "out": 32},
		  {"name": "act", "op": "map", "in": "h", "expr": "tanh(z)"},
		  {"name": "h2", "op": "linear", "in": "act", "out": 32},
		  {"name": "out", "op": "linear", "in": "h2", "out": 2},
		  {"name": "loss", "op": "loss", "in": "out", "kind": "cross-entropy", "target": "y"}],
		 "run": [{"fit": {"loss": "loss", "epochs": 2}}]}
	END
	for math in f32 tf32 bf16; do
		emulated rn-train model.json -q --json --device cuda --math $math --no-rewrite all \
			--checkpoint $math.ck --checkpoint-every 1 >$math.json
		[ "$(member math <$math.json)" = $math ]
	done
	emulated rn-train model.json -q --json --device cuda --no-rewrite all >plain.json
	[ "$(member bits <plain.json)" = "$(member bits <f32.json)" ]
	[ "$(member bits <f32.json)" != "$(member bits <tf32.json)" ]
	[ "$(member bits <f32.json)" != "$(member bits <bf16.json)" ]
	[ "$(member bits <tf32.json)" != "$(member bits <bf16.json)" ]
	fails_with 2 emulated rn-train model.json --device cuda --resume tf32.ck
	[[ $stderr == *"the 'math' is not that of the checkpoint"* ]]
	for device in "--device cpu" ""; do
		# shellcheck disable=SC2086
		fails_with 2 rn-train model.json --math tf32 $device
		[[ $stderr == *"--math tf32 needs --device cuda"* ]]
	done
	fails_with 2 rn-train model.json --math f16 --device cuda
	RN_EMULATE_DEVICES=0 run --separate-stderr emulated rn-train model.json --math bf16 --device auto --json
	[ "$status" = 0 ]
	[[ $stderr == *"--math bf16 needs a CUDA device"* ]]
	[ "$(member math <<<"$output")" = f32 ]
}

@test "--math reaches rn-predict and rn-eval" {
	points
	rn-train model.json --epochs 3 -q -o m.rnm >/dev/null
	emulated rn-predict m.rnm --device cuda --math tf32 -o tf32.csv
	[ "$(wc -l <tf32.csv)" = 91 ]
	fails_with 2 rn-predict m.rnm --math tf32 -o cpu.csv
	[[ $stderr == *"--math tf32 needs --device cuda"* ]]
	fails_with 2 rn-eval m.rnm --math bf16
	[[ $stderr == *"--math bf16 needs --device cuda"* ]]
}

# Of so many rows, a third of them in the fit.
many_points() {
	points
	awk -v n="$1" 'BEGIN { print "id,a,b,y,split"; for (i = 0; i < n; i++)
		print i "," i % 7 "," i % 5 "," i % 2 "," (i % 3 ? "train" : "test") }' >points.csv
}

@test "memory that does not suffice: what is needed, for which stages, what helps; exit 4" {
	many_points 60000
	RN_EMULATE_MEMORY=3 fails_with 4 emulated rn-train model.json --epochs 2 --device cuda -q
	[[ $stderr =~ device\ \'cuda:0\':\ out\ of\ memory:\ [0-9]+\ bytes\ are\ wanted\ beside\ the\ parameters,\ [0-9]+\ of\ 3145728\ are\ free ]]
	[[ $stderr == *"fit 'loss' needs "*" for results, "*" for constants, "*"; the largest: "*"'drop' (map) "* ]]
	[[ $stderr == *"--device-map STAGE=cpu"*"--device cpu"* ]]
	many_points 120000 # the fit has room, and its evaluation has not
	sed -i 's/^ *{"\(val\|pred\)".*//; s/{"eval": {"name": "test", "in": "test"\(.*\)},/{"eval": {"name": "test", "in": "out"\1}]}/' model.json
	awk -F, -v OFS=, 'NR > 3000 { $5 = "test" } 1' points.csv >few.csv && mv few.csv points.csv
	RN_EMULATE_MEMORY=3 fails_with 4 emulated rn-train model.json --epochs 2 --device cuda -q --log log
	[[ $stderr == *"out of memory: "*" are wanted beside the parameters, "*"; eval 'out' needs "*"the largest: "* ]]
	[ ! -s log ] # before the first epoch
}

@test "memory that does not suffice for what a metric sorts: before the first epoch" {
	many_points 60000
	awk -F, -v OFS=, 'NR > 1 { $5 = NR < 90 ? "train" : "val" } 1' points.csv >many.csv && mv many.csv points.csv
	sed -i 's/^ *{"\(eval\|pred\)".*//; s/"target": "y"}},$/"target": "y"}}]}/' model.json
	RN_EMULATE_MEMORY=5 emulated rn-train model.json --epochs 2 --device cuda -q
	sed -i 's/"metric": "accuracy"/"metric": "roc_auc"/' model.json
	RN_EMULATE_MEMORY=5 fails_with 4 emulated rn-train model.json --epochs 2 --device cuda -q
	[[ $stderr == *" are wanted beside the parameters, "*"; val 'val' needs "*" for the metric and the best parameters"* ]]
	RN_EMULATE_MEMORY=7 emulated rn-train model.json --epochs 2 --device cuda -q
}

@test "two fits on a device have one room for their results" {
	seq 6000 | awk 'BEGIN { print "id,x,label" } { print $1 "," $1 % 7 "," $1 % 2 }' >t.csv
	cat >two.relnn <<-'E'
		?source T = "t.csv" <key="id"> .
		A(v; tanh(Linear(1, 32)([x]))) :- T(v, x, label) .
		B(v; tanh(Linear(32, 32)(z))) :- A(v; z) .
		O(v; Linear(32, 2)(z)) :- B(v; z) .
		?fit <epochs=2> L(; CrossEntropyLoss()(z, [label])) :- O(v; z), T(v, x, label), v < 100 .
		?fit <epochs=2> L2(; CrossEntropyLoss()(z, [label])) :- O(v; z), T(v, x, label) .
		?fit <epochs=2> L3(; CrossEntropyLoss()(z, [label])) :- O(v; z), T(v, x, label) .
	E
	RN_EMULATE_MEMORY=2 fails_with 4 emulated rn-train two.relnn --device cuda -q --log log
	[[ $stderr == *" are wanted beside the parameters, "*" of 2097152 are free; fit 'L2' needs "* ]]
	[ ! -s log ] # before the first fit
	RN_EMULATE_MEMORY=3 emulated rn-train two.relnn --device cuda -q
}

@test "memory that is out later, with a checkpoint: it is whole" {
	unwatched
	emulated rn-train model.json --device cuda -q --json >whole.json
	RN_CUDA_POOL=0 RN_EMULATE_NOMEM=16 fails_with 4 emulated rn-train model.json --device cuda -q
	[[ $stderr == *"out of memory: "*" are free"*"fit 'loss' needs "* ]]
	RN_EMULATE_FAIL=400 fails_with 4 emulated rn-train model.json --device cuda -q \
		--checkpoint c.ck --checkpoint-every 10
	RN_CUDA_POOL=0 RN_EMULATE_NOMEM=16 fails_with 4 emulated rn-train model.json --device cuda -q --resume c.ck \
		--checkpoint c.ck --checkpoint-every 10
	emulated rn-train model.json --device cuda -q --resume c.ck --json >resumed.json
	[ "$(member bits <whole.json)" = "$(member bits <resumed.json)" ]
}

@test "a device that is lost: exit 4, where it was, and the checkpoint is whole" {
	points
	RN_EMULATE_FAIL=118 fails_with 4 emulated rn-train model.json --device cuda -q \
		--checkpoint c.ck --checkpoint-every 1
	[[ $stderr == *"fit 'loss': after epoch 4: in work that was under way (RN_CUDA_GRAPH=0 tells in which stage)"* ]]
	[[ $stderr == *"uncorrectable ECC error"*"the last checkpoint is whole"* ]]
	emulated rn-train model.json --device cuda -q --resume c.ck
	RN_CUDA_GRAPH=0 RN_EMULATE_ERROR=700 RN_EMULATE_FAIL=5 fails_with 4 emulated rn-train model.json --device cuda -q
	[[ $stderr == *"stage 'loss' (loss), forward of fit 'loss': after epoch 0: ce: "*"an illegal memory access"* ]]
	RN_EMULATE_REFUSE=22 fails_with 4 emulated rn-train model.json --device cuda -q # within a window
	[[ $stderr =~ stage\ .*\ forward\ of\ val\ \'val\':\ after\ epoch\ 0:\ .*invalid\ configuration\ argument ]]
	RN_EMULATE_REFUSE=30 fails_with 4 emulated rn-train model.json --device cuda -q
	[[ $stderr =~ stage\ .*\ of\ fit\ \'loss\':\ after\ epoch\ 1:\ .*invalid\ configuration\ argument ]]
}

@test "whatever launch fails, the stage is told: constants, epochs, validations, predictions" {
	local n
	graph
	printf '%s\n' '?source Node = "node.csv" <key="id"> .' '?source Edge = "edge.csv" .' \
		'A(s, t; 1 / sqrt([s] + [t] + 1)) :- Edge(s, t) .' 'X(n; [a]) :- Node(n, a, y) .' \
		'H(d; sum(a * z)) :- X(s; z), A(s, d; a) .' 'Out(n; Linear(1, 3)(tanh(z))) :- H(n; z) .' \
		'?fit <epochs=3> Loss(; CrossEntropyLoss()(z, [y])) :- Out(n; z), Node(n, a, y) .' \
		'?val <metric="accuracy", target="y"> Val(n, y; z) :- Out(n; z), Node(n, a, y) .' \
		'?pred P(n; z) :- Out(n; z) .' >m.relnn
	for ((n = 1; n < 100; n++)); do
		RN_EMULATE_REFUSE=$n run --separate-stderr emulated rn-train m.relnn --device cuda -q
		[ "$status" != 0 ] || break
		echo "$n: $stderr"
		[ "$status" = 4 ]
		# But for the kernels that stand for the host between epochs.
		[[ $stderr == *" rn_cuda_"@(turn|gate|judge|keep|look)": "* || $stderr == *"stage '"* || $stderr == "rn-train: m.relnn:"[0-9]": "@(map|agg)" '"* ]]
		echo "$stderr" >>all
	done
	[ "$n" -gt 10 ] && [ "$n" -lt 100 ]
	grep "^rn-train: fit 'Loss': stage 'Out' (map): " all
	grep "^rn-train: stage 'Out' (.*), .* of fit 'Loss': " all
	grep "of val 'Val': " all
	grep "^rn-train: pred of 'Out': stage 'Out' " all
	emulated rn-train m.relnn -q -o m.rnm
	RN_EMULATE_REFUSE=4 fails_with 4 emulated rn-predict m.rnm --device cuda -o p.csv
	[[ $stderr == "rn-predict: pred of 'Out': stage 'Out' "* ]]
	RN_EMULATE_REFUSE=4 fails_with 4 emulated rn-eval m.rnm --device cuda
	[[ $stderr == "rn-eval: stage 'Out' "*" of val 'Val': "* ]]
	for ((n = 1; n < 100; n++)); do # also where memory is out
		RN_CUDA_POOL=0 RN_EMULATE_NOMEM=$n run --separate-stderr emulated rn-eval m.rnm --device cuda
		[ "$status" != 0 ] || break
		[ "$status" = 4 ]
		echo "$stderr" >>memory
	done
	grep "^rn-eval: device 'cuda': out of memory: .*; val 'Val' needs " memory
}

@test "a metric's memory that cannot be had is the validation's, and counted" {
	points
	sed -i 's/"metric": "[a-z_]*"/"metric": "roc_auc"/' model.json
	grep -q roc_auc model.json
	local n
	for ((n = 1; n < 100; n++)); do
		RN_CUDA_POOL=0 RN_EMULATE_NOMEM=$n run --separate-stderr emulated rn-train model.json --device cuda -q --epochs 3
		[ "$status" != 0 ] || break
		[ "$status" = 4 ]
		echo "$stderr" >>all
	done
	grep "; val 'val' needs " all >val
	[ "$(wc -l <val)" -ge 6 ] # those of the machine, and what reads the metric
	! grep -v ' for the metric and the best parameters' val
}

# bits_of HOW MB MODEL...: of a few epochs, with RN_CUDA_GRAPH=HOW and so much memory.
bits_of() {
	local how=$1 memory=$2
	shift 2
	RN_CUDA_GRAPH=$how RN_EMULATE_MEMORY=$memory emulated rn-train "$@" --device cuda -q --json --output-dir . >result.json
	member bits <result.json
}

# The emulated device goes through a graph in orders that it allows: as captured, the other way round,
# at random.
@test "graphs: what may run side by side gives the bits of one thing after the other" {
	local model=$BATS_TEST_DIRNAME/../../examples/karate/model.json bits
	bits=$(bits_of 0 2048 "$model" --epochs 12)
	[ -n "$bits" ]
	[ "$(bits_of line 2048 "$model" --epochs 12)" = "$bits" ]
	[ "$(bits_of side 2048 "$model" --epochs 12)" = "$bits" ]
	# so little memory that results lie where others lay
	[ "$(bits_of side 8 "$model" --epochs 12)" = "$bits" ]
}

# towers ROWS WIDTH LAYER...: a program of so many rows, with two equal towers of such layers.
towers() {
	local rows=$1 width=$2 z=z layer
	shift 2
	awk -v n="$rows" 'BEGIN { srand(1); print "id,a,b,y"; for (i = 0; i < n; i++) print i "," rand() "," rand() "," (rand() < .5) }' >node.csv
	for layer; do
		z="tanh($layer($z))"
	done
	cat >towers.relnn <<-END
		?source Node = "node.csv" <key="id"> .
		X(n; [a, b]) :- Node(n, a, b, y) .
		H(n; $z) :- X(n; z) .
		G(n; $z) :- X(n; z) .
		Out(n; Linear($width, 2)(z + w)) :- H(n; z), G(n; w) .
		?fit <epochs=8> Loss(; CrossEntropyLoss()(z, [y])) :- Out(n; z), Node(n, a, b, y) .
	END
}

@test "graphs: instructions that share their scratch, and products of cuBLAS, which share its memory, take turns" {
	local bits
	towers 9000 8 'Linear(2, 8)' # gradients in panels, which are added
	bits=$(bits_of 0 2048 towers.relnn)
	[ -n "$bits" ]
	[ "$(bits_of side 2048 towers.relnn)" = "$bits" ]
	[ "$(bits_of side 16 towers.relnn)" = "$bits" ] # scratch is shared
	towers 4200 64 'Linear(2, 64)' 'Linear(64, 64)'
	bits=$(bits_of 0 2048 towers.relnn)
	[ -n "$bits" ]
	[ "$(bits_of side 2048 towers.relnn)" = "$bits" ]
}

@test "-v tells which kernels were made" {
	points
	XDG_CACHE_HOME=$PWD/cache emulated rn-train model.json --epochs 3 --device cuda -v 2>first.txt
	grep "device 'cuda:0': [0-9]* kernels compiled" first.txt
	XDG_CACHE_HOME=$PWD/cache emulated rn-train model.json --epochs 3 --device cuda -v 2>second.txt
	grep "device 'cuda:0': [0-9]* kernels from the cache" second.txt
	RN_CUDA_FUSE=0 emulated rn-train model.json --epochs 3 --device cuda -v 2>none.txt
	! grep kernels none.txt
}

@test "no device: what is missing, exit 4; auto falls back and says so" {
	points
	RN_EMULATE_DEVICES=0 fails_with 4 emulated rn-train model.json --device cuda
	[[ $stderr == *"no CUDA-capable device is detected"* ]]
	fails_with 4 emulated rn-train model.json --device cuda:7
	says "rn-train: device 'cuda:7': the last one here is cuda:0"
	RN_EMULATE_DEVICES=0 run --separate-stderr emulated rn-train model.json --epochs 1 --device auto
	[ "$status" = 0 ]
	[[ $stderr == "rn-train: warning: no CUDA device can be used, so the CPU is: device 'cuda': "*"no CUDA-capable device is detected"* ]]
	fails_with 2 rn-train model.json --device gpu
}

@test "no library: what is missing" {
	mkdir -p alone/bin
	cp "$RN_BIN/rn-train" alone/bin
	points
	fails_with 4 env -u LD_LIBRARY_PATH alone/bin/rn-train model.json --device cuda
	[[ $stderr == *"device 'cuda': there is no librn_cuda.so"* ]]
	run -0 --separate-stderr env -u LD_LIBRARY_PATH alone/bin/rn-train model.json --epochs 1 --device auto
	[[ $stderr == "rn-train: warning: no CUDA device can be used, so the CPU is: device 'cuda': there is no librn_cuda.so"* ]]
	mkdir alone/lib
	echo nothing >alone/lib/librn_cuda.so
	# ThreadSanitizer's dlopen does not look where the program says.
	fails_with 4 env LD_LIBRARY_PATH="$PWD/alone/lib" alone/bin/rn-train model.json --device cuda
	[[ $stderr == "rn-train: device 'cuda': cannot load librn_cuda.so, which needs CUDA's libraries: "* ]]
	rm alone/lib/librn_cuda.so
	alone/bin/rn-train --version | grep "cuda: no (device 'cuda': there is no librn_cuda.so"
}

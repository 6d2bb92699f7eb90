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

@test "memory that does not suffice, a device that is lost: exit 4, and the checkpoint is whole" {
	points
	awk 'BEGIN { print "id,a,b,y,split"; for (i = 0; i < 60000; i++)
		print i "," i % 7 "," i % 5 "," i % 2 "," (i % 3 == 0 ? "train" : "test") }' >points.csv
	RN_EMULATE_MEMORY=3 fails_with 4 emulated rn-train model.json --epochs 2 --device cuda -q
	[[ $stderr == *"out of memory: "*" are wanted, "*" of 3.0 MiB are free"* ]]
	points
	RN_EMULATE_FAIL=150 fails_with 4 emulated rn-train model.json --device cuda -q \
		--checkpoint c.ck --checkpoint-every 1
	[[ $stderr == *"uncorrectable ECC error"* ]]
	emulated rn-train model.json --device cuda -q --resume c.ck
}

@test "no device: what is missing, exit 4; auto falls back and says so" {
	points
	RN_EMULATE_DEVICES=0 fails_with 4 emulated rn-train model.json --device cuda
	[[ $stderr == *"no CUDA-capable device is detected"* ]]
	fails_with 4 emulated rn-train model.json --device cuda:7
	says "rn-train: device 'cuda:7': the last one here is cuda:0"
	RN_EMULATE_DEVICES=0 run --separate-stderr emulated rn-train model.json --epochs 1 --device auto
	[ "$status" = 0 ]
	[[ $stderr == *"no CUDA device can be used, so the CPU is"* ]]
	fails_with 2 rn-train model.json --device gpu
}

@test "no library: what is missing" {
	mkdir -p alone/bin
	cp "$RN_BIN/rn-train" alone/bin
	points
	fails_with 4 env -u LD_LIBRARY_PATH alone/bin/rn-train model.json --device cuda
	[[ $stderr == *"device 'cuda': there is no librn_cuda.so"* ]]
	alone/bin/rn-train --version | grep "cuda: no (device 'cuda': there is no librn_cuda.so"
}

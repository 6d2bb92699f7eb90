#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# bench/gpu.py as far as it runs without a device.
load lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	command -v python3 >/dev/null || skip "no python3"
	gpu=$BATS_TEST_DIRNAME/../../bench/gpu.py
}

@test "bench/gpu.py --self-check: every part runs on tiny data" {
	python3 "$gpu" --self-check >table.txt
	grep 'segment sums, 300 nodes, 2,000 edges, width 64 .* ms' table.txt
	grep 'product, 300 x 128 x 256 .* GFLOP/s' table.txt
	grep 'a small network, epoch .* ms' table.txt
	grep -e 'karate, epoch .* ms' -e 'skipped: karate: ' table.txt
	grep -e 'gcn, tiny, epoch .* ms' -e 'skipped: graphs: no numpy' table.txt
	grep -e 'gcn-cora, epoch, by placement .*staged / fused' -e 'skipped: staged: ' table.txt
}

@test "bench/gpu.py: without a device it says so, and that is all" {
	RN_EMULATE_DEVICES=0 LD_LIBRARY_PATH="$RN_BIN/../emulated" run python3 "$gpu"
	[ "$status" = 0 ]
	[[ $output == "SKIP: no CUDA device: "* ]]
	[ "$(wc -l <<<"$output")" = 1 ]
	run python3 "$gpu" --only nothing
	[ "$status" = 2 ]
}

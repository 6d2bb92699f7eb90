#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# bench/gpu.py as far as it runs without a device, scripts/bench as far as it runs without peers.
load lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	command -v python3 >/dev/null || skip "no python3"
	gpu=$BATS_TEST_DIRNAME/../../bench/gpu.py
	# As the library that they link.
	case ${RN_VARIANT:-release} in
	asan) export RN_BENCH_FLAGS=-fsanitize=address,undefined ;;
	ubsan) export RN_BENCH_FLAGS=-fsanitize=undefined ;;
	tsan) export RN_BENCH_FLAGS=-fsanitize=thread ;;
	esac
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

# What scripts/bench could write, with the time of the last change.
written() {
	local root=$BATS_TEST_DIRNAME/../..
	find "$root/docs/benchmarks.md" "$root/bench/results" -printf '%p %T@\n' 2>/dev/null | sort
}

# Where its C programs can be linked.
can_link() {
	command -v cc >/dev/null || skip "no cc"
	[ -f "$RN_BIN/../librn.a" ] || skip "no library beside the programs"
}

@test "scripts/bench: each part without peers has its rows on a tiny table, and no page is written" {
	can_link
	bench=$BATS_TEST_DIRNAME/../../scripts/bench
	before=$(written)
	env -u RN_DUCKDB_PYTHON python3 "$bench" --rows 1000 --runs 1 --no-torch --no-duckdb \
		--only csv,write,join,group,sort,programs >table.txt
	[ "$(written)" = "$before" ]
	grep -x 'all processes on processors\? [0-9]\+\( and [0-9]\+\)\?' table.txt
	grep -x 'skipped: DuckDB: --no-duckdb' table.txt
	while read -r work; do
		for threads in '1 thread' '2 threads'; do
			grep -E "^$work +RN, $threads +[0-9]+\.[0-9]{3} M(B| rows)/s" table.txt
		done
	done <<-'end'
		0.001 M rows of CSV \(0 MB\), typed, to a stream
		0.001 M rows to CSV \(0 MB\)
		hash join of 0.001 M rows with a tenth, ids in a row
		hash join of 0.001 M rows with a tenth, any ids
		group by of 0.001 M rows to a tenth, sum and avg, ids in a row
		group by of 0.001 M rows to a tenth, sum and avg, any ids
		sort of 0.001 M rows by an id
		rn-join of 0.001 M rows, from a stream file to a stream
		rn-agg of 0.001 M rows, from a stream file to a stream
		rn-filter of 0.001 M rows, from a stream file to a stream
	end
	[ "$(grep -c DuckDB table.txt)" = 1 ]
	grep -E '^[0-9.]+ minutes; load average ' table.txt
	run grep -e 'written to' -e 'a page' table.txt
	[ "$status" = 1 ]
}

@test "scripts/bench: a part that is not there, or too few rows, is a wrong usage" {
	bench=$BATS_TEST_DIRNAME/../../scripts/bench
	run python3 "$bench" --only nothing
	[ "$status" = 2 ]
	[[ $output == *"there is no part 'nothing': machine gcn models"* ]]
	run python3 "$bench" --rows 10
	[ "$status" = 2 ]
}

@test "scripts/bench: the page is written from a whole run with all peers alone, and tells how it was run" {
	python3 - "$BATS_TEST_DIRNAME/../../scripts/bench" <<-'end'
		import importlib.machinery, importlib.util, sys
		loader = importlib.machinery.SourceFileLoader("bench", sys.argv[1])
		bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
		loader.exec_module(bench)

		def whole(torch="python", duck="DuckDB", *more):
		    sys.argv[1:] = more
		    args = bench.options()
		    args.torch, args.duck = torch, duck
		    return bench.is_whole(args)

		assert whole()
		assert whole("python", "DuckDB", "--runs", "7")
		assert not whole(torch=None)
		assert not whole(duck=None)
		for more in (["--runs", "4"], ["--rows", "9999999"], ["--models", "gcn"], ["--only", "csv,write"]):
		    assert not whole("python", "DuckDB", *more), more

		machine = {"cpu": "a processor", "cores": 4, "used": [0, 1], "kernel": "6"}
		rows = [{"work": "a", "who": "RN", "value": 1, "unit": "s", "most": 2, "met": True},
		        {"work": "a", "who": "x / RN", "value": 3, "unit": "x", "target": 4, "met": False}]
		page = bench.common.markdown({"date": "today", "commit": "abc", "changed": True, "machine": machine, "runs": 5,
		                              "load_average": [0.5, 2], "minutes": 60, "skipped": ["a thing: why"], "rows": rows})
		for text in ("at commit abc and changes that are not committed", "on processors 0 and 1",
		             "0.50 before and 2.00 at the end", "- a thing: why", "| a | RN | 1 s | at most 2: met |",
		             "|  | x / RN | 3 x | 4: **missed** |"):
		    assert text in page, (text, page)
	end
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# scripts/gpu-check, as far as it runs without a device: on the emulated one.
load lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	[ -f "$RN_BIN/../emulated/librn_cuda.so" ] || skip "no emulated device"
	check=$BATS_TEST_DIRNAME/../../scripts/gpu-check
	export BUILD=$RN_BIN/..
}

teardown() {
	rm -rf "$BATS_TEST_DIRNAME"/../../build/{first,second,third,fourth}-logs
}

@test "gpu-check: an example on the device, as a table, as JSON, and with its logs" {
	"$check" --emulated -p examples,sanitizer -x karate -e 3 -o "$PWD/first.json" >table.txt || {
		cat table.txt
		false
	}
	grep '^karate  *ok  *[0-9.]* ms on the CPU, [0-9.]* on CUDA; accuracy [0-9.]*, [0-9.]*$' table.txt
	grep -E '^memcheck +(ok|skip) ' table.txt
	! grep -E '^(gcn-cora|test_cuda|bench) ' table.txt
	grep '^{"device": "emulated", .*"checks": \[{"check": "karate", "result": "ok", .*}\]}$' first.json
	tar -tzf first-logs.tar.gz >names.txt
	grep -x './karate.staged.json' names.txt
	! grep './out/' names.txt
}

@test "gpu-check: a device that fails is FAILED, and so is the whole" {
	run -1 --separate-stderr env RN_EMULATE_FAIL=40 "$check" --emulated -p examples -x karate -e 3 -o "$PWD/second.json"
	grep '^karate  *FAILED .*ECC' <<<"$output"
	grep '"result": "FAILED"' second.json
}

@test "gpu-check: without time nothing begins, and it is told" {
	"$check" --emulated -t 5 -p tests,bench -o "$PWD/third.json" >table.txt
	grep '^test_cuda  *skip  *no time was left of 5 s' table.txt
	[ "$(grep -c '"result": "skip"' <(tr '}' '\n' <third.json))" = 5 ]
}

@test "gpu-check: no device, and no such part" {
	RN_EMULATE_DEVICES=0 run -0 "$check" --emulated -p examples -o "$PWD/fourth.json"
	[[ $output == "SKIP: it is built, and not run: "*"no CUDA-capable device"* ]]
	run -1 "$check" -p example
	[[ $output == *"there is no part 'example'"* ]]
	run -1 "$check" -t soon
	[[ $output == *"-t wants seconds, not 'soon'"* ]]
	run -1 "$check" -o
	[[ $output == *"-o wants a value"* ]]
}

@test "gpu-check --carry: what a machine without packages compiles and links with" {
	command -v cc >/dev/null || skip "no cc"
	mkdir data
	echo 1 >data/one.csv
	RN_DATA=$PWD/data "$check" --carry "$PWD/carry" >/dev/null
	cmp data/one.csv carry/data/one.csv
	carry/bin/make --version >/dev/null
	cat >a.c <<-'END'
		#include <jansson.h>
		#include <xxhash.h>
		#include <zlib.h>
		#include <zstd.h>
		int main(void) { return !(ZSTD_versionNumber() && zlibVersion() && json_object()); }
	END
	cc -Icarry/include -o a a.c -Lcarry/lib "-Wl,-rpath,$PWD/carry/lib" -lzstd -ljansson -lz
	./a
	[ "$(ldd a | grep -c "$PWD/carry/lib/")" = 3 ]
}

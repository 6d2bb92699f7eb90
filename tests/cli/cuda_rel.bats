#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Relational operators on the device (RN_CUDA_REL), on the emulated one: the rows and the order
# of the CPU.
load lib

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	export XDG_CACHE_HOME=$BATS_FILE_TMPDIR/cache # kernels are compiled once for this file
}

# The programs with the library that runs on the CPU, and all relational work sent to it.
emulated() {
	env LD_LIBRARY_PATH="$RN_BIN/../emulated" RN_CUDA_REL="${rel:-always}" "$@"
}

# Keys of integers (near and far), strings and numbers, with NULLs and many rows of one.
data() {
	awk 'BEGIN {
		srand(3); print "id,far,name,x" >"p.csv"; print "src,dst,name,w" >"e.csv"
		for (i = 0; i < 300; i++)
			print i "," (i * 2654435761) * 1048583 "," (i % 9 ? "n" i % 50 : "") "," i % 17 / 4 >"p.csv"
		for (i = 0; i < 2000; i++) {
			s = int(rand() * 400); d = int(rand() * 20)
			print (s % 11 ? s : "") "," (d * 2654435761) * 1048583 "," (s % 7 ? "n" d : "") "," int(rand() * 5) / 2 >"e.csv"
		}
	}'
}

# on_both WHAT ROWS COMMAND...: the same rows, more than ROWS of them, and the same schema from the
# device as from the CPU, and the log of the device's work has WHAT.
on_both() {
	local what=$1 rows=$2
	shift 2
	"$@" >cpu.er
	emulated "$@" --device cuda -v >cuda.er 2>log || {
		cat log
		return 1
	}
	same_stream cpu.er cuda.er
	[ "$(rn-cat cpu.er | wc -l)" -gt "$rows" ]
	grep "on cuda:0: .*$what in" log || {
		cat log
		return 1
	}
}

@test "joins of all kinds" {
	data
	for how in inner left semi anti full; do
		on_both 'keys sought' 100 rn-join e.csv p.csv --on src=id --how $how
	done
	on_both 'keys sought' 5000 rn-join e.csv p.csv --on name --how left
	on_both 'keys sought' 1 rn-join e.csv p.csv --on src=id --on name
	on_both 'keys sought' 10000 rn-join a=e.csv b=e.csv --on dst --and 'a.w < b.w'
	on_both 'keys sought' 1000 rn-join e.csv p.csv --on dst=far
}

@test "groups, distinct keys, and groups by the keys of another relation" {
	data
	for by in src dst name w name,dst src,dst,name; do
		on_both 'keys numbered' 5 rn-agg e.csv --by $by --cols 'n=count(*), s=sum(w), m=max(src)'
	done
	rn-project p.csv --cols src=id -o keys.er
	on_both 'keys sought' 299 rn-agg e.csv --by src --keys keys.er --cols 'n=count(*)'
	on_both 'rows dealt out' 299 rn-agg e.csv --by src --keys keys.er --cols 'n=count(*)'
}

@test "orders" {
	data
	for by in src dst 'dst desc' name 'name desc,w' 'w,src desc,name' 'name||name'; do
		on_both 'rows sorted' 1999 rn-sort --by "$by" e.csv
	done
	# Words of 64 bits, and strings too long for the device.
	on_both 'rows sorted' 299 rn-sort --by far p.csv
	awk 'NR > 1 { $0 = $0 "," int(1000 / NR) "a string of more than twenty-eight bytes" } NR == 1 { $0 = $0 ",long" } 1' p.csv >long.csv
	rn-sort --by 'long,x' long.csv >cpu.er
	emulated rn-sort --by 'long,x' long.csv --device cuda >cuda.er
	same_stream cpu.er cuda.er
}

@test "more than fits into --mem: by blocks, by partitions, by runs" {
	awk 'BEGIN { print "k,t,v"; for (i = 0; i < 30000; i++) print (i * 7919) % 9973 * 1000003 ",s" i % 777 "," i }' >big.csv
	awk 'BEGIN { print "k,u"; for (i = 0; i < 9000; i++) print i * 1000003 "," i }' >keys.csv
	on_both 'keys sought' 20000 rn-join big.csv keys.csv --on k --how left --mem 1M
	on_both 'keys numbered' 9000 rn-agg big.csv --by k --cols 'n=count(*), s=sum(v)' --mem 512K
	on_both 'rows sorted' 30000 rn-sort --by 't,k desc' big.csv --mem 1M
}

@test "a whole plan: the same bits whether the rows are the device's or the CPU's" {
	data
	cat >model.json <<-'END'
		{"rn": 1,
		 "sources": {"p": {"from": "p.csv", "key": ["id"]}, "e": {"from": "e.csv"}},
		 "stages": [
		  {"name": "x", "op": "encode", "in": "p", "expr": "raw(x)"},
		  {"name": "h", "op": "linear", "in": "x", "out": 4},
		  {"name": "deg", "op": "agg", "in": "e", "by": ["src"], "cols": "n = count(*)"},
		  {"name": "j", "op": "join", "in": {"e": "e", "h": "h"}, "on": {"src": "id"}},
		  {"name": "a", "op": "agg", "in": "j", "expr": "mean(z)", "by": ["dst"]},
		  {"name": "o", "op": "linear", "in": "a", "out": 1},
		  {"name": "t", "op": "join", "in": ["o", "p"], "on": {"dst": "far"}},
		  {"name": "u", "op": "join", "in": ["t", "deg"], "on": {"id": "src"}},
		  {"name": "s", "op": "sort", "in": "u", "by": "n desc, id"},
		  {"name": "loss", "op": "loss", "in": "s", "kind": "mse", "target": "x"}],
		 "run": [{"fit": {"loss": "loss", "epochs": 3}},
		  {"pred": {"name": "s", "in": "s", "to": "pred.csv"}}]}
	END
	for rel in 0 always; do
		rel=$rel emulated rn-train model.json --device cuda -v --json >$rel.json 2>$rel.log
		mv pred.csv $rel.csv
	done
	[ -n "$(member bits <always.json)" ]
	[ "$(member bits <0.json)" = "$(member bits <always.json)" ]
	[ "$(wc -l <0.csv)" -gt 10 ]
	cmp 0.csv always.csv
	grep 'on cuda:0: keys numbered in .*rows sorted' always.log
	run ! grep 'on cuda:0: ' 0.log
}

@test "where the device does not have the memory, or is lost, the CPU does it" {
	data
	awk 'BEGIN { print "k,v"; for (i = 0; i < 90000; i++) print (i * 7919) % 65537 * 1000003 "," i }' >big.csv
	rn-agg big.csv --by k --cols 'n=count(*), s=sum(v)' >cpu.er
	RN_EMULATE_MEMORY=4 emulated rn-agg big.csv --by k --cols 'n=count(*), s=sum(v)' --device cuda -v >cuda.er 2>log
	same_stream cpu.er cuda.er
	run ! grep 'on cuda:0' log
	for n in 1 4 9; do
		RN_EMULATE_FAIL=$n emulated rn-agg e.csv --by dst --cols 'n=count(*)' --device cuda -v >cuda.er 2>log
		rn-agg e.csv --by dst --cols 'n=count(*)' >cpu.er
		same_stream cpu.er cuda.er
		run ! grep 'on cuda:0' log
	done
}

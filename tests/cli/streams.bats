#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Streams between programs: damage, death, abort, and diamonds.

load lib

# cuts FILE DIR, flips FILE DIR: a file for every length, or with one byte inverted.
cuts() {
	mkdir "$2"
	perl -e 'local $/; open F, "<:raw", $ARGV[0]; $x = <F>;
		for $i (0 .. length($x) - 1) { open O, ">:raw", "$ARGV[1]/$i"; print O substr($x, 0, $i) }' "$1" "$2"
}
flips() {
	mkdir "$2"
	perl -e 'local $/; open F, "<:raw", $ARGV[0]; $x = <F>;
		for $i (0 .. length($x) - 1) { $y = $x; substr($y, $i, 1) ^= "\xff";
			open O, ">:raw", "$ARGV[1]/$i"; print O $y }' "$1" "$2"
}

# Every file of a folder: exit 3, an offset in the message, nothing published.
all_refused() {
	local f rc
	for f in "$1"/*; do
		rc=0
		rn-cat "$f" -o out.csv 2>err || rc=$?
		if [ $rc != 3 ] || ! grep -q 'offset [0-9]' err || [ -e out.csv ]; then
			echo "$f: exit $rc"
			cat err
			return 1
		fi
	done
}

small() {
	printf 'id,name\n7,ab\n8,\n' | rn-scan - --no-history --name s -o s.er
}

@test "a stream that is cut at any byte is an error with an offset" {
	small
	cuts s.er cut
	[ "$(ls cut | wc -l)" -gt 500 ]
	all_refused cut
}

@test "a stream with any byte changed is an error with an offset" {
	small
	flips s.er flip
	all_refused flip
}

@test "a cut stream is an error through a pipe, too, and downstream" {
	small
	for n in 0 7 63 64 200 "$(($(stat -c %s s.er) - 1))"; do
		fails_with 3 bash -c "head -c $n s.er | rn-cat"
		[[ $stderr == *offset* ]]
		fails_with 3 bash -c "head -c $n s.er | rn-filter 'id > 7' 2>/dev/null | rn-cat"
		[[ $stderr == *offset* ]]
	done
}

@test "what follows the end is an error" {
	small
	cat s.er s.er >two.er
	fails_with 3 rn-cat two.er -o out.csv
	[ ! -e out.csv ]
}

@test "a producer that is killed leaves an error, not a short relation" {
	mkfifo f
	rn-cat f -o out.csv 2>err &
	reader=$!
	(
		echo id
		yes 1
	) | rn-scan - --types id=int64 --block-rows 100 -o f &
	sleep 0.3
	kill -9 $!
	rc=0
	wait $reader || rc=$?
	[ $rc = 3 ]
	grep -q 'offset' err
	[ ! -e out.csv ]
}

@test "an error reaches the end of the pipeline as the root cause, without pipefail" {
	tables
	fails_with 3 bash -c "rn-filter 'nope = 1' p.er 2>/dev/null | rn-project --cols id 2>/dev/null | rn-agg --by id 2>/dev/null | rn-cat"
	[[ $stderr == "rn-cat: "*"no column 'nope' in p"* ]]
	fails_with 3 bash -c "rn-scan missing.csv 2>/dev/null | rn-head 2>/dev/null | rn-cat"
	[[ $stderr == "rn-cat: "*"'missing.csv'"* ]]
	printf 'id\n1\nx\n' >bad.csv
	fails_with 3 bash -c "rn-scan bad.csv --types id=int64 2>/dev/null | rn-join - p.er --on id 2>/dev/null | rn-info"
	[[ $stderr == "rn-info: "*"bad.csv:3"* ]]
	fails_with 3 bash -c "rn-filter 'nope = 1' p.er 2>/dev/null | rn-loss mse --target x 2>/dev/null | rn-train"
	[[ $stderr == "rn-train: "*"no column 'nope' in p"* ]]
}

@test "head in the middle is quiet" {
	tables
	seq 300000 | rn-scan - --no-header -o n.er
	prints c0 bash -c 'rn-cat n.er | head -1'
	[ -z "$stderr" ]
	run --separate-stderr bash -o pipefail -c 'rn-cat n.er | head -1'
	[ "$status" = 141 ]
	[ -z "$stderr" ]
	prints $'c0\n1\n2' bash -o pipefail -c "rn-filter 'c0 > 0' n.er | rn-head -n 2 | rn-cat || [ \$? = 141 ]"
}

@test "a parent that ignores SIGPIPE changes nothing" {
	tables
	seq 300000 | rn-scan - --no-header -o n.er
	run --separate-stderr bash -o pipefail -c "trap '' PIPE; rn-cat n.er | head -1"
	[ "$status" = 141 ]
	[ -z "$stderr" ]
}

@test "a full disk is reported" {
	tables
	seq 100000 | rn-scan - --no-header -o n.er
	for c in 'rn-cat n.er' 'rn-cat n.er --format jsonl' 'rn-head n.er' "rn-filter 'c0 > 1' n.er" 'rn-info n.er' \
		'rn-explain n.er' 'rn-scan e.csv' 'rn-train --schema'; do
		fails_with 1 bash -c "$c >/dev/full"
		[[ $stderr == *"'standard output': No space left on device" ]]
	done
}

@test "an output file appears whole or not at all" {
	tables
	echo old >out.er
	fails_with 2 rn-filter 'nope = 1' p.er -o out.er
	[ "$(cat out.er)" = old ]
	rn-filter 'id = 1' p.er -o out.er
	prints $'id\n1' pipeline 'rn-project --cols id out.er | rn-cat'
	[ "$(find . -name '*.tmp' | wc -l)" = 0 ]
	rn-filter 'id = 1' p.er -o /dev/stdout | rn-info >/dev/null
	fails_with 1 rn-filter 'id = 1' p.er -o no/such/folder/x.er
	[[ $stderr == "rn-filter: cannot create 'no/such/folder/"*"': No such file or directory" ]]
}

@test "an input may be the output" {
	tables
	rn-filter 'id > 1' p.er -o p.er
	prints $'id\n2\n3' pipeline 'rn-project --cols id p.er | rn-cat'
}

# 100 MB through both arms of a diamond, which come together in a join.
big() {
	seq 1 "${1:-400000}" | awk 'BEGIN { OFS = ","; print "id,a,b,c" } { print $1, $1 * 7919 % 1000003, $1 % 977, "text of row " $1 " and so on and on and on" }'
}

@test "diamonds through tee and fifos do not hang" {
	mkfifo f g
	big | rn-scan - -z none --name t >t.er
	rows=$(rn-agg t.er --cols 'n=count(*)' | rn-cat --no-header)
	[ "$rows" = 400000 ]
	# tee: one arm is long before the other is opened.
	timeout 120 bash -c "for i in 1 2 3; do cat t.er; break; done | tee f | rn-filter 'b < 500' -z none |
		rn-join - r=f --on id | rn-agg --cols 'n=count(*)' | rn-cat --no-header" >n
	[ "$(cat n)" = "$(rn-filter 'b < 500' t.er | rn-agg --cols 'n=count(*)' | rn-cat --no-header)" ]
	# The join reads its right input while the left waits for it.
	timeout 120 bash -c "tee f <t.er | rn-agg --by b --cols 'n=count(*)' -z none >g & rn-join l=f r=g --on b |
		rn-agg --cols 's=sum(n)' | rn-cat --no-header; wait" >n
	[ "$(cat n)" -gt 400000 ]
}

@test "process substitution: several inputs are drained at once" {
	big >t.csv
	timeout 120 bash -c "rn-union <(rn-scan t.csv -z none) <(rn-scan t.csv -z none) <(rn-scan t.csv -z none) |
		rn-agg --cols 'n=count(*)' | rn-cat --no-header" >n
	[ "$(cat n)" = 1200000 ]
}

@test "an input that cannot be read is told, also where nobody writes to the other one" {
	mkfifo f fifo.csv
	echo nothing >bad.er
	for inputs in 'missing.er f' 'f missing.er'; do
		# shellcheck disable=SC2086
		fails_with 1 timeout 60 rn-join $inputs --on id
		says "rn-join: cannot open 'missing.er': No such file or directory"
	done
	tables
	head -c 300 p.er >cut.er
	printf 'id\n1,2\n' >bad.csv
	mkdir folder
	for bad in bad.er cut.er bad.csv; do
		for inputs in "$bad f" "f $bad" "$bad fifo.csv" "fifo.csv $bad"; do
			# shellcheck disable=SC2086
			fails_with 3 timeout 60 rn-union $inputs
			[[ $stderr == *"$bad"* ]]
		done
	done
	fails_with 1 timeout 60 rn-union f folder
	says "rn-union: cannot read 'folder': Is a directory"
	for inputs in 'f missing.csv' 'missing.csv f'; do
		# shellcheck disable=SC2086
		fails_with 1 timeout 60 rn-union $inputs
		says "rn-union: cannot open 'missing.csv': No such file or directory"
	done
	fails_with 3 timeout 60 rn-train f --val bad.er --metric accuracy --target y
	fails_with 1 timeout 60 rn-train f --val missing.er --metric accuracy --target y
	says "rn-train: cannot open 'missing.er': No such file or directory"
	# Nor is a FIFO at its end before somebody has written to it.
	seq 3 | rn-scan --no-header --name t -o t.er
	(
		sleep 0.2
		exec 5>f
		sleep 0.2
		cat t.er >&5
	) &
	prints $'c0\n1\n2\n3\n1\n2\n3' bash -c 'timeout 60 rn-union f t.er | rn-cat'
	wait
}

@test "equal rows whatever the block size, codec and thread count" {
	seq 1 2000 | awk 'BEGIN { print "id,a,f" } { print $1 "," $1 % 13 "," $1 / 8 }' >t.csv
	rn-scan t.csv --emb f -o t.er
	for o in '--block-rows 1' '--block-rows 7 -z zstd' '-z none -t 3' '-z zstd:9 --block-rows 65536'; do
		# shellcheck disable=SC2086
		rn-scan t.csv --emb f $o -o u.er
		same_stream t.er u.er
		rn-filter 'a < 7' t.er -o v.er
		# shellcheck disable=SC2086
		rn-filter 'a < 7' u.er $o -o w.er
		same_stream v.er w.er
		rn-map 'z * 2 + [a]' t.er -o v.er
		# shellcheck disable=SC2086
		rn-map 'z * 2 + [a]' u.er $o -o w.er
		same_stream v.er w.er
		rn-agg 'sum(z)' --by a t.er -o v.er
		# shellcheck disable=SC2086
		rn-agg 'sum(z)' --by a u.er $o -o w.er
		same_stream v.er w.er
	done
}

@test "a plan is no rows: rn-cat and rn-head say what to do" {
	tables
	rn-scan p.csv --emb x -q | rn-linear 4 --name h -o h.er
	fails_with 2 rn-cat h.er
	says "rn-cat: 'h.er' is a plan that has not run, and has no rows yet: train it with rn-train, or look at it with rn-explain"
	fails_with 2 rn-head - <h.er
	says "rn-head: 'standard input' is a plan that has not run, and has no rows yet: train it with rn-train, or look at it with rn-explain"
	rn-info h.er | grep -q '^h.er: deferred, format 1.0, checksums verified$'
	rn-explain h.er | grep -q '^h = linear(p) 4  -> (id int64, club string, year int64; z \[4\])$'
}

@test "equal relations are carried once, and tee'd stages are one" {
	tables
	rn-scan p.csv --emb x -q | rn-linear 4 --name h -o h.er
	rn-join a=h.er b=h.er --on id -o j.er
	[ "$(rn-info j.er --json | grep -c '"rows"')" = 1 ]
	[ "$(rn-explain j.er | wc -l)" = 3 ]
}

@test "what is no stream is told from a damaged one" {
	echo hello >x.er
	fails_with 3 rn-cat x.er
	says "rn-cat: 'x.er' is not an RN stream: it has no magic at offset 0 (rn-scan reads text)"
	printf 'a,b\n' >x.er
	fails_with 3 rn-info x.er
	says "rn-info: 'x.er' is not an RN stream: it has no magic at offset 0 (rn-scan reads text)"
	fails_with 1 rn-cat missing.er
	says "rn-cat: cannot open 'missing.er': No such file or directory"
	: >empty.er
	fails_with 3 rn-cat empty.er
	says "rn-cat: 'empty.er': truncated at offset 0: the stream has no end, its producer may have failed"
}

@test "a model says which commands made it, from which sources and with which seed" {
	points
	rn-scan points.csv --key id | rn-encode 'raw(a, b)' | rn-linear 2 --name out |
		rn-loss cross-entropy --target y | rn-train -o m.rnm --epochs 3 --seed 5 -q
	[ "$(rn-info m.rnm | sed -n '/^history:/,$p')" = "history:
  rn-scan points.csv --key id
  rn-encode raw(a, b)
  rn-linear 2 --name out
  rn-loss cross-entropy --target y
  rn-train -o m.rnm --epochs 3 --seed 5 -q  # seed 5" ]
	rn-info m.rnm | grep -q "= scan $PWD/points.csv"
	run -0 rn-train model.json --set epochs=2 --json -q -o m.rnm
	[ "$(rn-info m.rnm | tail -1)" = '  rn-train model.json --set epochs=2 --json -q -o m.rnm  # seed 1' ]
	rn-info m.rnm --json | grep -q '"seed": 1'
	for out in a b; do
		run -0 rn-train model.json --set epochs=2 --no-history -q -o $out.rnm
	done
	cmp a.rnm b.rnm
	! rn-info a.rnm | grep -q history || false
}

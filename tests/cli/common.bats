#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The contract that all programs keep: a loop over them.

load lib

options='-q -v -v -t 2 -d cpu -z zstd:3 --block-rows 100 --seed 5 --mem 1G --stats=json --no-history --strict -f -o x'

@test "--help: at most 40 lines on standard output, exit 0" {
	for p in "${PROGRAMS[@]}"; do
		for o in --help -h; do
			run -0 --separate-stderr "$p" $o
			[ -z "$stderr" ]
			[[ ${lines[0]} == "usage: $p "* ]]
			[ "$("$p" $o | wc -l)" -le 40 ]
			"$p" $o | grep -q '^exit status: 0 done, 1 I/O'
			"$p" $o | grep -q '^see also: .*rn(7)$'
			[ "$("$p" $o | sed -n '/^examples:/,/^see also/p' | wc -l)" -ge 3 ]
		done
	done
}

@test "--version: program, stream format, libraries" {
	for p in "${PROGRAMS[@]}"; do
		run -0 --separate-stderr "$p" -V
		[[ ${lines[0]} == "$p (RN) "[0-9]* ]]
		for what in 'stream format: ' 'zstd: ' 'blas: ' 'cpu kernels: ' 'cuda: '; do
			[[ $output == *$'\n'"$what"* ]]
		done
	done
}

@test "every common option is accepted by every program" {
	for p in "${PROGRAMS[@]}"; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr "$p" $options --help
		run -0 --separate-stderr "$p" -qvt2 -dcpu -zauto --stats --quiet --help || [ "$status" = 2 ]
	done
}

@test "unknown options are refused, with a suggestion" {
	for p in "${PROGRAMS[@]}"; do
		fails_with 2 "$p" --sed 4
		says "$p: unknown option '--sed'; did you mean '--seed'?"
		fails_with 2 "$p" --no-histroy
		says "$p: unknown option '--no-histroy'; did you mean '--no-history'?"
		fails_with 2 "$p" --qqqqqqqqqqqq
		says "$p: unknown option '--qqqqqqqqqqqq'; see '$p --help'"
		fails_with 2 "$p" -Z
		says "$p: unknown option '-Z'; see '$p --help'"
	done
}

@test "the beginning of a name is no name" {
	for p in "${PROGRAMS[@]}"; do
		fails_with 2 "$p" --thread 3
		says "$p: unknown option '--thread'; did you mean '--threads'?"
	done
}

@test "numbers and choices are strict" {
	for p in "${PROGRAMS[@]}"; do
		fails_with 2 "$p" --threads 12x
		says "$p: --threads wants an integer, not '12x'"
		fails_with 2 "$p" --mem 5Q
		says "$p: --mem wants a size like 512, 64K, 2M or 1.5G, not '5Q'"
		fails_with 2 "$p" --stats=xml
		says "$p: --stats wants text or json, not 'xml'"
		fails_with 2 "$p" --seed=
		says "$p: --seed wants an integer, not ''"
	done
}

@test "an option is given once, and with its value" {
	for p in "${PROGRAMS[@]}"; do
		fails_with 2 "$p" --seed 1 --seed 2
		says "$p: --seed is given twice"
		fails_with 2 "$p" -q --no-quiet
		says "$p: --quiet is given twice"
		fails_with 2 "$p" --seed
		says "$p: --seed wants N"
		fails_with 2 "$p" -t
		says "$p: -t wants N"
		fails_with 2 "$p" --quiet=yes
		says "$p: --quiet takes no value"
		fails_with 2 "$p" --no-seed
		[[ $stderr == "$p: unknown option '--no-seed'"* ]]
	done
}

@test "values that are out of range are refused" {
	tables
	for o in '--threads 0' '--threads 5000' '--block-rows 0' '--block-rows 65537' '--seed -1' '--mem 0' \
		'--device gpu' '--device cuda:x' '--compress lz4' '--compress zstd:99'; do
		# shellcheck disable=SC2086
		fails_with 2 rn-filter 'id > 1' p.er $o
		[[ $stderr == "rn-filter: ${o%% *}"* ]]
	done
}

@test "a letter means one thing in the toolkit" {
	for p in "${PROGRAMS[@]}"; do
		"$p" --dump-options | awk -F '\t' '$2 { print $2, $1 }'
	done | sort -u >letters
	# -k is the key columns: of a scan and of a join.
	sed -i -e 's/^-k --key$/-k --on/' letters
	sort -u letters | awk 'seen[$1]++ { print "two meanings: " $0; bad = 1 } END { exit bad }'
	grep -qx -- '-k --on' letters
}

@test "no option of a program hides another" {
	for p in "${PROGRAMS[@]}"; do
		[ -z "$("$p" --dump-options | cut -f 1 | sort | uniq -d)" ]
		[ "$("$p" --dump-options | wc -l)" -ge 15 ]
	done
}

@test "descriptors that are closed at the start do no harm" {
	tables
	for p in "${PROGRAMS[@]}"; do
		fails_with 1 bash -c "$p --help >&-"
		says "$p: cannot write 'standard output': Bad file descriptor"
		"$p" --help >/dev/null 2>&- <&-
	done
	rn-filter 'id > 1' p.er -o f.er <&- >&- 2>&-
	prints $'id\n2\n3' pipeline 'rn-project --cols id f.er | rn-cat'
	# The output must not land in what became descriptor 2.
	fails_with 1 bash -c 'rn-cat p.er 2>&- >/dev/full'
}

@test "help and version report a full disk" {
	for p in "${PROGRAMS[@]}"; do
		for o in --help --version --dump-options; do
			fails_with 1 bash -c "$p $o >/dev/full"
			says "$p: cannot write 'standard output': No space left on device"
		done
	done
}

@test "no operand and a terminal: a hint, exit 2" {
	for p in "${PROGRAMS[@]}"; do
		args=()
		case $p in
		rn-filter) args=("'id > 1'") ;;
		rn-map) args=("'z * 2'") ;;
		rn-linear | rn-embed) args=(4) ;;
		rn-encode) args=("'raw(x)'") ;;
		rn-loss) args=(mse --target x) ;;
		rn-project) args=(--cols x) ;;
		rn-join) args=(--on id x.er) ;;
		rn-agg) args=(--by id) ;;
		esac
		run script -qec "$p ${args[*]} -o x.er" typescript
		[ "$status" = 2 ]
		[[ $output == "$p: no input, and standard input is a terminal: "*"usage: $p [OPTION]... "* ]]
	done
	[ ! -e x.er ]
}

@test "a stream does not go to a terminal, unless -f says so" {
	tables
	for p in "${STREAM_PROGRAMS[@]}" rn-predict; do
		run script -qec "$p --no-history </dev/null" typescript
		[ "$status" = 2 ]
	done
	run script -qec "rn-filter 'id > 1' p.er" typescript
	[ "$status" = 2 ]
	[[ $output == "rn-filter: the output is a binary stream, and standard output is a terminal: name a file with -o, pipe it into rn-cat, or insist with -f"* ]]
	script -qec "rn-filter -f 'id > 1' p.er" typescript | grep -q BLCK
	script -qec "rn-filter 'id > 1' p.er -o f.er" typescript
	rn-info f.er >/dev/null
}

@test "rn-head shows rows on a terminal" {
	tables
	run script -qec "rn-head -n 1 p.er" typescript
	[ "$status" = 0 ]
	[[ $output == *id*club*x*year*" 1  a     0.5  2019"*"1 row"* ]]
	[[ $output != *2020* ]]
}

@test "messages are one line each, without control characters" {
	fails_with 1 rn-cat $'no\e[31msuch\tfile.er'
	says "rn-cat: cannot open 'no?[31msuch?file.er': No such file or directory"
}

@test "-- ends the options, and options and operands may be mixed" {
	tables
	cp p.er ./-odd.er
	prints $'id\n3' pipeline "rn-filter -- 'id > 2' -odd.er | rn-project --cols id | rn-cat"
	prints $'id\n3' pipeline "rn-filter 'id > 2' --no-history p.er --seed=3 | rn-project - -cid | rn-cat"
}

@test "operands: too many, too few, twice the standard input, a name without a file" {
	tables
	fails_with 2 rn-filter 'id > 1' p.er e.er
	says "rn-filter: unexpected operand 'e.er'; usage: rn-filter [OPTION]... PREDICATE [FILE]"
	fails_with 2 rn-cat p.er e.er
	says "rn-cat: unexpected operand 'e.er'; usage: rn-cat [OPTION]... [FILE]"
	fails_with 2 rn-join --on id - - </dev/null
	says "rn-join: standard input ('-') is given twice as an input"
	fails_with 2 rn-join --on id a= p.er
	says "rn-join: 'a=' names no file"
	fails_with 2 rn-filter </dev/null
	says "rn-filter: PREDICATE is missing: keep rows for which this is true (the first operand, or --expr PREDICATE)"
	fails_with 2 rn-train p.er --eval p.er
	says "rn-train: --eval wants NAME=STREAM, not 'p.er'"
}

@test "a positional operand may be an option instead" {
	tables
	prints $'id\n3' pipeline "rn-filter --expr 'id > 2' p.er | rn-project --cols id | rn-cat"
	prints $'s\n6' pipeline "rn-agg p.er --cols 's=sum(id)' | rn-cat"
}

@test "a file whose name has a '=' is reached by its path" {
	tables
	cp p.er a=b.er
	prints $'n\n3' pipeline "rn-agg ./a=b.er --cols 'n=count(*)' | rn-cat"
	fails_with 1 rn-agg a=b.er --cols 'n=count(*)'
	says "rn-agg: cannot open 'b.er': No such file or directory"
}

@test "--stats: rows and seconds on standard error, as text or JSON" {
	tables
	run -0 --separate-stderr rn-filter 'id > 1' p.er -o f.er --stats
	[[ $stderr == "rn-filter: 3 rows in, 2 rows out "*" s" ]]
	run -0 --separate-stderr rn-filter 'id > 1' p.er -o f.er --stats=json
	[[ $stderr == '{"program":"rn-filter","deferred":false,"rows_in":3,"rows_out":2,'*'}' ]]
	rn-sort p.er --by id --stats=json -o f.er 2>stats
	grep -Eq '"seconds":[0-9.]*[1-9]' stats
	rn-head p.er --random 2 --stats=json -o f.er 2>stats
	grep -Eq '"seconds":[0-9.]*[1-9]' stats
}

@test "--stats: as many bytes as the file of text, table or matrix has" {
	tables
	rn-scan p.csv --emb id -o z.er
	for to in x.csv x.jsonl x.csv.gz x.csv.zst x.npy; do
		rn-cat z.er --stats=json -o $to 2>stats
		grep -Fq "\"written_bytes\":$(stat -c %s $to)," stats
		[[ $to != x.csv ]] || raw=$(stat -c %s $to)
		[[ $to != x.csv.* ]] || grep -Fq "\"raw_bytes\":$raw," stats
	done
	rn-cat z.er --format table --stats=json -o x.txt 2>stats
	grep -Fq "\"written_bytes\":$(stat -c %s x.txt)," stats
	rn-cat z.er --format npy --stats=json 2>stats | cmp - x.npy
	grep -Fq "\"written_bytes\":$(stat -c %s x.npy)," stats
}

@test "-v tells more, -q silences warnings" {
	tables
	run -0 --separate-stderr rn-scan p.csv --emb x -o x.er
	[[ $stderr == "rn-scan: warning: "* ]]
	run -0 --separate-stderr rn-scan p.csv --emb x -o x.er -q
	[ -z "$stderr" ]
}

@test "without history the output depends on nothing but the input" {
	tables
	rn-scan p.csv --no-history -o a.er
	sleep 0.01
	rn-scan p.csv --no-history -o b.er
	cmp a.er b.er
	rn-filter 'id > 1' a.er --no-history >c.er
	rn-filter 'id > 1' b.er --no-history -t 3 >d.er
	cmp c.er d.er
	[ "$(rn-info c.er | grep -c history)" = 0 ]
	rn-filter 'id > 1' p.er | rn-info | grep -q "^  rn-filter id > 1 p.er"
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Where rows come from and go to: dialects of CSV, dirty files, compression, JSON
# lines, several files.

load lib

@test "CSV: delimiters, comments, NULL texts, names of columns" {
	printf '# made by hand\na;b\n1;x\n# more\n2;NA\n-;"NA"\n' >x.csv
	prints $'a,b\n1,x\n2,\n,NA' \
		pipeline "rn-scan x.csv --delimiter ';' --comment '#' --null NA --null - | rn-cat"
	prints $'a,b\n1,x\n2,\n,NA' pipeline "rn-scan x.csv --delimiter ';' --comment '#' --null NA,- | rn-cat"
	printf 'a|b\n1|"x|y"\n' >p.csv
	prints $'a|b\n1|"x|y"' pipeline "rn-scan p.csv --delimiter '|' | rn-cat --delimiter '|'"
	prints $'a\tb\n1\tx|y' pipeline "rn-scan p.csv --delimiter '|' | rn-cat --delimiter '\t'"
	prints $'u,v\n1,x|y' pipeline "rn-scan p.csv --delimiter '|' --columns u,v | rn-cat"
	prints $'u,v\na,b\n1,x|y' pipeline "rn-scan p.csv --delimiter '|' --columns u,v --no-header | rn-cat"
	prints $'u,v' pipeline "rn-scan - --columns u,v --no-header </dev/null | rn-cat"
	fails_with 2 rn-scan x.csv --delimiter ';;' -o x.er
	says "rn-scan: scan 'x': --delimiter wants one character that is neither a quote nor a line end, not ';;'"
	fails_with 2 rn-scan x.csv --comment , -o x.er
	says "rn-scan: scan 'x': --comment wants one character, neither a quote nor the delimiter, not ','"
	fails_with 3 rn-scan p.csv --delimiter '|' --columns u -o x.er
	says "rn-scan: $PWD/p.csv:1: 2 fields where --columns names 1"
	[ ! -e x.er ]
}

@test "CSV: a delimiter that numbers, times and sparse rows have in them stands in quotes" {
	local d
	printf 't,b,f,i\n2024-01-01T12:00:00Z,true,1.5e-10,-12\n,,,7\n' >t.csv
	prints $'t:b:f:i\n"2024-01-01T12:00:00Z":true:1.5e-10:-12\n:::7' rn-cat t.csv --delimiter :
	for d in : T Z - . e t 1 0 u; do
		prints "$(cat t.csv)" pipeline "rn-cat t.csv --delimiter $d | rn-scan - --delimiter $d | rn-cat"
	done
	printf 'x,y\n-1.5,2e10\n' >d.csv
	prints $'x-y\n"-1.5"-20000000000' rn-cat d.csv --delimiter -
	prints $'z0-z1\n"-1.5"-20000000000' pipeline 'rn-scan d.csv --emb x,y | rn-cat --delimiter -'
	prints $'k z\n1 "3:1 5:1"' pipeline \
		"printf 'k,w\n1,3\n1,5\n' | rn-scan | rn-encode 'index(w,9)' | rn-agg 'sum(z)' --by k | rn-cat --delimiter ' '"
}

@test "CSV: bad rows are passed over only where that is asked for, and are counted" {
	printf 'a,b\n1,x\n2\n3,"y"z\n4,\xff\n5,w\n6,1\r7\n8,v\n' >x.csv
	fails_with 3 rn-scan x.csv -o x.er
	says "rn-scan: $PWD/x.csv:3:2: 1 field where the header has 2"
	run -0 --separate-stderr rn-scan x.csv --skip-bad --stats=json -o x.er
	[[ $stderr == *$'\n{"program":"rn-scan",'*'"rows_in":3,"rows_out":3,"rows_skipped":4,'* ]]
	run -0 --separate-stderr rn-scan x.csv x.csv --skip-bad --stats -q -o x.er
	[[ $stderr == "rn-scan: 6 rows in, 6 rows out in "*", 8 rows passed over" ]]
	rm x.er
	run -0 --separate-stderr pipeline 'rn-scan x.csv --skip-bad | rn-cat'
	[ "$output" = $'a,b\n1,x\n5,w\n8,v' ]
	says "rn-scan: warning: $PWD/x.csv:3:2: 1 field where the header has 2
rn-scan: warning: $PWD/x.csv:4:6: there is text after a closing quote
rn-scan: warning: $PWD/x.csv:5: column 'b' is not UTF-8 (byte 0xFF)
rn-scan: warning: '$PWD/x.csv': 4 of 7 rows passed over"
	printf 'a,b\n1,2\nx,3\n5,"6\n7,8\n' >t.csv
	run -0 --separate-stderr pipeline 'rn-scan - --types a=int64 --skip-bad <t.csv | rn-cat'
	[ "$output" = $'a,b\n1,2\n7,8' ]
	says "rn-scan: warning: standard input:3: column 'a': 'x' is not of type int64
rn-scan: warning: standard input:4:3: a quote is not closed
rn-scan: warning: 'standard input': 2 of 4 rows passed over"
	printf 'a,b\n1\n2\n' >all.csv
	fails_with 3 rn-scan all.csv --skip-bad -o x.er
	says "rn-scan: '$PWD/all.csv': none of its 2 rows can be read; the first: $PWD/all.csv:2:2: 1 field where the header has 2"
	[ ! -e x.er ]
}

@test "CSV: a fault is told with its line and byte, also within rows of several lines" {
	# at LINE:BYTE TEXT, of columns a and b
	at() {
		{
			printf 'a,b\n'
			printf "$2"
		} >x.csv
		fails_with 3 rn-scan x.csv -o x.er
		[[ $stderr == "rn-scan: $PWD/x.csv:$1: "* ]] || { echo "$stderr"; false; }
		rn-scan x.csv --types a=string,b=string --skip-bad -o y.er 2>all || grep -q 'none of its' all
		grep -qF "$PWD/x.csv:$1: " all
	}
	at 2:2 '1\n'
	at 2:2 '1\r\n'
	at 2:2 '1'
	at 3:4 '1,2\n,2,3\n'
	at 2:5 '1,2,"x\ny"\n'
	at 3:7 '"1\n22",2,3\n'
	at 3:4 '"1\n22"\n'
	at 3:4 '1,"\nxy"z\n'
	at 3:5 '"x\ny",2\rz\n'
	at 3:4 '"x\ny","\n2\n'
	at 2:3 '\303\251\000,\n'
	{
		printf '\xef\xbb\xbfa,b\r1\n'
		seq 9
	} >x.csv
	fails_with 3 rn-scan x.csv -o x.er
	says "rn-scan: $PWD/x.csv:1:4: a carriage return is not followed by a line feed"
}

@test "a quote that is not closed, and a line of JSON without an end, take no more memory than a long row" {
	{
		printf 'a,b\n1,2\n3,"x\n'
		yes 1,2 | head -c 24000000
	} >q.csv
	tight() {
		(
			limit 700000
			rn-scan -t 1 --mem 16M "$@" -o x.er
		)
	}
	fails_with 3 tight q.csv
	says "rn-scan: $PWD/q.csv:3:3: a quote is not closed: the row would be longer than 4 MiB"
	fails_with 3 tight q.csv --skip-bad
	says "rn-scan: $PWD/q.csv:3:3: a quote is not closed: the row would be longer than 4 MiB"
	fails_with 3 tight - < <(cat q.csv)
	head -c 6000000 /dev/zero | tr '\0' x >l.csv
	fails_with 3 tight --no-header l.csv
	says "rn-scan: $PWD/l.csv:1:1: the row is longer than 4 MiB"
	{ echo '{"a": "x"}'; printf '{"a": "'; head -c 6000000 /dev/zero | tr '\0' x; } >l.jsonl
	fails_with 3 tight l.jsonl
	says "rn-scan: $PWD/l.jsonl:2:1: the row is longer than 4 MiB"
	fails_with 3 tight l.jsonl --skip-bad
	# A row of 3 MB is no fault, and at the very end the quote is open in any case.
	{
		printf 'a,b\n1,"'
		head -c 3000000 /dev/zero | tr '\0' x
		printf '"\n'
	} >l.csv
	tight l.csv
	[ "$(rn-cat x.er --no-header | wc -c)" = 3000003 ]
	rm x.er
	head -c 1000000 q.csv >e.csv
	fails_with 3 tight e.csv
	says "rn-scan: $PWD/e.csv:3:3: a quote is not closed"
	[ ! -e x.er ]
}

@test "CSV: a type that a later row widens does not count bad rows twice" {
	{
		echo a,b
		seq 3000 | sed 's/$/,1/'
		echo bad
		echo 3001,1.5
	} >x.csv
	run -0 --separate-stderr rn-scan x.csv --skip-bad -o x.er
	says "rn-scan: warning: $PWD/x.csv:3002:4: 1 field where the header has 2
rn-scan: warning: '$PWD/x.csv': 1 of 3002 rows passed over"
	rn-info x.er | grep -q 'column b .*float64'
}

@test "dirty CSV: a right result or a clear error" {
	printf '\xef\xbb\xbfa,"b,c"\r\n"1\n2","x ""y"""\r\n' >x.csv
	prints $'a,"b,c"\n"1\n2","x ""y"""' pipeline 'rn-scan x.csv | rn-cat'
	printf 'a,b\r1,2\r' >x.csv
	fails_with 3 rn-scan x.csv -o x.er
	says "rn-scan: $PWD/x.csv:1:4: a carriage return is not followed by a line feed"
	printf 'a,b\n1,\0002\n' >x.csv
	fails_with 3 rn-scan x.csv -o x.er
	says "rn-scan: $PWD/x.csv:2:3: there is a NUL byte"
	printf 'a,b\n1,caf\xe9\n' >x.csv
	fails_with 3 rn-scan x.csv -o x.er
	says "rn-scan: $PWD/x.csv:2: column 'b' is not UTF-8 (byte 0xE9)"
	{
		printf 'a,b\n1,"'
		head -c 1000000 /dev/zero | tr '\0' x
		printf '"\n'
	} >x.csv
	[ "$(rn-scan x.csv | rn-cat --no-header | wc -c)" = 1000003 ]
	seq -s, 1 10000 | sed 's/[0-9]*/c&/g' >x.csv
	seq -s, 1 10000 >>x.csv
	[ "$(rn-scan x.csv | rn-project --cols c10000 | rn-cat --no-header)" = 10000 ]
	printf 'a,b\n1,2' >x.csv
	prints $'a,b\n1,2' rn-cat x.csv
	printf 'a,b,a\n1,2,3\n' >x.csv
	fails_with 3 rn-scan x.csv -o x.er
	says "rn-scan: $PWD/x.csv:1: columns 1 and 3 are both named 'a'"
	: >x.csv
	fails_with 3 rn-scan x.csv -o x.er
	says "rn-scan: '$PWD/x.csv' is empty: it has no header"
	printf 'a,b\n' >x.csv
	prints 'a,b' rn-cat x.csv
	printf 'a,b\n\n1,2\n\n' >x.csv
	prints $'a,b\n1,2' rn-cat x.csv
	printf 'a\n1\n\n3\n' >x.csv
	prints $'a\n1\n\n3' rn-cat x.csv
	[ ! -e x.er ]
}

@test "dirty CSV of many chunks: line ends in quotes, CRLF, and where the bad row is" {
	# rows BYTE-ORDER-MARK LINE-END
	rows() {
		awk -v mark="$1" -v end="$2" 'BEGIN {
			printf "%sid,note,n%s", mark, end
			for (i = 0; i < 40000; i++)
				printf "%d,\"line one, \"\"%d\"\"\r\nline\n%s\",%d%s", i, i * i % 977,
					substr("abcdefghijklmnopqrstuvwxyz", i % 27), i % 11, end
		}'
	}
	rows $'\xef\xbb\xbf' $'\r\n' >x.csv
	rows '' $'\n' >want
	[ "$(stat -c %s x.csv)" -gt 1500000 ]
	for threads in 1 2; do
		rn-scan x.csv --no-history -t $threads -o $threads.er
		rn-cat $threads.er | cmp - want
		rn-scan -t $threads <x.csv | rn-cat | cmp - want
	done
	cmp 1.er 2.er
	for bad in '6 7,"x"y,1' '4 7,x\0y,1' ' 7,caf\xe9,1' '4 7,8'; do
		byte=${bad%% *}
		{ cat x.csv; printf "${bad#* }\\r\\n"; cat x.csv; } >bad.csv
		for threads in 1 2; do
			fails_with 3 rn-scan bad.csv -t $threads -o bad.er
			[[ $stderr == "rn-scan: $PWD/bad.csv:120002:${byte:+$byte:} "* ]]
		done
	done
	{ cat x.csv; printf '7,"open,1\r\n'; } >bad.csv
	fails_with 3 rn-scan bad.csv -o bad.er
	says "rn-scan: $PWD/bad.csv:120002:3: a quote is not closed"
	[ ! -e bad.er ]
}

@test "pipes by name: <(…), a FIFO, /dev/stdin, of every format" {
	printf 'a,b\n1,x\n2,\n' >x.csv
	want=$'a,b\n1,x\n2,'
	rn-cat x.csv -o x.tsv
	rn-cat x.csv -o x.jsonl
	rn-scan x.csv -o x.er
	gzip -k x.csv
	mkfifo pipe
	for f in csv tsv jsonl er csv.gz; do
		format=${f%.gz}
		export f format
		prints "$want" pipeline 'rn-scan <(cat x.$f) --format $format | rn-cat'
		prints "$want" pipeline 'cat x.$f | rn-scan /dev/stdin --format $format | rn-cat'
		prints "$want" pipeline 'rn-scan /dev/stdin --format $format <x.$f | rn-cat'
		prints "$want" pipeline 'cat x.$f >pipe & rn-scan pipe --format $format | rn-cat'
	done
	prints "$want" pipeline 'rn-scan <(cat x.csv) | rn-cat'
	prints "$want" pipeline 'rn-scan <(cat x.er) | rn-cat'
	prints $'a,b\n5,x' pipeline "rn-scan /dev/stdin <<<\$'a,b\n5,x' | rn-cat"
	prints $'a,b\n1,x\n2,' pipeline 'rn-join <(rn-scan <(cat x.csv)) <(rn-scan <(cat x.er) | rn-project --cols a) --on a | rn-cat'
	# In the plan they are what came through a pipe, without a name.
	rn-scan <(cat x.csv) --no-history -o y.er
	rn-scan --no-history <x.csv -o z.er
	! grep -q dev/fd y.er
	[ "$(rn-info y.er --json | grep -o '"opt": {"from": "-"}')" ]
	rn-scan <(cat x.csv) --name t -o y.er
	same_stream x.er y.er
	fails_with 1 rn-scan /dev/fd/77 -o y.er
	[[ $stderr == "rn-scan: cannot open '/dev/fd/77': "* ]]
}

@test "standard input is told from a stream by how it begins" {
	printf 'a,b\n1,x\n' | rn-scan -o x.er
	want=$'a,b\n1,x'
	prints "$want" pipeline 'rn-scan <x.er | rn-cat'
	prints "$want" pipeline 'cat x.er | rn-scan - | rn-cat'
	cp x.er table
	prints "$want" pipeline 'rn-scan table | rn-cat'
	fails_with 2 pipeline 'cat x.er | rn-scan --columns u,v -o y.er'
	head -c 40 x.er >cut.er
	fails_with 3 pipeline 'cat cut.er | rn-scan -o y.er'
	prints $'c0\nrn' pipeline 'printf rn | rn-scan --no-header | rn-cat'
	[ ! -e y.er ]
}

@test "JSON lines without a name that says so are told by how they begin" {
	printf '{"a":1}\n{"a":2}\n' >x.json
	prints $'a\n1\n2' pipeline 'rn-scan x.json | rn-cat'
	prints $'a\n1\n2' pipeline 'rn-scan <x.json | rn-cat'
	prints $'a,b\n1,' pipeline "printf '\xef\xbb\xbf{  \"a\":1,\"b\":null}\n' | rn-scan | rn-cat"
	prints $'a\n\n1' pipeline "printf '{}\n{\"a\":1}\n' | rn-scan | rn-cat"
	# CSV where something says so, and what only looks alike.
	prints $'c0\n"{""a"":1}"\n"{""a"":2}"' pipeline 'rn-scan --no-header x.json | rn-cat'
	prints $'"{""a"":1}"\n"{""a"":2}"' pipeline 'rn-scan --format csv x.json | rn-cat'
	prints $'{a},b\n1,2' pipeline "printf '{a},b\n1,2\n' | rn-scan | rn-cat"
	prints $'[a,b\n1,2' pipeline "printf '[a,b\n1,2\n' | rn-scan | rn-cat"
	printf '[{"a":1},{"a":2}]' >y.json
	fails_with 3 rn-scan y.json -o y.er
	says "rn-scan: $PWD/y.json:1:1: a line is an object, {…} (of an array, 'jq -c .[]' makes lines)"
	# Blanks and line ends before it and behind its brackets.
	local text
	for text in '\n{"a":1}\n' ' \r\n {"a":1}\n' '{\t"a":1}\n' '{              "a":1}\n' '                   {"a":1}\n'; do
		# shellcheck disable=SC2059
		prints $'a\n1' pipeline "printf '$text' | rn-scan | rn-cat"
	done
	for text in '[ {"a":1} ]' '[\n {"a":1}\n]' '{\n "a": 1\n}\n' '{\n\n  "a": [\n 1]\n}\n'; do
		# shellcheck disable=SC2059
		fails_with 3 bash -c "printf '$text' | rn-scan -o y.er"
		[[ $stderr == *"standard input:1:"*"jq -c ."* ]]
	done
	prints $'[1]\n[2]' pipeline "printf '[1]\n[2]\n' | rn-scan | rn-cat"
	prints $'{\n1' pipeline "printf '{\n1\n' | rn-scan | rn-cat"
}

@test "rn-cat writes nothing under a name that promises another format, and no option is for nothing" {
	local n kind
	printf 'a\n1\n' >t.csv
	for n in x.json x.parquet x.csv.bz2 x.csv.xz x.zip x.json.gz x.parquet.zst; do
		fails_with 2 rn-cat t.csv -o "$n"
		kind=${n%.gz}
		kind=${kind%.zst}
		says "rn-cat: '$n' would be plain CSV, which no .${kind##*.} is: name another file (.jsonl and .csv.gz are written), or say --format csv"
		[ ! -e "$n" ]
	done
	rn-cat t.csv --format jsonl -o x.json
	prints '{"a": 1}' cat x.json
	fails_with 2 rn-cat t.csv --format jsonl --no-header
	says 'rn-cat: --no-header is for CSV and TSV'
	fails_with 2 rn-cat t.csv -o x.jsonl --delimiter ';'
	says 'rn-cat: --delimiter is for CSV and TSV'
	rn-cat t.csv --format table --no-header -o t.txt
	[ "$(grep -c a t.txt)" = 0 ]
}

@test "an embedding of columns that have no value" {
	printf 'a,b\n' >x.csv
	rn-scan x.csv --emb b -o x.er
	rn-info x.er | grep -q 'part *z *\[1\]'
	prints 'a,z' rn-cat x.er
	printf 'a,b,c\n1,,2\n' >x.csv
	prints $'a,z0,z1\n1,0,2' pipeline 'rn-scan x.csv --emb b,c -q | rn-cat'
	printf 'a,b\n1,x\n' >x.csv
	fails_with 2 rn-scan x.csv --emb b -o y.er
	[ ! -e y.er ]
}

@test "the first rows of a table need no more than its beginning" {
	{
		echo a,b
		seq 200000 | sed 's/$/,1/'
		echo '3,"x"y'
	} >x.csv
	prints $'a,b\n1,1' pipeline 'rn-head -n 1 x.csv | rn-cat'
	fails_with 3 rn-cat x.csv -o y.csv
	says "rn-cat: $PWD/x.csv:200002:6: there is text after a closing quote"
	[ ! -e y.csv ]
}

@test "gzip and zstd, by name and by magic number, of several members" {
	printf 'a,b\n1,x\n' | gzip >x.csv.gz
	printf '2,y\n' | gzip >>x.csv.gz
	want=$'a,b\n1,x\n2,y'
	prints "$want" rn-cat x.csv.gz
	prints "$want" pipeline 'rn-scan <x.csv.gz | rn-cat'
	cp x.csv.gz renamed.csv
	prints "$want" rn-cat renamed.csv
	printf 'a,b\n1,x\n2,y\n' | zstd -q >z.csv
	prints "$want" rn-cat z.csv
	prints "$want" pipeline 'rn-scan <z.csv | rn-cat'
	printf 'a\tb\n1\tx\n' | gzip >x.tsv.gz
	prints $'a,b\n1,x' rn-cat x.tsv.gz
	head -c -1 x.csv.gz >cut.csv.gz
	fails_with 3 rn-scan cut.csv.gz -o x.er
	says "rn-scan: '$PWD/cut.csv.gz': truncated: the gzip data has no end"
	{
		cat x.csv.gz
		head -c 100 /dev/zero
	} >padded.csv.gz
	prints "$want" rn-cat padded.csv.gz
	{
		cat x.csv.gz
		echo garbage
	} >tail.csv.gz
	fails_with 3 rn-scan tail.csv.gz -o x.er
	says "rn-scan: '$PWD/tail.csv.gz': gzip: incorrect header check"
	printf 'a\n1\n' >plain.csv.gz
	fails_with 3 rn-scan plain.csv.gz -o x.er
	[ ! -e x.er ]
}

@test "text is compressed by the name of the output; a stream has no name of text" {
	printf 'a,b\n1,x\n2,y\n' >s.csv
	{
		echo a
		seq 200000
	} >l.csv
	for end in csv.gz csv.zst tsv.gz jsonl.zst ndjson.gz; do
		for t in s l; do
			rn-cat $t.csv -o "o.$end"
			rn-cat "o.$end" | diff $t.csv -
		done
	done
	gzip -t o.ndjson.gz
	zstd -qt o.jsonl.zst
	rn-head -n 1 s.csv -o h.csv.gz
	[ "$(zcat h.csv.gz)" = $'a,b\n1,x' ]
	fails_with 2 rn-cat s.csv -o o.npz
	fails_with 2 rn-cat <(rn-scan s.csv --emb a) -o o.npy.gz
	says "rn-cat: 'o.npy.gz': an .npy file is not compressed: leave out '.gz'"
	for name in y.csv y.tsv.gz y.jsonl.zst y.npy; do
		fails_with 2 rn-filter a=1 s.csv -o $name
		says "rn-filter: '$name' would be a stream, and is no name of one: pipe it into rn-cat -o $name, or insist with -f"
		[ ! -e $name ]
	done
	rn-filter a=1 s.csv -f -o y.csv
	prints $'a,b\n1,x' pipeline 'rn-cat <y.csv'
}

@test "text with two columns of one name is refused" {
	printf 'z0,a\n1,2\n' | rn-scan --emb ones:2 -o two.er
	printf 'z,a\n1,2\n' | rn-scan --emb ones:2 -o one.er
	why="would have one name in the text: rename the column, or leave the embedding out (rn-cat --no-embedding)"
	for to in csv tsv; do
		fails_with 2 rn-cat two.er -o x.$to
		says "rn-cat: column 'z0' and the embedding 'z' $why"
		[ ! -e x.$to ]
	done
	fails_with 2 rn-head two.er -o x.csv
	fails_with 2 rn-cat one.er --format jsonl
	says "rn-cat: column 'z' and the embedding 'z' $why"
	[ -z "$output" ]
	prints $'z,a,z0,z1\n1,2,1,1' rn-cat one.er
	prints '{"z0": 1, "a": 2, "z": [1, 1]}' rn-cat two.er --format jsonl
	prints $'z0,a\n1,2' rn-cat two.er --no-embedding
	prints '1,2,1,1' rn-cat two.er --no-header
	printf 'b,a\n1,2\n' | rn-scan --emb b -o narrow.er
	rn-join z1=narrow.er z=one.er --on a | rn-project --cols a -o parts.er
	fails_with 2 rn-cat parts.er
	[[ $stderr == "rn-cat: the embedding parts "*" would both write 'z1': make one of them with rn-map, or leave them out (rn-cat --no-embedding)" ]]
	echo '?pred P(n; Linear(1, 700000000)([n])) :- N(n) .' >wide.relnn
	printf 'n\n1\n' >n.csv
	narrow() {
		(
			limit 1000000
			rn-compile wide.relnn --source N=n.csv
		)
	}
	fails_with 2 narrow
	[[ $stderr == "rn-compile: wide.relnn:1:7: 700000001 columns are too many for text, which may have 1048576: "* ]]
}

@test "JSON lines: infinities are null, with a warning that counts them" {
	printf 'a,b\n1,inf\n2,-1e400\n3,\n4,5\n' >x.csv
	prints $'a,b\n1,inf\n2,-inf\n3,\n4,5' rn-cat x.csv
	prints $'{"a": 1, "b": null}\n{"a": 2, "b": null}\n{"a": 3, "b": null}\n{"a": 4, "b": 5}' \
		rn-cat x.csv --format jsonl
	says 'rn-cat: warning: 2 infinities and NaNs are null, as JSON has no such numbers'
	rn-scan x.csv --emb b -q | rn-cat --format jsonl >/dev/null 2>warning
	grep -qx 'rn-cat: warning: 2 infinities and NaNs are null, as JSON has no such numbers' warning
}

@test "values that a float32 does not hold" {
	printf 'a,x\n1,1e300\n2,-1e39\n3,inf\n4,3e38\n' >x.csv
	run -0 --separate-stderr pipeline 'rn-scan x.csv --emb x | rn-cat'
	[ "$output" = $'a,z\n1,inf\n2,-inf\n3,inf\n4,3e38' ]
	says "rn-scan: warning: $PWD/x.csv: 2 values are more than a float32 holds, and embedded as infinity"
	# npy_of DESCR FILE: four rows of one value, which are standard input.
	npy_of() {
		{
			printf '\x93NUMPY\x01\x00\x46\x00'
			printf "%-69s\n" "{'descr': '$1', 'fortran_order': False, 'shape': (4, 1), }"
			cat
		} >"$2"
	}
	# 1, inf, 1e300, 2
	printf '\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\xf0\x7f\x9c\x75\0\x88\x3c\xe4\x37\x7e\0\0\0\0\0\0\0\x40' | npy_of '<f8' big.npy
	fails_with 3 rn-scan x.csv --emb big.npy -o x.er
	says "rn-scan: 'big.npy': value 2 is 1e+300, more than a float32 holds"
	[ ! -e x.er ]
}

@test "a matrix is no table, and the error says whose it is" {
	printf 'v\n0.5\n1\n' | rn-scan --emb v | rn-cat -o m.npy
	fails_with 2 rn-scan m.npy
	says "rn-scan: '$PWD/m.npy' is a matrix and no table: give it to one, as in rn-scan TABLE --emb $PWD/m.npy"
	fails_with 2 rn-scan <m.npy
	fails_with 3 rn-cat m.npy
	says "rn-cat: 'm.npy' is a matrix and no RN stream: give it to a table, as in rn-scan TABLE --emb FILE"
}

@test "JSON lines: types, missing keys, what is nested, and back" {
	cat >x.jsonl <<-'END'
		{"id": 1, "s": "a\"b\u00e9\ud83d\ude00\n", "t": "2024-01-02T03:04:05Z", "b": true}
		{"s": "12", "id": 2.5, "v": [1, {"k": "}"}], "b": null}

		  { "id" : -3 , "t":"2024-01-02" }
	END
	prints $'id,s,t,b,v\n1,"a""bé😀\n",2024-01-02T03:04:05Z,true,\n2.5,12,,,"[1, {""k"": ""}""}]"\n-3,,2024-01-02T00:00:00Z,,' \
		pipeline 'rn-scan x.jsonl | rn-cat'
	rn-scan x.jsonl -o x.er
	rn-cat x.er --format jsonl | rn-scan --format jsonl -o y.er
	same_stream x.er y.er
	rn-info x.er | grep -q 'column s .*string'
	gzip -k x.jsonl
	rn-scan x.jsonl.gz -o y.er
	same_stream x.er y.er
	prints $'n\n3' pipeline "rn-agg x.jsonl --cols 'n=count(*)' | rn-cat"
	prints $'a,b\n5,' pipeline "echo '{\"a\": \"5\"}' | rn-scan --format jsonl --types a=int64,b=string | rn-cat"
}

@test "an embedding from a column of arrays: JSON lines and back, text, shapes, what is no array" {
	printf '%s\n' '{"i": 1, "z": [1, 2.5, -3e-2]}' '{"i": 2, "z": [4, null, 6]}' '{"i": 3}' >a.jsonl
	run -0 --separate-stderr pipeline 'rn-scan a.jsonl --emb z | rn-cat'
	[ "$output" = $'i,z0,z1,z2\n1,1,2.5,-0.03\n2,4,0,6\n3,0,0,0' ]
	says "rn-scan: warning: $PWD/a.jsonl: 2 NULLs are embedded as 0"
	rn-scan a.jsonl --emb z -q -o a.er
	rn-cat a.er --format jsonl | rn-scan --format jsonl --emb z -o b.er
	same_stream a.er b.er
	printf '%s\n' 'i,z' '1,' '2," [ [1,2] ,[3, 4],[5,6]]"' >m.csv
	rn-scan m.csv --emb z -q -o m.er
	rn-info m.er | grep -q 'part *z *\[3,2\]'
	prints $'{"i": 1, "z": [[0, 0], [0, 0], [0, 0]]}\n{"i": 2, "z": [[1, 2], [3, 4], [5, 6]]}' rn-cat m.er --format jsonl
	for bad in '[1, 2]' '[1, 2, 3, 4]' '[[1, 2, 3]]' '[1, 2, "x"]' '[]' '{"0": 1}'; do
		printf '%s\n' '{"z": null}' '{"z": [1, 2, 3]}' "{\"z\": $bad}" >b.jsonl
		fails_with 3 rn-scan b.jsonl --emb z -o b.er
		says "rn-scan: $PWD/b.jsonl:3: column 'z' wants an array of numbers of shape [3], as the first one, not '$bad'"
		fails_with 3 rn-scan --format jsonl --emb z -o b.er <b.jsonl
		says "rn-scan: standard input:3: column 'z' wants an array of numbers of shape [3], as the first one, not '$bad'"
	done
	for bad in x '[]' '[1,]' '[1' '[1]]' '[[1],[2,3]]' '[[1],2]' '[[[[[1]]]]]'; do
		printf '{"z": "%s"}\n' "$bad" >b.jsonl
		fails_with 2 rn-scan b.jsonl --emb z -o b.er
		says "rn-scan: $PWD/b.jsonl: --emb: column 'z' is string, and an embedding wants numbers (or give its --types), or one column of arrays such as [0.5, 1]"
	done
	printf 'z,i\n,1\n' >a.csv
	fails_with 3 rn-scan a.csv --emb z --types z=string -o b.er
	says "rn-scan: $PWD/a.csv: --emb: no array in the first 1 rows of column 'z' tells how wide the embedding is"
}

@test "rows whose array does not fit are passed over on request, counted and told" {
	printf '%s\n' '{"i": 1, "z": "no"}' '{"i": 2, "z": [1, 2]}' '{"i": 3, "z": [1]}' '{"i": 4}' '{"i": "x", "z": [5, 6]}' \
		'{"i": 6, "z": [5, "6"]}' '{"i": 7, "z": [7, 8]}' >a.jsonl
	bad="FILE:1: column 'z' wants an array of numbers of shape [2], as the first one, not 'no'
rn-scan: warning: FILE:3: column 'z' wants an array of numbers of shape [2], as the first one, not '[1]'
rn-scan: warning: FILE:5: column 'i': 'x' is not of type int64
rn-scan: warning: 'FILE': 4 of 7 rows passed over
rn-scan: warning: PATH: 1 NULLs are embedded as 0"
	bad=${bad//PATH/$PWD/a.jsonl}
	for threads in 1 4; do
		run -0 --separate-stderr pipeline "rn-scan a.jsonl --emb z --types i=int64 --skip-bad --threads $threads | rn-cat"
		[ "$output" = $'i,z0,z1\n2,1,2\n4,0,0\n7,7,8' ]
		says "rn-scan: warning: ${bad//FILE/$PWD/a.jsonl}"
	done
	run -0 --separate-stderr pipeline 'cat a.jsonl | rn-scan --format jsonl --emb z --types i=int64 --skip-bad --stats=json -o x.er'
	[[ $stderr == *'"rows_skipped":4,'* ]]
	prints $'i,z0,z1\n2,1,2\n4,0,0\n7,7,8' rn-cat x.er
	# The first file tells the shape of all.
	printf '%s\n' 'z,i' '"[1, 2, 3]",8' '"[8, 9]",9' '"[""8"", 9]",10' >b.csv
	run -0 --separate-stderr pipeline 'rn-scan a.jsonl b.csv --emb z --types i=int64 --skip-bad | rn-cat --no-header'
	[ "$output" = $'2,1,2\n4,0,0\n7,7,8\n9,8,9' ]
	[[ $stderr == *"rn-scan: warning: $PWD/b.csv:2: column 'z' wants an array of numbers of shape [2], as the first one, not '[1, 2, 3]'
rn-scan: warning: $PWD/b.csv:4: column 'z' wants an array of numbers of shape [2], as the first one, not '[\"8\", 9]'
rn-scan: warning: '$PWD/b.csv': 2 of 3 rows passed over"* ]]
	# All over a large file, in several pieces and read twice.
	awk 'BEGIN { for (i = 0; i < 60000; i++) printf "{\"i\": %s, \"z\": [%d, %s]}\n", i == 50000 ? "1.5" : i, i, i % 1000 == 999 ? "null, 3" : i }' >l.jsonl
	for threads in 1 3; do
		run -0 --separate-stderr rn-scan l.jsonl --emb z --skip-bad --threads $threads -o l.er
		[[ $stderr == *":1000: column 'z' wants "*":2000: column 'z' wants "*": 60 of 60000 rows passed over" ]]
		prints $'n,z0,z1\n59940,59998,59998' pipeline "rn-agg 'max(z)' l.er --cols 'n=count(*)' | rn-cat"
	done
	# The first one behind what guesses the types: a file tells the shape by the rows a pipe does.
	awk 'BEGIN { for (i = 0; i < 60003; i++) printf "{\"i\": %d, \"z\": %s}\n", i,
		i < 60000 ? "null" : i == 60001 ? "\"bad\"" : "[1, " i "]" }' >late.jsonl
	awk 'BEGIN { print "i,z"; for (i = 0; i < 1503; i++) print i "," (i < 1500 ? "" : i == 1501 ? "bad" : "\"[1, " i "]\"") }' >late.csv
	for inputs in 'late.jsonl' '--format jsonl <late.jsonl' late.csv '- <late.csv'; do
		run -0 --separate-stderr bash -c "rn-scan --emb z --types i=int64,z=string --skip-bad -o x.er $inputs"
		[[ $stderr == *": column 'z' wants an array of numbers of shape [2], as the first one, not 'bad'"*" 1 of "*" rows passed over"* ]]
		run -0 --separate-stderr pipeline 'rn-cat x.er | tail -n 2'
		[ "$output" = "$([[ $inputs == *csv ]] && printf '1500,1,1500\n1502,1,1502' || printf '60000,1,60000\n60002,1,60002')" ]
	done
	awk 'BEGIN { for (i = 0; i < 70000; i++) printf "{\"z\": %s}\n", i < 65536 ? "null" : "[1]" }' >late.jsonl
	for inputs in 'late.jsonl' '--format jsonl <late.jsonl'; do
		fails_with 3 bash -c "rn-scan --emb z --skip-bad -o x.er $inputs"
		[[ $stderr == *": --emb: no array in the first 65536 rows of column 'z' tells how wide the embedding is" ]]
	done
	printf '%s\n' '{"z": [1]}' '{"z": [2, 3]}' >b.jsonl
	for bad in 'x' '[[1]]'; do
		printf '%s\n' "{\"z\": \"$bad\"}" "{\"z\": \"$bad\"}" >c.jsonl
		fails_with 3 rn-scan b.jsonl c.jsonl --emb z --skip-bad -o b.er
		says_last "rn-scan: '$PWD/c.jsonl': none of its 2 rows can be read; the first: $PWD/c.jsonl:1: column 'z' wants an array of numbers of shape [1], as the first one, not '$bad'"
	done
}

# The last line on stderr.
says_last() {
	[ "${stderr##*$'\n'}" = "$1" ] || {
		echo "$stderr"
		return 1
	}
}

@test "sparse embeddings: JSON lines and back, and what is none" {
	awk 'BEGIN { srand(3); print "i,t"; for (i = 0; i < 5000; i++) print i "," int(rand() * 40) }' >t.csv
	rn-scan t.csv -q | rn-encode 'index(t, 50)' -q | rn-agg 'sum(z * [i])' --by 'i' -q -o one.er
	rn-project one.er --cols 'g = i % 700' -q | rn-agg 'sum(z)' --by g -q -o s.er
	rn-info s.er | grep -q 'part *z *\[50\], sparse'
	rn-cat s.er --format jsonl -o s.jsonl
	grep -q '"z": {"[0-9]*": [0-9]*, "' s.jsonl
	rn-scan s.jsonl --emb z:50 --key g -q -o b.er
	rn-info b.er | grep -q 'part *z *\[50\], sparse'
	same_stream s.er b.er
	rn-cat b.er --format jsonl | cmp - s.jsonl
	rn-cat s.er --format jsonl | rn-scan --format jsonl --emb 'z*:50' -q -o b.er
	rn-cat b.er --format jsonl | cmp - s.jsonl
	rn-scan s.jsonl --emb z:268435456 -q | rn-cat --format jsonl | cmp - s.jsonl
	# In any order; a NULL, a row without an entry, an entry that is 0; in CSV, too.
	printf '%s\n' '{"i": 1, "z": {"3": 1.5, "0": -2e1}}' '{"i": 2}' '{"i": 3, "z": { }}' '{"z": {"4": null, "1": 0}, "i": 4}' >a.jsonl
	run -0 --separate-stderr pipeline 'rn-scan a.jsonl --emb z:5 | rn-cat --format jsonl'
	[ "$output" = $'{"i": 1, "z": {"0": -20, "3": 1.5}}\n{"i": 2, "z": {}}\n{"i": 3, "z": {}}\n{"i": 4, "z": {"1": 0, "4": 0}}' ]
	says "rn-scan: warning: $PWD/a.jsonl: 2 NULLs are embedded as 0"
	printf '%s\n' 'i,z' '1,"{""3"":1.5,""0"":-20}"' '2,' >a.csv
	prints $'i,z\n1,0:-20 3:1.5\n2,' pipeline 'rn-scan a.csv --emb z:5 -q | rn-cat'
	printf '%s\n' 'i,z' '1,' '2,' >a.csv
	prints $'i,z\n1,\n2,' pipeline 'rn-scan a.csv --emb z:5 -q | rn-cat'
	# A column may itself be called so.
	printf '%s\n' 'a:3,b' '"[1,2]",1' >w.csv
	prints $'b,z0,z1\n1,1,2' pipeline 'rn-scan w.csv --emb a:3 | rn-cat'
	# What is none is an error with its line, or passed over.
	while IFS='|' read -r bad why; do
		printf '%s\n' '{"z": {"0": 1}}' "{\"z\": $bad}" '{"z": {"4": 2}}' >b.jsonl
		want="$PWD/b.jsonl:2: column 'z' wants an object of numbers by index, such as {\"0\": 0.5}, not '$bad'${why:+: $why}"
		fails_with 3 rn-scan b.jsonl --emb z:5 -o b.er
		says "rn-scan: $want"
		run -0 --separate-stderr pipeline 'rn-scan b.jsonl --emb z:5 --skip-bad | rn-cat --no-header'
		[ "$output" = $'0:1\n4:2' ]
		says "rn-scan: warning: $want
rn-scan: warning: '$PWD/b.jsonl': 1 of 3 rows passed over"
	done <<-'END'
		{"5": 1}|the index '5' is none of 0 to 4
		{"-1": 1}|the index '-1' is none of 0 to 4
		{"01": 1}|the index '01' is none of 0 to 4
		{"1.0": 1}|the index '1.0' is none of 0 to 4
		{"": 1}|the index '' is none of 0 to 4
		{"x": 1}|the index 'x' is none of 0 to 4
		{"99999999999999999999999": 1}|the index '99999999999999999999' is none of 0 to 4
		{"4294967296": 1}|the index '4294967296' is none of 0 to 4
		{"1": 1, "2": 3, "1": 2}|the index 1 is there twice
		{"2": 1, "1": 3, "1": 2}|the index 1 is there twice
		{"1": "2"}|an index wants a number behind it
		{"1": [2]}|an index wants a number behind it
		{"1": {}}|an index wants a number behind it
		{"1": true}|an index wants a number behind it
		[1, 2, 3, 4, 5]|
		7|
	END
	# Strings, in which JSON does not see to it.
	while IFS='|' read -r bad why; do
		printf '%s\n' z "\"${bad//\"/\"\"}\"" >b.csv
		fails_with 3 rn-scan b.csv --emb z:5 -o b.er
		says "rn-scan: $PWD/b.csv:2: column 'z' wants an object of numbers by index, such as {\"0\": 0.5}, not '$bad'${why:+: $why}"
	done <<-'END'
		{"1": 1} x|there is more after it
		{"1": 1|expected ',' or '}'
		{"1": }|an index wants a number behind it
		{"1" 1}|an index wants a number behind it
		{1: 1}|an index wants quotes
		{"1": 1,}|an index wants quotes
		{"1|a quote is not closed
		{|an index wants quotes
		{}}|there is more after it
		x|
	END
	for width in 0 268435457 99999999999999999999; do
		fails_with 2 rn-scan a.jsonl --emb z:$width -o b.er
		says "rn-scan: --emb z:$width: a sparse embedding has a width from 1 to 268435456"
	done
	fails_with 2 rn-scan a.jsonl --emb z -o b.er
	says "rn-scan: $PWD/a.jsonl: --emb: column 'z' has sparse embeddings, which do not tell how wide they are: give that, as in --emb z:1000"
	fails_with 2 rn-scan a.jsonl --emb i:5 -o b.er
	says "rn-scan: $PWD/a.jsonl: --emb: a width is for a column of sparse embeddings such as {\"0\": 0.5}, and 'i' is int64"
	fails_with 2 rn-scan a.jsonl --emb 'i,z:5' -o b.er
	says "rn-scan: $PWD/a.jsonl: --emb: a width is for one column of sparse embeddings such as {\"0\": 0.5}, and 'i,z' are 2"
	printf '%s\n' a:5,b 1,2 >colon.csv
	prints $'b,z\n2,1' pipeline 'rn-scan colon.csv --emb a:5 | rn-cat'
	seq 3 >n.csv
	rn-scan n.csv --no-header | rn-cat --to 'sqlite:n.db?table=n'
	fails_with 3 rn-scan 'sqlite:n.db' --query "SELECT CASE WHEN c0 = 2 THEN '{\"9\":1}' ELSE '{\"1\":' || c0 || '}' END z FROM n" --emb z:5 -o b.er
	[[ $stderr == *": row 1 (rows count from 0): column 'z' wants an object of numbers by index, such as {\"0\": 0.5}, not '{\"9\":1}': the index '9' is none of 0 to 4" ]]
	fails_with 2 rn-scan a.jsonl --emb 'q:5' -o b.er
	says "rn-scan: $PWD/a.jsonl: --emb: no column 'q:5' (columns: i, z)"
}

@test "JSON lines: errors by line and column; bad lines are passed over on request" {
	printf '{"a": 1}\n{"a": tru}\n{"a": 2}\n[1]\n' >x.jsonl
	fails_with 3 rn-scan x.jsonl -o x.er
	says "rn-scan: $PWD/x.jsonl:2:7: expected a value"
	run -0 --separate-stderr pipeline 'rn-scan x.jsonl --skip-bad | rn-cat'
	[ "$output" = $'a\n1\n2' ]
	says "rn-scan: warning: $PWD/x.jsonl:2:7: expected a value
rn-scan: warning: $PWD/x.jsonl:4:1: a line is an object, {…} (of an array, 'jq -c .[]' makes lines)
rn-scan: warning: '$PWD/x.jsonl': 2 of 4 rows passed over"
	: >x.jsonl
	fails_with 3 rn-scan x.jsonl -o x.er
	says "rn-scan: '$PWD/x.jsonl' is empty: it has no keys"
	fails_with 2 rn-scan x.jsonl --columns a -o x.er
	says "rn-scan: --columns is for CSV and TSV, and '$PWD/x.jsonl' is not"
	[ ! -e x.er ]
}

@test "several files: a folder, a pattern, operands; the file's name as a column" {
	mkdir -p d/e
	printf 'a,b\n1,x\n' >d/1.csv
	printf 'b,a\ny,2.5\n' >d/2.csv
	printf '{"a": 3}\n{"b": "z"}\n' | zstd -q >d/3.jsonl.zst
	echo 'not a table' >d/README
	prints $'a,b\n1,x\n2.5,y\n3,\n,z' pipeline 'rn-scan d | rn-cat'
	prints $'a,b,f\n1,x,1.csv\n2.5,y,2.csv' pipeline "rn-scan 'd/*.csv' --file-col f | rn-cat"
	prints $'a,b\n2.5,y\n1,x' pipeline 'rn-scan d/2.csv d/1.csv | rn-project --cols a,b | rn-cat'
	prints $'r,a\n0,1\n1,2.5' pipeline "rn-scan 'd/[12].csv' --row-id r | rn-project --cols r,a | rn-cat"
	printf 'a,b\n7,u\n' >d/e/1.csv
	prints $'a,b,f\n1,x,1.csv\n7,u,e/1.csv' pipeline 'rn-scan d/1.csv d/e/1.csv --file-col f | rn-cat'
	fails_with 3 rn-scan d/1.csv d/1.csv --key a -o x.er
	fails_with 1 rn-scan 'd/*.tsv' -o x.er
	says "rn-scan: no file matches '$PWD/d/*.tsv'"
	mkdir empty
	fails_with 1 rn-scan empty -o x.er
	printf 'a,c\n1,x\n' >d/4.csv
	fails_with 2 rn-scan d/1.csv d/4.csv -o x.er
	says "rn-scan: '$PWD/d/1.csv' has a column 'b' and '$PWD/d/4.csv' has none: files of one source have the same columns"
	fails_with 2 rn-scan d/1.csv --file-col a -o x.er
	[ "$(rn-scan --help | grep -c '^  FILE  ')" = 2 ]
	mkdir lost
	cp d/1.csv lost
	ln -s /nowhere lost/9.csv
	fails_with 1 rn-scan lost -o x.er
	says "rn-scan: cannot open '$PWD/lost/9.csv': No such file or directory"
	printf 'a\n5\n' >'[x].csv'
	prints $'a\n5' pipeline "rn-scan '[x].csv' | rn-cat"
	[ ! -e x.er ]
}

@test "several files: pipes are among them, and no row is lost" {
	seq 150000 >a.csv
	n="rn-agg --cols 'n=count(*),s=sum(c0)' | rn-cat --no-header"
	prints 300000,22500150000 pipeline "seq 150000 | rn-scan a.csv - --no-header | $n"
	prints 300000,22500150000 pipeline "seq 150000 | rn-scan - a.csv --no-header | $n"
	prints 300000,22500150000 pipeline "rn-scan - a.csv --no-header <a.csv | $n"
	prints 450000,33750225000 pipeline "rn-scan <(cat a.csv) a.csv <(gzip -1 <a.csv) --no-header | $n"
	sed '1s/.*/c0/' a.csv >b.csv
	prints 299998,22500149998 pipeline "rn-scan b.csv <(rn-scan b.csv) | $n"
	prints 299998,22500149998 pipeline "rn-scan b.csv | rn-scan b.csv - | $n"
	mkfifo pipe
	prints 150002,11250075003 pipeline "printf '1\\n2\\n' >pipe & rn-scan pipe a.csv --no-header | $n"
	# Types are of all: also of rows that were read before they were known.
	printf 'k,v,w\n1,,\n2,5,\n' >i.csv
	printf 'w,v,k\n1.5,x,1e3\n' >f.csv
	rn-scan i.csv f.csv -o want.er
	schema want.er | grep -q 'column k .*float64'
	for a in '<(cat i.csv) f.csv' '<(cat i.csv) <(cat f.csv)' 'i.csv - <f.csv' '- f.csv <i.csv' \
		'- f.csv < <(cat i.csv)' '- <(cat f.csv) <i.csv'; do
		pipeline "rn-scan $a -o got.er"
		same_stream want.er got.er
	done
	printf '{"k": 3, "v": "y", "w": 2}\n' >j.jsonl
	prints $'k,v,w\n1,,\n2,5,\n3,y,2' pipeline 'rn-scan <(cat i.csv) j.jsonl | rn-cat'
	fails_with 2 rn-scan - - -o x.er <a.csv
	says "rn-scan: standard input ('-') is given twice as an input"
	fails_with 2 pipeline 'cat a.csv | rn-scan - /dev/stdin -o x.er'
	says "rn-scan: '-' and '/dev/stdin' are one pipe, which can be read once"
	[ ! -e x.er ]
}

@test "a folder's tables: by which names, and no table twice" {
	mkdir d
	printf 'a\n1\n' >d/x.csv
	printf 'a\n2\n' >d/y.tsv
	printf '{"a": 3}\n' | gzip >d/z.ndjson.gz
	printf 'a\n4\n' | rn-scan -o d/w.er
	echo 'no model either' >d/m.rnm
	prints $'a\n4\n1\n2\n3' pipeline 'rn-scan d | rn-cat'
	rn-scan d/x.csv -o d/x.er
	fails_with 2 rn-scan d -o o.er
	says "rn-scan: '$PWD/d/x.csv' and '$PWD/d/x.er' differ in their formats alone, and may hold the same rows: name the files, or give a pattern such as '*.csv'"
	prints $'a\n1\n1' pipeline "rn-scan 'd/x*' | rn-cat"
	rm d/x.er
	gzip -k d/x.csv
	touch d/x-1.csv
	fails_with 2 rn-scan d -o o.er
	[[ $stderr == "rn-scan: '$PWD/d/x.csv' and '$PWD/d/x.csv.gz' "* ]]
	[ ! -e o.er ]
}

@test "several files: what is all NULL in one takes the type of the others" {
	printf 'a,b\n,1\n' >1.csv
	printf 'a,b\n5,\n' >2.csv
	rn-scan 1.csv 2.csv -o x.er
	rn-info x.er | grep -q 'column a .*int64'
	rn-info x.er | grep -q 'column b .*int64'
	printf 'a,b\n2020-01-01,1\n' >3.csv
	rn-scan 2.csv 3.csv -o x.er
	rn-info x.er | grep -q 'column a .*string'
	rn-scan 2.csv -o 2.er
	fails_with 2 rn-scan 2.er 3.csv -o y.er
	[ ! -e y.er ]
}

@test "SQLite: a table out and in, types and NULLs, and queries" {
	command -v sqlite3 >/dev/null || skip "sqlite3 is not installed"
	printf 'id,x,b,s,t\n3,0.5,true,"a ""b""",2024-01-02T03:04:05.5Z\n1,,,,\n2,1e300,false,"",1969-12-31\n' >x.csv
	rn-scan x.csv --key id -o x.er
	rn-cat x.er --to 'sqlite:x.db?table=t'
	rn-scan 'sqlite:x.db?table=t' --key id -o y.er
	same_stream x.er y.er
	rn-scan sqlite:x.db --key id -o y.er
	same_stream x.er y.er
	prints $'id\n3\n1\n2' pipeline "rn-project --cols id 'sqlite:x.db?table=t' | rn-cat"
	prints $'s,n\n,1\n"",1\n"a ""b""",1' \
		pipeline "rn-scan sqlite:x.db --query 'SELECT s, count(*) AS n FROM t GROUP BY s ORDER BY s' | rn-cat"
	[ "$(sqlite3 x.db 'SELECT sum(x IS NULL), max(id) FROM t')" = '1|3' ]
	rn-scan x.csv --emb x -q | rn-project --cols id | rn-cat --to 'sqlite:x.db?table=z'
	[ "$(sqlite3 x.db 'SELECT id, z FROM z WHERE id = 3')" = '3|0.5' ]
	sqlite3 m.db "CREATE TABLE m(a, b INTEGER, c INT); INSERT INTO m VALUES (1, 1, NULL), (2.5, 'x', NULL)"
	prints $'a,b,c\n1,1,\n2.5,x,' pipeline 'rn-scan sqlite:m.db | rn-cat'
	rn-scan sqlite:m.db -o m.er
	rn-info m.er | grep -q 'column a .*float64'
	rn-info m.er | grep -q 'column b .*string'
	rn-info m.er | grep -q 'column c .*int64'
}

@test "SQLite: an existing table is kept, --append adds, a failure leaves nothing" {
	command -v sqlite3 >/dev/null || skip "sqlite3 is not installed"
	printf 'id,v\n1,2\n' >x.csv
	rn-cat x.csv --to 'sqlite:x.db?table=t'
	fails_with 2 rn-cat x.csv --to 'sqlite:x.db?table=t'
	says "rn-cat: 'x.db' has a table 't' already (--append adds to it)"
	rn-cat x.csv --to 'sqlite:x.db?table=t' --append
	[ "$(sqlite3 x.db 'SELECT count(*) FROM t')" = 2 ]
	{
		cat x.csv
		seq 70000 | sed 's/$/,1/'
		echo 1
	} >bad.csv
	fails_with 3 rn-cat - --to 'sqlite:x.db?table=u' < <(rn-scan <bad.csv 2>/dev/null)
	[ "$(sqlite3 x.db '.tables')" = t ]
	fails_with 3 rn-cat - --to 'sqlite:new.db?table=u' < <(rn-scan <bad.csv 2>/dev/null)
	[ ! -e new.db ]
	seq 70000 | sed '1i a' >long.csv
	(
		ulimit -f 100 # a disk that is too full also to roll back
		fails_with 1 rn-cat long.csv --to 'sqlite:new.db?table=u'
	)
	[ -z "$(compgen -G 'new.db*')" ]
	rn-scan x.csv --key id | rn-cat --to 'sqlite:k.db?table=t'
	fails_with 1 rn-cat x.csv --to 'sqlite:k.db?table=t' --append
	[ "$(sqlite3 k.db 'SELECT count(*) FROM t')" = 1 ]
	fails_with 2 rn-cat x.csv --append
	# Names with blanks and the like; a percent sign is %25.
	printf 'n\n1\n' >n.csv
	rn-cat n.csv --to 'sqlite:odd.db?table=We%20ird%25'
	prints $'n\n1' pipeline "rn-scan 'sqlite:odd.db?table=We%20ird%25' | rn-cat"
	prints $'n\n1' pipeline "rn-scan 'sqlite:odd.db?table=We ird%25' | rn-cat"
	[ "$(rn-scan sqlite:odd.db --query "SELECT count(*) AS k FROM sqlite_master WHERE name = 'We ird%'" | rn-cat --no-header)" = 1 ]
	for bad in '%' 'a%2' 'a%zz' '%00'; do
		fails_with 2 rn-scan "sqlite:odd.db?table=$bad" -o x.er
		[[ $stderr == *"'$bad': a % wants two hexadecimal digits, and is itself %25" ]]
	done
	# No string into a column of numbers.
	printf 'n\nabc\n' >s.csv
	fails_with 2 rn-cat s.csv --to 'sqlite:odd.db?table=We%20ird%25' --append
	says "rn-cat: 'odd.db': column 'n' is string, and the table 'We ird%' declares it INTEGER: cast it with rn-project"
	printf 'n\n2024-05-01 10:00:00\n' >d.csv
	fails_with 2 rn-cat d.csv --to 'sqlite:odd.db?table=We%20ird%25' --append
	says "rn-cat: 'odd.db': column 'n' is timestamp, and the table 'We ird%' declares it INTEGER: cast it with rn-project"
	prints $'n\n1' pipeline "rn-scan sqlite:odd.db | rn-cat"
	rn-cat n.csv --to 'sqlite:odd.db?table=We%20ird%25' --append
	prints $'n\n1\n1' pipeline "rn-scan sqlite:odd.db | rn-cat"
	fails_with 2 rn-cat x.csv --to x.db
	fails_with 2 rn-cat x.csv --to sqlite:x.db
	fails_with 2 rn-cat x.csv --to 'sqlite:x.db?table=u' -o y
}

@test "a database's table is no file to write a stream or text to" {
	printf 'a\n1\n' >a.csv
	for program in rn-scan rn-cat 'rn-agg --cols n=count(*)'; do
		# shellcheck disable=SC2086
		fails_with 2 $program a.csv -o 'sqlite:d.db?table=t'
		says "${program%% *}: 'sqlite:d.db?table=t' is a table of a database and no file: rn-cat --to writes it"
	done
	fails_with 2 rn-cat a.csv -o 'postgresql://me:secret@host/db?table=t'
	says "rn-cat: 'postgresql://me@host/db?table=t' is a table of a database and no file: rn-cat --to writes it"
	[ ! -e 'sqlite:d.db?table=t' ]
	[ ! -e d.db ]
	# Before anything is trained.
	printf 'x,y\n1,2\n2,4\n' >p.csv
	printf '%s\n' '?source P = "p.csv" <emb="x"> .' '?fit <epochs=2> Loss(; MSELoss()(Linear(1, 1)(z), [y])) :- P(y; z) .' \
		'?pred <to="sqlite:d.db?table=t"> Q(y; z) :- P(y; z) .' >m.relnn
	for dir in . out; do
		fails_with 2 rn-train m.relnn --output-dir $dir --json --log log.jsonl
		says "rn-train: 'sqlite:d.db?table=t' is a table of a database and no file: rn-cat --to writes it"
		[ -z "$output" ]
		[ ! -s log.jsonl ]
	done
}

@test "SQLite: what cannot be read" {
	fails_with 2 rn-scan 'sqlite:t.db?tabel=v' -o x.er
	says "rn-scan: 'sqlite:$PWD/t.db?tabel=v' has a parameter 'tabel', and there is only table"
	command -v sqlite3 >/dev/null || skip "sqlite3 is not installed"
	fails_with 1 rn-scan sqlite:none.db -o x.er
	says "rn-scan: cannot open '$PWD/none.db': unable to open database file"
	[ ! -e none.db ]
	echo 'this is not a database, however long it is' >no.db
	fails_with 3 rn-scan 'sqlite:no.db?table=t' -o x.er
	sqlite3 x.db "CREATE TABLE t(a); CREATE TABLE u(a); INSERT INTO t VALUES (x'00ff'); INSERT INTO u VALUES (1)"
	fails_with 2 rn-scan sqlite:x.db -o x.er
	says "rn-scan: '$PWD/x.db' has 2 tables: name one (sqlite:FILE?table=NAME): t, u"
	fails_with 2 rn-scan 'sqlite:x.db?table=v' -o x.er
	says "rn-scan: '$PWD/x.db': SQLite: no such table: v"
	fails_with 3 rn-scan 'sqlite:x.db?table=t' -o x.er
	says "rn-scan: '$PWD/x.db': row 1: column 'a' is a BLOB (hex() in a --query makes it text)"
	fails_with 2 rn-scan sqlite:x.db --query 'SELECT a FROM u; SELECT 1' -o x.er
	fails_with 2 rn-scan sqlite:x.db --query 'SELECT a, a FROM u' -o x.er
	fails_with 2 rn-scan sqlite:x.db --query 'DELETE FROM u' -o x.er
	fails_with 2 rn-scan 'sqlite:x.db?table=u' --types a=int64 -o x.er
	printf 'a\n1\n' >x.csv
	fails_with 2 rn-scan x.csv --query 'SELECT 1' -o x.er
	[ ! -e x.er ]
}

@test "embeddings from an .npz archive, stored and deflated" {
	command -v python3 >/dev/null || skip "python3 is not installed"
	printf 'id,f1,f2\n1,0.5,2\n2,1,3\n' >x.csv
	rn-scan x.csv --emb f1,f2 | rn-cat -o m.npy
	rn-scan x.csv --emb f2 | rn-cat -o k.npy
	python3 - <<-'END'
		import sys, zipfile
		def pack(name, method, arrays, out=None):
		    with zipfile.ZipFile(out or name, "w", method) as z:
		        for a, f in arrays:
		            with z.open(a + ".npy", "w", force_zip64=True) as w:
		                w.write(open(f, "rb").read())
		pack("s.npz", zipfile.ZIP_STORED, [("k", "k.npy"), ("m", "m.npy")])
		pack("d.npz", zipfile.ZIP_DEFLATED, [("k", "k.npy"), ("m", "m.npy")])
		pack("one.npz", zipfile.ZIP_DEFLATED, [("m", "m.npy")])
		pack("bz.npz", zipfile.ZIP_BZIP2, [("m", "m.npy")])
		class Pipe:  # not seekable: the sizes stand behind the entries
		    def __init__(self, f): self.f = f
		    def write(self, b): return self.f.write(b)
		    def flush(self): self.f.flush()
		pack(None, zipfile.ZIP_DEFLATED, [("k", "k.npy"), ("m", "m.npy")], Pipe(open("p.npz", "wb")))
	END
	want=$'id,z0,z1\n1,0.5,2\n2,1,3'
	for emb in s.npz:m d.npz:m one.npz one.npz:m p.npz:m; do
		prints "$want" pipeline "rn-scan x.csv --emb $emb | rn-project --cols id | rn-cat"
	done
	fails_with 2 rn-scan x.csv --emb d.npz -o x.er
	says "rn-scan: 'd.npz' holds several arrays: name one, FILE.npz:NAME (k, m)"
	fails_with 2 rn-scan x.csv --emb d.npz:q -o x.er
	says "rn-scan: 'd.npz' holds no array 'q' (there are k, m)"
	fails_with 3 rn-scan x.csv --emb bz.npz -o x.er
	says "rn-scan: 'bz.npz' is no .npz file that can be read: it is compressed in another way than deflate"
	cp x.csv text.npz
	fails_with 3 rn-scan x.csv --emb text.npz -o x.er
	says "rn-scan: 'text.npz' is no .npz file that can be read: it does not begin as one"
	size=$(wc -c <one.npz)
	for n in 0 1 20 45 60 100; do
		head -c "$n" one.npz >cut.npz
		fails_with 3 rn-scan x.csv --emb cut.npz -o x.er
	done
	# A byte of the contents is another.
	{
		head -c 184 s.npz
		printf '\x55'
		tail -c +186 s.npz
	} >wrong.npz
	fails_with 3 rn-scan x.csv --emb wrong.npz:k -o x.er
	[ ! -e x.er ]
	[ "$size" -gt 150 ]
}

@test "a schema in a file" {
	printf 'id,s,v\n1,007,1\n2,x,2\n' >x.csv
	rn-scan x.csv --key id --types v=float64 -o x.er
	rn-info x.er --schema -o x.json
	[ "$(tr -d ' \n' <x.json)" = '{"columns":{"id":"int64","s":"string","v":"float64"},"key":["id"]}' ]
	printf 'id,s,v\n3,008,1\n' >y.csv
	prints $'column id int64, key\ncolumn s string\ncolumn v float64' \
		pipeline "rn-scan y.csv --schema x.json | rn-info | grep -E '^  column' | tr -s ' ' | sed 's/^ //; s/: .*//; s/ [0-9].*//'"
	prints $'id,s,v\n3,008,1' pipeline 'tail -n 1 y.csv | rn-scan --no-header --schema x.json | rn-cat'
	prints $'id,s,v\n3,8,1' pipeline 'rn-scan y.csv --schema x.json --types s=int64 | rn-cat'
	printf 'id,s,v,w\n3,008,1,1\n' >y.csv
	fails_with 2 rn-scan y.csv --schema x.json -o y.er
	says "rn-scan: $PWD/y.csv: column 'w' is not in the schema 'x.json'"
	printf 'id,s\n3,008\n' >y.csv
	fails_with 2 rn-scan y.csv --schema x.json -o y.er
	says "rn-scan: a type is given for 'v', which is no column of '$PWD/y.csv'"
	printf 'id,s,v\nx,008,1\n' >y.csv
	fails_with 3 rn-scan y.csv --schema x.json -o y.er
	echo '{"columns": {"id": "int"}}' >b.json
	fails_with 2 rn-scan y.csv --schema b.json -o y.er
	says "rn-scan: b.json: /columns/id: wants int64, float64, bool, string or timestamp"
	echo '{"colums": {}}' >b.json
	fails_with 2 rn-scan y.csv --schema b.json -o y.er
	echo '{' >b.json
	fails_with 2 rn-scan y.csv --schema b.json -o y.er
	[ ! -e y.er ]
}

@test "a schema of a stream reads back with the options that made it" {
	printf 'i,f1,f2,g\n1,0.5,2,x\n2,1,3,y\n' >x.csv
	printf 'i,v\n1,"[1,2]"\n2,"[3,4]"\n' >v.csv
	for o in '' '--emb f1' '--emb f*' '--row-id r' '--file-col f' '--row-id r --key r' '--types i=float64' \
		'--emb f1,f2 --row-id r --file-col q --key i' '--emb ones:2' '--columns p,q,r,s --no-header --row-id n'; do
		IFS=' ' read -ra o <<<"$o"
		rn-scan x.csv "${o[@]}" -o x.er
		rn-info x.er --schema -o s.json
		rn-scan x.csv "${o[@]}" --schema s.json -o y.er
		same_stream x.er y.er
	done
	rn-scan v.csv --emb v -o x.er
	rn-info x.er --schema -o s.json
	rn-scan v.csv --emb v --schema s.json -o y.er
	same_stream x.er y.er
	# The names of a file that has no header: none is of the rows' numbers.
	rn-scan x.csv --row-id r -o x.er
	rn-info x.er --schema -o s.json
	prints $'r,i,f1,f2,g\n0,2,1,3,y' pipeline 'tail -n 1 x.csv | rn-scan --no-header --row-id r --schema s.json | rn-cat'
	fails_with 2 rn-scan x.csv --schema s.json -o z.er
	says "rn-scan: a type is given for 'r', which is no column of '$PWD/x.csv'"
	rn-scan x.csv --emb f1 | rn-info - --schema -o s.json
	fails_with 2 rn-scan x.csv --schema s.json --emb f2 -o z.er
	[ ! -e z.er ]
}

@test "a model's data through a pipe, with a column that has no value" {
	points
	awk -F, -v OFS=, 'NR > 1 { $4 = "" } 1' points.csv >new.csv
	rn-train model.json -q -o m.rnm
	rn-predict m.rnm --source points=new.csv -o want.er
	schema want.er | grep -q 'column y .*int64'
	mkfifo pipe
	head -n 46 new.csv >1.csv
	{
		head -n 1 new.csv
		tail -n +47 new.csv
	} >2.csv
	mkdir d
	mv 1.csv 2.csv d
	for s in '<(cat new.csv)' '/dev/stdin <new.csv' '/dev/stdin < <(cat new.csv)' '<(gzip <new.csv)' d; do
		pipeline "rn-predict m.rnm --source points=$s -o got.er"
		same_stream want.er got.er
	done
	cat new.csv >pipe &
	rn-predict m.rnm --source points=pipe -o got.er
	same_stream want.er got.er
	rn-train model.json -q --json | member bits >want
	pipeline "rn-train model.json -q --json --source points=<(cat points.csv)" | member bits | diff want -
	cat points.csv >pipe &
	rn-train model.json -q --json --source points=pipe | member bits | diff want -
}

@test "sources of a spec: files, archives, databases and schemas are relative to it" {
	mkdir -p d
	points
	head -n 41 points.csv >d/a.csv
	{
		head -n 1 points.csv
		tail -n +42 points.csv
	} >d/b.csv
	sed 's|{"from": "points.csv", "key"|{"from": "a.csv", "also": ["b.csv"], "key"|' model.json >d/model.json
	rn-train model.json -q --json | member bits >want
	[ -s want ]
	rn-train d/model.json -q --json --source points=points.csv | member bits | diff want -
	rn-explain d/model.json --json | grep -q '"also": \["d/b.csv"\]'
	rn-train d/model.json -q --json | member bits | diff want -
	rn-cat points.csv --to 'sqlite:d/p.db?table=points'
	sed 's|"points.csv"|"sqlite:p.db?table=points"|' model.json >d/model.json
	rn-train d/model.json -q --json | member bits | diff want -
}

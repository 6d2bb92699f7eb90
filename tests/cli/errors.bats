#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Wrong input: the exact message, which names the input, the place and the
# remedy, and the exit code of the contract.

load lib

# refuses CODE 'MESSAGE' COMMAND...
refuses() {
	local want=$2
	fails_with "$1" "${@:3}"
	says "$want"
	[ ! -e x.er ]
}

# edit 'SED' FILE: the model with a mistake.
edit() {
	sed "$1" model.json >"$2"
	run ! cmp -s model.json "$2"
}

@test "missing file" {
	points
	refuses 1 "rn-scan: cannot open 'missing.csv': No such file or directory" rn-scan missing.csv -o x.er
	refuses 1 "rn-filter: cannot open 'missing.er': No such file or directory" rn-filter 'a > 1' missing.er -o x.er
	refuses 1 "rn-train: cannot open 'none.json': No such file or directory" rn-train none.json
	edit 's/points.csv/none.csv/' m.json
	refuses 1 "rn-train: cannot open 'none.csv': No such file or directory" rn-train m.json
	refuses 1 "rn-predict: cannot open 'none.rnm': No such file or directory" rn-predict none.rnm -o x.er
	refuses 1 "rn-linear: cannot open 'none.rnm': No such file or directory" \
		rn-linear 4 --model none.rnm --name h points.csv -o x.er
}

@test "wrong column" {
	tables
	points
	refuses 2 $'rn-filter: no column \'clbu\' in p (columns: id, club, x, year)\nrn-filter:   clbu = 1\nrn-filter:   ^' \
		rn-filter 'clbu = 1' p.er -o x.er
	refuses 2 $'rn-project: column \'idd\': no column \'idd\' in p (columns: id, club, x, year)\nrn-project:   idd\nrn-project:   ^' \
		rn-project --cols idd p.er -o x.er
	refuses 2 "rn-agg: no column 'clb' in p (columns: id, club, x, year)" rn-agg --by clb p.er -o x.er
	refuses 2 "rn-join: no column 'idx' in p (columns: id, club, x, year)" \
		rn-join e.er p.er --on src=idx -o x.er
	refuses 2 "rn-scan: $PWD/p.csv: --key: no column 'nope' (columns: id, club, x, year)" \
		rn-scan p.csv --key nope -o x.er
	edit "s/split = 'train'/splt = 'train'/" m.json
	refuses 2 $'rn-train: filter \'train\': no column \'splt\' in out (columns: id, a, b, y, split)\nrn-train:   splt = \'train\'\nrn-train:   ^' \
		rn-train m.json
	edit 's/"cross-entropy", "target": "y"/"cross-entropy", "target": "yy"/' m.json
	refuses 2 "rn-train: loss 'loss': no column 'yy' in train (columns: id, a, b, y, split)" rn-train m.json
}

@test "wrong type" {
	tables
	printf 'id,v\n1,2\n2,x\n' >t.csv
	refuses 3 "rn-scan: $PWD/t.csv:3: column 'v': 'x' is not of type int64" \
		rn-scan t.csv --types v=int64 -o x.er
	refuses 2 "rn-scan: scan 't': --types: no type 'int' for column 'v' (int64, float64, bool, string, timestamp)" \
		rn-scan t.csv --types v=int -o x.er
	refuses 2 $'rn-filter: \'>\' does not compare string with int64\nrn-filter:   club > 1\nrn-filter:        ^' \
		rn-filter 'club > 1' p.er -o x.er
	refuses 2 "rn-join: key columns 'src' (int64) and 'club' (string) do not compare: cast one of them" \
		rn-join e.er p.er --on src=club -o x.er
	refuses 2 "rn-encode: raw wants numbers, and column 'club' is string" \
		rn-encode 'raw(club)' p.er -o x.er
	refuses 2 "rn-scan: $PWD/p.csv: --emb: column 'club' is string, and an embedding wants numbers (or give its --types), or one column of arrays such as [0.5, 1]" \
		rn-scan p.csv --emb club -o x.er
}

@test "ragged CSV rows, open quotes, double names" {
	printf 'id,v\n1,2\n2\n3,4\n' >r.csv
	refuses 3 "rn-scan: $PWD/r.csv:3:2: 1 field where the header has 2" rn-scan r.csv -o x.er
	printf 'id,v\n1,2,5\n' >r.csv
	refuses 3 "rn-scan: $PWD/r.csv:2:5: 3 fields where the header has 2" rn-scan r.csv -o x.er
	printf 'id,v\n1,"2\n' >r.csv
	refuses 3 "rn-scan: $PWD/r.csv:2:3: a quote is not closed" rn-scan r.csv -o x.er
	printf 'id,id\n1,2\n' >r.csv
	refuses 3 "rn-scan: $PWD/r.csv:1: columns 1 and 2 are both named 'id'" rn-scan r.csv -o x.er
	: >r.csv
	fails_with 3 rn-scan r.csv -o x.er
}

@test "shape mismatch" {
	points
	rn-encode 'raw(a, b)' points.csv -o a.er
	rn-encode 'raw(a, b, y)' points.csv -o b.er
	rn-join a=a.er b=b.er --on id -o j.er
	refuses 2 $'rn-map: add: shapes [2] and [3] do not fit together\nrn-map:   a + b\nrn-map:     ^' \
		rn-map 'a + b' j.er -o x.er
	refuses 2 $'rn-map: \'@\' multiplies matrices whose inner sizes agree, not [2] @ [3]\nrn-map:   a @ b\nrn-map:     ^' \
		rn-map 'a @ b' j.er -o x.er
	rn-linear 3 a.er -o l.er
	refuses 2 "rn-loss: mse wants one value, shape [1], not an embedding of shape [3]" \
		rn-loss mse --target y l.er -o x.er
	rn-train model.json -q -o m.rnm
	edit 's/"hidden": 8/"hidden": 9/' m.json
	refuses 2 "rn-train: parameter 'h.weight' has another shape in 'm.rnm' than in this plan" \
		rn-train m.json --weights-in m.rnm
}

@test "wrong expressions point at the place" {
	points
	rn-encode 'raw(a, b)' points.csv -o a.er
	refuses 2 $'rn-map: there is no embedding \'q\' (there is \'z\')\nrn-map:   q * 2\nrn-map:   ^' rn-map 'q * 2' a.er -o x.er
	refuses 2 $'rn-map: expected a name, a number or \'(\', found the end of the expression\nrn-map:   z * \nrn-map:       ^' \
		rn-map 'z * ' a.er -o x.er
	refuses 2 $'rn-agg: there is no function \'foo\'\nrn-agg:   foo(z)\nrn-agg:   ^' rn-agg 'foo(z)' a.er -o x.er
}

@test "unknown options and values" {
	tables
	refuses 2 "rn-join: unknown option '--hwo'; did you mean '--how'?" rn-join --hwo left e.er p.er -o x.er
	refuses 2 "rn-join: --how wants inner, left, full, semi or anti, not 'outer'" rn-join --how outer --on id e.er p.er -o x.er
	refuses 2 "rn-linear: --out wants an integer, not '12x'" rn-linear 12x p.er -o x.er
	refuses 2 "rn-linear: out must be between 1 and 16777216, not 0" rn-linear 0 p.er -o x.er
	refuses 2 "rn-loss: --kind wants cross-entropy, bce, mse, l1 or value, not 'hinge'" rn-loss hinge --target x p.er -o x.er
	refuses 2 "rn-loss: mse wants a --target column" rn-loss mse p.er -o x.er
	refuses 2 "rn-agg: nothing to do: give an expression, --by or --cols" rn-agg p.er -o x.er
	refuses 2 "rn-join: give the key columns with --on COL or --on L=R" rn-join e.er p.er -o x.er
}

@test "a spec: unknown keys, names and values by JSON pointer" {
	points
	edit 's/"out": 2}/"out": 2, "biass": false}/' m.json
	refuses 2 "rn-train: m.json: /stages/3/biass: unknown key; did you mean 'bias'?" rn-train m.json
	edit 's/"sources"/"sorces"/' m.json
	refuses 2 "rn-train: m.json: /sorces: unknown key; did you mean 'sources'?" rn-train m.json
	edit 's/"op": "linear", "in": "x"/"op": "liner", "in": "x"/' m.json
	refuses 2 "rn-train: m.json: /stages/1/op: no operator 'liner'; did you mean 'linear'?" rn-train m.json
	edit 's/"in": "h"/"in": "hh"/' m.json
	refuses 2 "rn-train: m.json: /stages/2/in: no source or stage 'hh' (there are points, x, h, drop, out, train, val, test, loss)" \
		rn-train m.json
	edit 's/"epochs": "/"epoch": "/' m.json
	refuses 2 "rn-train: m.json: /run/0/fit/epoch: unknown key; did you mean 'epochs'?" rn-train m.json
	edit 's/${hidden}/${hiden}/' m.json
	refuses 2 "rn-train: m.json: /stages/1/out: no constant 'hiden'; did you mean 'hidden'?" rn-train m.json
	edit 's/"out": 2}/"out": "two"}/' m.json
	refuses 2 "rn-train: m.json: /stages/3/out: wants an integer, not \"two\"" rn-train m.json
	edit 's/"out": 2}/"out": 2},,/' m.json
	refuses 2 "rn-train: m.json:8:59: unexpected token near ','" rn-train m.json
	refuses 2 "rn-train: --set nope=3: no constant 'nope' (there are hidden, epochs)" rn-train model.json --set nope=3
	refuses 2 "rn-train: --source nope: the plan has no such source (there are points)" \
		rn-train model.json --source nope=3
	refuses 2 "rn-explain: m.json:8:59: unexpected token near ','" rn-explain m.json
}

@test "a loss with no rows" {
	points
	edit "s/split = 'train'/split = 'trian'/" m.json
	refuses 2 "rn-train: the loss 'loss' has no rows: no row passes the filters before it with a label that is not NULL" rn-train m.json
	rn-encode 'raw(a, b)' points.csv | rn-linear 2 -o out.er
	fails_with 2 rn-train <(rn-filter 'y > 7' out.er | rn-loss cross-entropy --target y --name nothing)
	says "rn-train: the loss 'nothing' has no rows: no row passes the filters before it with a label that is not NULL"
}

@test "two unnamed equal stages with parameters" {
	points
	rn-encode 'raw(a, b)' points.csv -o a.er
	rn-join <(rn-linear 2 a.er) <(rn-linear 2 a.er) --on id | rn-map 'a + b' | rn-project --cols y=a.y |
		rn-loss cross-entropy --target y -o loss.er
	want="two stages 'linear' are equal but separate: give each a --name, or use one for both (tee, or a file read twice)"
	refuses 2 "rn-train: $want" rn-train loss.er
	refuses 2 "rn-explain: $want" rn-explain loss.er
	# Named, they are two; a file read twice is one.
	rn-join <(rn-linear 2 a.er --name p) <(rn-linear 2 a.er --name q) --on id | rn-map 'p + q' |
		rn-project --cols y=p.y | rn-loss cross-entropy --target y | rn-train --epochs 2 --json | grep -q '"parameters": 12,'
	rn-linear 2 a.er -o l.er
	rn-join l.er m=l.er --on id | rn-map 'a + m' | rn-project --cols y=m.y |
		rn-loss cross-entropy --target y | rn-train --epochs 2 --json | grep -q '"parameters": 6,'
}

@test "a join that would explode is refused before it allocates" {
	seq 5000 | awk '{ print ($1 < 4990 ? 7 : $1) "," $1 }' | rn-scan --no-header --name t -o t.er
	fails_with 4 rn-join a=t.er b=t.er --on c0 --mem 20M -o x.er
	[[ $stderr == "rn-join: "*"7"* ]]
	[ ! -e x.er ]
}

@test "what can be known before training is said before training" {
	points
	refuses 2 "rn-train: --patience wants a validation: --val STREAM, or a val run in the spec" \
		rn-train <(rn-encode 'raw(a, b)' points.csv | rn-linear 3 --name h | rn-loss cross-entropy --target y) \
		--patience 3
	refuses 1 "rn-train: cannot write '/nonexistent/x.rnm': No such file or directory" \
		rn-train model.json -o /nonexistent/x.rnm
	refuses 1 "rn-train: cannot write 'points.csv/c.rnm': Not a directory" \
		rn-train model.json --checkpoint points.csv/c.rnm
	refuses 2 "rn-train: a tag cannot be called 'bits': the report has that member already" \
		rn-train model.json --tag bits=3
	echo '[]' >b.json
	refuses 2 "rn-train: b.json: a spec is an object, not an array" rn-train b.json
}

@test "a list of columns names none twice" {
	points
	refuses 2 "rn-agg: --by names 'y' twice" rn-agg points.csv --by y,y -o x.er
	refuses 2 "rn-agg: --by names 'y' twice" rn-agg points.csv --by y --by a,y -o x.er
	refuses 2 "rn-head: --by names 'y' twice" rn-head points.csv --by y,y -o x.er
	refuses 2 "rn-embed: --by names 'y' twice" rn-embed 2 points.csv --by y,y -o x.er
	refuses 2 "rn-negative: --by names 'y' twice" \
		rn-negative points.csv --candidates points.csv --col a --by y,y -o x.er
	refuses 2 "rn-scan: --key names 'y' twice" rn-scan points.csv --key y,y -o x.er
	refuses 2 "rn-scan: --columns names 'y' twice" rn-scan points.csv --columns y,y -o x.er
	printf '{"rn": 1, "sources": {"p": {"from": "points.csv", "key": ["y", "y"]}}, "stages": [], "run": []}' >k.json
	refuses 2 "rn-train: k.json: /sources/p: --key names 'y' twice" rn-train k.json
}

@test "an embedding of columns that are not there, or are twice" {
	printf 'a,b,f1\n1,2,3\n' >t.csv
	refuses 2 "rn-scan: $PWD/t.csv: --emb: no column 'nosuch' (columns: a, b, f1)" \
		rn-scan t.csv --emb a,nosuch -o x.er
	refuses 2 "rn-scan: $PWD/t.csv: --emb: no column 'x*' (columns: a, b, f1)" \
		rn-scan t.csv --emb 'a, x*' -o x.er
	refuses 2 "rn-scan: $PWD/t.csv: --emb: no column 'c' (columns: a, b, f1)" \
		rn-scan t.csv --emb c,a:3 -o x.er
	refuses 2 "rn-scan: $PWD/t.csv: --emb: 'a' is named twice" rn-scan t.csv --emb 'a, b ,a' -o x.er
	refuses 2 "rn-scan: $PWD/t.csv: --emb: 'f*' is named twice" rn-scan t.csv --emb 'f*,b,f*' -o x.er
	refuses 2 "rn-scan: $PWD/t.csv: --emb: no column '' (columns: a, b, f1)" rn-scan t.csv --emb a,,b -o x.er
	prints $'b,z0,z1\n2,1,3' pipeline "rn-scan t.csv --emb ' a, f*,f1' | rn-cat"
	prints $'a,b,z\n1,2,3' pipeline "rn-scan t.csv --emb 'f1,f*, ' | rn-cat"
	prints $'a,b,z\n1,2,3' pipeline "rn-scan t.csv --emb 'f1,f*,' | rn-cat"
}

@test "an embedding of no columns" {
	printf 'a,b\n1,2\n' >t.csv
	refuses 2 "rn-scan: $PWD/t.csv: --emb: no column matches ''" rn-scan t.csv --emb '' -o x.er
	refuses 2 "rn-scan: $PWD/t.csv: --emb: no column matches ' '" rn-scan t.csv --emb ' ' -o x.er
	printf '%s\n' '?source T = "t.csv" <emb=""> .' '?pred P(a; Linear(2, 1)(z)) :- T(a, _; z) .' >m.relnn
	fails_with 2 rn-compile m.relnn -o m.json
	[[ $stderr == *"t.csv: --emb: no column matches ''"* ]]
}

@test "columns of long names are not taken for each other" {
	long=$(printf 'x%.0s' {1..255})
	printf '%s\n1,2,3\n' "$long,${long}a,${long}b" >t.csv
	prints "$long,z0,z1"$'\n1,2,3' pipeline "rn-scan t.csv --emb ${long}b,${long}a | rn-cat"
	refuses 2 "rn-scan: $PWD/t.csv: --emb: '${long}a' is named twice" \
		rn-scan t.csv --emb "${long}a,${long}b,${long}a" -o x.er
	fails_with 2 rn-scan t.csv --emb "${long}c" -o x.er
	[[ $stderr == "rn-scan: $PWD/t.csv: --emb: no column '${long}c' "* ]]
}

@test "a column that would be named twice" {
	points
	refuses 2 "rn-agg: column 'y' is named twice" rn-agg points.csv --by y --cols 'y=count(*)' -o x.er
}

@test "a row in a later block is told from where its rows count" {
	{ echo a; yes 1 | head -n 70000; echo 77; } >late.csv
	refuses 3 "rn-encode: counting rows from 65536: column 'a', row 4464: 77 is not in 0 ... 4" \
		rn-encode 'index(a, 5)' late.csv -o x.er
}

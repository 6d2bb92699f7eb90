#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What the operators do to small tables, as text.

load lib

@test "scan: types, NULLs, quotes, names and row numbers" {
	printf '\xef\xbb\xbfi,f,b,s,t,n\r\n1,0.1,true,"a,""b""",2024-02-29,\r\n-2,1e3,false,"two\nlines",2024-01-01T10:00:00+01:00,\r\n,,,"",,\r\n' >x.csv
	prints $'i,f,b,s,t,n\n1,0.1,true,"a,""b""",2024-02-29T00:00:00Z,\n-2,1000,false,"two\nlines",2024-01-01T09:00:00Z,\n,,,"",,' \
		pipeline 'rn-scan x.csv | rn-cat'
	prints $'r\n0\n1\n2' pipeline 'rn-scan x.csv --row-id r | rn-project --cols r | rn-cat'
	prints $'c0,c1\n1,2' pipeline "echo 1,2 | rn-scan --no-header | rn-cat"
	prints $'a\tb\n1\t2' pipeline "printf 'a\tb\n1\t2\n' | rn-scan --format tsv | rn-cat --format tsv"
	printf 'a\n1\n' | zstd -q >z.csv.zst
	prints $'a\n1' pipeline 'rn-scan z.csv.zst | rn-cat'
	prints $'a\n1' rn-cat z.csv.zst
}

@test "scan: a declared key must be unique" {
	tables
	fails_with 3 rn-scan e.csv --key dst -o x.er
	[[ $stderr == "rn-scan: "*"dst"* ]]
	[ ! -e x.er ]
	rn-info p.er | grep -q 'column id .*int64, key'
}

@test "scan: embeddings from columns, ones and .npy" {
	printf 'id,f1,f2\n1,0.5,2\n2,1,3\n' >x.csv
	prints $'id,z0,z1\n1,0.5,2\n2,1,3' pipeline "rn-scan x.csv --emb 'f*' | rn-cat"
	prints $'id,f1,f2,z0,z1,z2\n1,0.5,2,1,1,1\n2,1,3,1,1,1' pipeline 'rn-scan x.csv --emb ones:3 | rn-cat'
	rn-scan x.csv --emb f1,f2 | rn-cat -o m.npy
	prints $'id,f1,f2,z0,z1\n1,0.5,2,0.5,2\n2,1,3,1,3' pipeline 'rn-scan x.csv --emb m.npy | rn-cat'
	fails_with 2 rn-cat m.npy -o x.er
}

@test "cat: csv, tsv, jsonl, npy; by option and by name" {
	tables
	prints $'id\tclub\tx\tyear\n1\ta\t0.5\t2019\n2\tb\t\t2020\n3\ta\t2\t2021' rn-cat p.er --format tsv
	prints $'{"id": 1, "club": "a", "x": 0.5, "year": 2019}\n{"id": 2, "club": "b", "x": null, "year": 2020}\n{"id": 3, "club": "a", "x": 2, "year": 2021}' \
		rn-cat p.er --format jsonl
	rn-cat p.er -o p.jsonl
	[ "$(head -c 8 p.jsonl)" = '{"id": 1' ]
	prints $'1,a,0.5,2019\n2,b,,2020\n3,a,2,2021' rn-cat p.er --no-header
	rn-scan p.csv --emb year -o y.er
	prints $'id,club,x\n1,a,0.5\n2,b,\n3,a,2' rn-cat y.er --no-embedding
	rn-cat y.er -o y.npy
	[ "$(tail -c 12 y.npy | od -An -tf4 | tr -s ' ')" = ' 2019 2020 2021' ]
	fails_with 2 rn-cat p.er --format npy
	says "rn-cat: an .npy file holds one matrix, and the relation has 0 embedding parts"
	fails_with 2 rn-cat p.er -o q.er
	[[ $stderr == "rn-cat: 'q.er' would be a stream"* ]]
}

@test "head: the first rows, and all where there are fewer" {
	tables
	prints $'src,dst\n1,2\n2,3' pipeline 'rn-head -n 2 e.er | rn-cat'
	prints $'src,dst' pipeline 'rn-head --rows=0 e.er | rn-cat'
	prints "$(rn-cat e.er)" pipeline 'rn-head -n99 e.er | rn-cat'
	fails_with 2 rn-head -n -1 e.er
	prints $'dst,n\n2,1' bash -c "rn-agg --by dst --cols 'n=count(*)' e.er | rn-head -n 1 | rn-filter 'n > 0' | rn-cat"
	rn-scan e.csv | rn-head -n 1 | rn-join - p.er --on src=id | rn-explain | grep -q "^e "
}

@test "filter: three-valued logic" {
	tables
	prints $'id\n1\n3' pipeline "rn-filter 'x is not null' p.er | rn-project --cols id | rn-cat"
	prints $'id\n3' pipeline "rn-filter 'x > 1' p.er | rn-project --cols id | rn-cat"
	prints $'id' pipeline "rn-filter 'not (x > 0)' p.er | rn-project --cols id | rn-cat"
	prints $'id\n1\n3' pipeline "rn-filter \"club in ('a', 'c')\" p.er | rn-project --cols id | rn-cat"
	prints $'id\n2\n3' pipeline "rn-filter 'year >= 2020 and (club = \"b\" or x = 2)' p.er | rn-project --cols id | rn-cat"
}

@test "project: keep, rename, compute" {
	tables
	prints $'u,v\n1,1\n2,2\n3,3' pipeline 'rn-project --cols u=id,v=id p.er | rn-cat'
	prints $'id,t\n1,2019.5\n2,\n3,2023' pipeline "rn-project --cols 'id, t = year + x' p.er | rn-cat"
	prints $'id,q\n1,\n2,2\n3,1' pipeline "rn-project --cols 'id, q = 2 / (id - 1)' p.er | rn-cat"
	prints $'id,z\n1,2019\n2,2020\n3,2021' pipeline 'rn-scan p.csv --emb year | rn-project --cols id | rn-cat'
	prints $'id\n1\n2\n3' pipeline 'rn-scan p.csv --emb year | rn-project --cols id --no-embedding | rn-cat'
}

@test "join: inner, left, semi, anti; the order of rows" {
	tables
	prints $'src,dst,club\n1,2,a\n2,3,b\n3,1,a\n1,3,a' \
		pipeline 'rn-project --cols id,club p.er | rn-join e.er - --on src=id | rn-cat'
	prints $'src,dst,club\n1,2,a\n2,3,b\n3,1,a\n1,3,a\n9,1,' \
		pipeline 'rn-project --cols id,club p.er | rn-join e.er - --on src=id --how left | rn-cat'
	prints $'src,dst\n9,1' pipeline 'rn-join e.er p.er --on src=id --how anti | rn-cat'
	prints $'id\n1\n2\n3' pipeline 'rn-join p.er e.er --on id=dst --how semi | rn-project --cols id | rn-cat'
	prints $'src,dst,club\n1,2,a\n2,3,b\n3,1,a\n1,3,a' \
		pipeline "rn-project --cols id,club p.er -o c.er; rn-scan e.csv | rn-join c.er --on src=id | rn-cat"
}

@test "join: NULL keys never match, in several columns, of two number types" {
	printf 'k,l,a\n1,x,10\n,x,20\n2,,30\n2,y,40\n' >l.csv
	printf 'k,l,b\n1,x,1\n,x,2\n2,,3\n2.0,y,4\n' >r.csv
	prints $'k,l,a,b\n1,x,10,1\n2,y,40,4' pipeline 'rn-join l.csv r.csv --on k,l | rn-cat'
	prints $'k,l,a,b\n1,x,10,1\n2,y,40,4' pipeline 'rn-join l.csv r.csv --natural | rn-cat'
	fails_with 3 rn-join l.csv r.csv --on k,l --strict -o x.er
	fails_with 2 rn-join l.csv r.csv --on k=l -o x.er
	[ ! -e x.er ]
}

@test "join: shared columns are written NAME.col, keys once, three inputs" {
	tables
	prints $'src,a.dst,b.dst,c.dst\n1,2,2,2\n1,2,2,3\n1,2,3,2\n1,2,3,3\n1,3,2,2\n1,3,2,3\n1,3,3,2\n1,3,3,3' \
		pipeline "rn-filter 'src = 1' e.er -o f.er; rn-join a=f.er b=f.er c=f.er --on src | rn-cat"
}

@test "agg: content, groups in order of first appearance, NULLs are one group" {
	printf 'g,v,f\nb,1,0.5\na,2,\n,3,1\nb,4,2\n,5,\n' >x.csv
	prints $'g,n,s,m,lo,hi\nb,2,5,2.5,1,4\na,1,2,2,2,2\n,2,8,4,3,5' \
		pipeline "rn-agg x.csv --by g --cols 'n=count(*),s=sum(v),m=avg(v),lo=min(v),hi=max(v)' | rn-cat"
	prints $'g,n\nb,2\na,0\n,1' pipeline "rn-agg x.csv --by g --cols 'n=count(f)' | rn-cat"
	prints $'n\n5' pipeline "rn-agg x.csv --cols 'n=count(*)' | rn-cat"
	prints $'n\n0' pipeline "rn-filter 'v > 9' x.csv | rn-agg --cols 'n=count(*)' | rn-cat"
	prints $'g\nb\na\n""' pipeline "rn-agg x.csv --by g | rn-cat | sed 's/^\$/\"\"/'"
}

@test "agg: embeddings; --keys gives the groups and their order" {
	tables
	rn-scan e.csv --emb src -q -o w.er
	prints $'dst,z\n2,1\n3,3\n1,12' pipeline "rn-agg 'sum(z)' --by dst w.er | rn-cat"
	prints $'dst,z\n2,1\n3,1.5\n1,6' pipeline "rn-agg 'mean(z)' --by dst w.er | rn-cat"
	prints $'dst,z\n2,1\n3,2\n1,9' pipeline "rn-agg 'max(z)' --by dst w.er | rn-cat"
	prints $'dst,z\n2,1\n3,1\n1,3' pipeline "rn-agg 'min(z)' --by dst w.er | rn-cat"
	printf 'dst\n3\n7\n1\n' >k.csv
	prints $'dst,z\n3,3\n7,0\n1,12' pipeline "rn-agg 'sum(z)' --by dst --keys k.csv w.er | rn-cat"
	fails_with 3 rn-agg 'sum(z)' --by dst --keys k.csv --strict w.er -o x.er
	[ ! -e x.er ]
	run -0 --separate-stderr rn-agg 'sum(z)' --by dst --keys k.csv -v w.er -o x.er
	[[ $stderr == "rn-agg: "*"1 rows dropped"* ]]
}

@test "union: by column name" {
	tables
	printf 'dst,src\n8,7\n' >f.csv
	prints $'src,dst\n1,2\n2,3\n3,1\n1,3\n9,1\n7,8' pipeline 'rn-union e.er f.csv | rn-cat'
	fails_with 2 rn-union e.er p.er -o x.er
	[ ! -e x.er ]
}

@test "map, encode: expressions over parts and columns; sparse stays sparse" {
	printf 'id,a,b\n1,3,4\n2,0,1\n' >x.csv
	prints $'id,a,b,z0,z1\n1,3,4,0.6,0.8\n2,0,1,0,1' \
		pipeline "rn-encode 'raw(a, b)' x.csv | rn-map 'z / sqrt(rowsum(z * z))' | rn-cat"
	prints $'id,a,b,z\n1,3,4,0.5\n2,0,1,1' pipeline "rn-map '1 / sqrt([b])' x.csv | rn-cat"
	prints $'id,a,b,z\n1,3,4,3:1\n2,0,1,0:1' pipeline "rn-encode 'index(a, 5)' x.csv | rn-cat"
	prints $'id,a,b,z\n1,3,4,3:2\n2,0,1,0:2' pipeline "rn-encode 'index(a, 5)' x.csv | rn-map 'z * 2' | rn-cat"
	fails_with 3 rn-encode 'index(b, 3)' x.csv -o y.er
	[ ! -e y.er ]
	rn-encode 'raw(a, b)' x.csv -o y.er
	fails_with 2 rn-map 'mean(CrossEntropyLoss(weight=[1, 5])(z, [id]))' y.er
	[[ $stderr == *"mean(…) is an aggregate: it belongs outermost, in rn-agg or a rule's head"* ]]
	fails_with 2 rn-map 'softmax(z; id)' y.er
	[[ $stderr == *'softmax over rows needs the groups of an aggregate'* ]]
}

@test "linear, embed: deferred without a model, a filter with one" {
	points
	rn-train model.json -q -o m.rnm
	rn-scan points.csv --key id | rn-encode 'raw(a, b)' -o x.er
	rn-linear 8 --name h x.er | rn-info | grep -q ': deferred'
	rn-linear 8 --name h --model m.rnm x.er -o h.er
	rn-linear 8 --name h --model m.rnm x.er --block-rows 7 -t 2 -o h2.er
	same_stream h.er h2.er
	rn-predict m.rnm --stage h -o h3.er
	diff <(rn-cat h.er) <(rn-cat h3.er)
	fails_with 2 rn-linear 8 --name other --model m.rnm x.er -o h.er
	[[ $stderr == "rn-linear: "*"other.weight"* ]]
	fails_with 2 rn-linear 9 --name h --model m.rnm x.er -o h.er
	fails_with 2 rn-filter 'id > 1' --model m.rnm x.er -o h.er
	[[ $stderr == "rn-filter: unknown option '--model'"* ]]
}

@test "info: text and JSON" {
	tables
	rn-info p.er | grep -q '^p.er: evaluated, format 1.0, checksums verified$'
	rn-info p.er | grep -q '^relation 0, p: 3 rows in 1 block, '
	rn-info p.er | grep -q '^  p = scan .*/p.csv --key id$'
	rn-info p.csv | grep -q '^relation 0, p: 3 rows$'
	[ "$(rn-info p.er --json | grep -c '"verified": true')" = 1 ]
	[ "$(rn-info - --json <p.er | grep -c '"file": "standard input"')" = 1 ]
}

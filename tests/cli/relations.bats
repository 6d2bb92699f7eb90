#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Joins of all kinds, orders, samples, aggregates and expressions beyond the
# first ones, which are in ops.bats.

load lib

sides() {
	printf 'k,t,a\n1,5,x\n2,3,y\n,1,n\n1,9,z\n4,4,w\n' >l.csv
	printf 'k,t,b\n1,4,p\n1,5,q\n1,5,Q\n3,7,r\n,2,m\n2,8,s\n' >r.csv
}

@test "join: full keeps both sides, and its key has values of both" {
	sides
	prints $'k,l.t,a,r.t,b\n1,5,x,4,p\n1,5,x,5,q\n1,5,x,5,Q\n2,3,y,8,s\n,1,n,,\n1,9,z,4,p\n1,9,z,5,q\n1,9,z,5,Q\n4,4,w,,\n3,,,7,r\n,,,2,m' \
		pipeline 'rn-join l.csv r.csv --on k --how full | rn-cat'
	printf 'k\n1\n2\n' >some.csv
	for how in inner left semi; do
		fails_with 3 rn-join some.csv r.csv --on k --how $how --strict -o x.er
		says "rn-join: 1 rows of 'r' have a NULL key, and --strict was given"
	done
	fails_with 2 rn-join l.csv r.csv l.csv --on k --how full -o x.er
	says "rn-join: --how full wants two inputs"
	fails_with 3 rn-join l.csv r.csv --on k --how full --strict -o x.er
	says "rn-join: 2 rows find no partner in 'r' (1 with a NULL key), and --strict was given"
	rn-project l.csv --cols 'k = cast(k as float64), a' -o f.er
	fails_with 2 rn-join f.er r.csv --on k --how full -o x.er
	says "rn-join: key columns 'k' (float64) and 'k' (int64) become one in a full join: cast one of them before, with rn-project"
	[ ! -e x.er ]
	rn-project r.csv --cols 'k=cast(k as float64),t,b' --name r -o rf.er
	cmp <(rn-join f.er rf.er --on k --how full | rn-cat) <(rn-join l.csv r.csv --on k --how full | rn-project --cols k,a,r.t,b | rn-cat | sed 1s/r.t/t/)
	cmp <(rn-join f.er r.csv --on k --how left | rn-cat) <(rn-join f.er rf.er --on k --how left | rn-cat)
}

@test "join: semi and anti stop at a first partner, and a long search is told" {
	seq 1 60000 | awk 'BEGIN { print "k,v" } { print "7," $1 }' | rn-scan --name q -o q.er
	# 3.6e9 pairs, of which the first of each row will do.
	run -0 --separate-stderr timeout 60 rn-join x=q.er y=q.er --on k --how semi --and 'x.v - y.v >= 0' -v -o semi.er
	[[ $stderr == *"rn-join: the condition is tested on up to 3600000000 pairs of rows; k=7 alone gives 3600000000 (60000 left with 60000 right rows)"* ]]
	cmp <(rn-cat semi.er) <(rn-cat q.er)
	prints 'k,v' pipeline "timeout 60 rn-join x=q.er y=q.er --on k --how anti --and 'x.v - y.v >= 0' | rn-cat"
	prints $'k,v\n7,1' pipeline "timeout 60 rn-join x=q.er y=q.er --on k --how anti --and 'x.v > y.v or x.v > 1' | rn-cat"
	seq 1 101000 | awk 'BEGIN { print "k,v" } { print "7," $1 }' | rn-scan --name q -o q.er
	run -0 --separate-stderr timeout 60 rn-join x=q.er y=q.er --on k --how semi --and 'x.v - y.v >= 0' -o semi.er
	says "rn-join: warning: the condition is tested on up to 10201000000 pairs of rows; k=7 alone gives 10201000000 (101000 left with 101000 right rows)"
}

@test "join: a comparison of columns of both sides spares the pairs that it discards" {
	seq 1 200000 | awk 'BEGIN { print "k,v" } { print "7," $1 }' | rn-scan --name q -o q.er
	# 4e10 pairs with the key, which would take minutes to test.
	prints 'k,x.v,y.v' pipeline "timeout 60 rn-join x=q.er y=q.er --on k --and 'y.v < x.v and x.v < y.v' | rn-cat"
	rn-project q.er --cols 'k, lo = v - 1, hi = v + 0.5' --name w -o w.er
	prints 'n=200000 d=0' pipeline "timeout 60 rn-join w.er q.er --on k --and 'v > lo and hi >= v' |
		rn-agg --cols 'n=count(*),d=sum(v - lo - 1)' | rn-cat --format jsonl | jq -r '\"n=\(.n) d=\(.d)\"'"
	prints 'n=200000' pipeline "timeout 60 rn-join w.er q.er --on k --and 'v between hi and lo' --how anti |
		rn-agg --cols 'n=count(*)' | rn-cat --format jsonl | jq -r '\"n=\(.n)\"'"
}

@test "join: a condition beside the key decides who is a partner" {
	sides
	prints $'k,l.t,a,r.t,b\n1,5,x,4,p\n1,9,z,4,p\n1,9,z,5,q\n1,9,z,5,Q' \
		pipeline "rn-join l.csv r.csv --on k --and 'l.t > r.t' | rn-cat"
	prints $'k,l.t,a,r.t,b\n1,5,x,4,p\n2,3,y,,\n,1,n,,\n1,9,z,4,p\n1,9,z,5,q\n1,9,z,5,Q\n4,4,w,,\n3,,,7,r\n,,,2,m\n2,,,8,s' \
		pipeline "rn-join l.csv r.csv --on k --how full --and 'l.t > r.t' | rn-cat"
	prints $'k,t,a\n1,5,x' pipeline "rn-join l.csv r.csv --on k --how semi -a 'l.t = r.t' | rn-cat"
	prints $'k,t,a\n2,3,y\n,1,n\n1,9,z\n4,4,w' \
		pipeline "rn-join l.csv r.csv --on k --how anti --and 'l.t = r.t' | rn-cat"
	prints $'k,t,a\n1,5,x\n4,4,w' pipeline "rn-join l.csv r.csv --how semi --and 'l.t = r.t' | rn-cat"
	prints $'a,b\nz,p\nz,q\nz,Q' \
		pipeline "rn-join l.csv r.csv --on k --and \"r.k = 1 and l.k = k and a || b like 'z%'\" | rn-project --cols a,b | rn-cat"
	prints $'k,a.t,b.t,c.t\n1,5,4,9' \
		pipeline "rn-project l.csv --cols k,t -o a.er; rn-project r.csv --cols k,t -o b.er; rn-join a=a.er b=b.er c=a.er --on k --and 'a.t < c.t and b.t < a.t' | rn-cat"
	fails_with 2 rn-join l.csv r.csv --on k --and 'l.t + 1' -o x.er
	says "rn-join: --and: 'l.t + 1' is int64, and a condition must be bool"
	fails_with 2 rn-join l.csv r.csv --on k --and 't > 1' -o x.er
	fails_with 4 rn-join l.csv r.csv --and 'l.t < 10' --mem 64 -o x.er
	[[ $stderr == "rn-join: "*"gives at least 9 rows"* ]]
	[ ! -e x.er ]
}

@test "join: as of a time, strictly before unless asked otherwise" {
	sides
	prints $'k,l.t,a,r.t,b\n1,5,x,4,p\n2,3,y,,\n,1,n,,\n1,9,z,5,Q\n4,4,w,,' \
		pipeline 'rn-join l.csv r.csv --on k --asof t --how left | rn-cat'
	prints $'k,l.t,a,r.t,b\n1,5,x,5,Q\n1,9,z,5,Q' \
		pipeline 'rn-join l.csv r.csv --on k --asof t --asof-equal | rn-cat'
	prints $'k,l.t,a,r.t,b\n1,5,x,4,p\n1,9,z,5,Q' \
		pipeline 'rn-join l.csv r.csv --natural --asof t | rn-cat'
	prints $'t,b\n5,p\n3,m\n1,\n9,s\n4,m' \
		pipeline 'rn-join l.csv r.csv --asof t=t --how left | rn-project --cols l.t,b | rn-cat'
	fails_with 2 rn-join l.csv r.csv --on k --asof t --how semi
	fails_with 2 rn-join l.csv r.csv --on k --asof a=b
	says "rn-join: --asof wants a timestamp or a number, and 'a' is string"
	fails_with 2 rn-join l.csv r.csv --on k --asof-equal
	says "rn-join: --asof-equal wants --asof"
}

@test "join: conditions and times in a JSON spec" {
	sides
	cat >m.json <<-'END'
		{"rn": 1, "sources": {"l": {"from": "l.csv"}, "r": {"from": "r.csv"}},
		 "stages": [{"name": "j", "op": "join", "in": ["l", "r"], "on": "k", "asof": "t", "how": "left"},
		            {"name": "c", "op": "join", "in": ["l", "r"], "on": "k", "and": "l.t < r.t"}],
		 "run": [{"pred": {"name": "j", "in": "j", "to": "j.csv"}}, {"pred": {"name": "c", "in": "c", "to": "c.csv"}}]}
	END
	rn-explain m.json | grep -q -- "--and 'l.t < r.t'"
	rn-explain m.json | grep -q -- '--asof t'
}

@test "sort: by columns and expressions, NULLs first, stable, the embedding goes along" {
	printf 'id,a,b\n0,2,x\n1,,y\n2,1,x\n3,2,\n4,-3,x\n5,2,x\n' >x.csv
	prints $'id\n1\n4\n2\n0\n3\n5' pipeline 'rn-sort --by a x.csv | rn-project --cols id | rn-cat'
	prints $'id\n0\n3\n5\n2\n4\n1' pipeline "rn-sort --by 'a desc' x.csv | rn-project --cols id | rn-cat"
	prints $'id\n3\n1\n2\n0\n5\n4' pipeline "rn-sort -b 'b asc,a' x.csv | rn-sort --by 'b, a * a' | rn-sort -b \"case when b is null then 0 when b = 'y' then 1 else 2 end\" | rn-project --cols id | rn-cat"
	prints $'id,z\n4,-3\n2,1\n0,2\n5,2' \
		pipeline "rn-filter \"b = 'x'\" x.csv | rn-encode 'raw(a)' | rn-sort --by '- a desc' | rn-project --cols id | rn-cat"
	rn-scan x.csv --key id | rn-sort --by 'b' | rn-info | grep -q 'column id .*int64, key'
	fails_with 2 rn-sort x.csv
	fails_with 2 rn-sort --by c x.csv
	[[ $stderr == "rn-sort: "*"'c'"* ]]
	fails_with 2 rn-sort --by 'a descending' x.csv
}

@test "agg: distinct counts, first and last, quantiles, variance" {
	printf 'g,v,t\na,1,3\nb,7,1\na,2,1\na,,0\na,4,3\nb,7,\nc,,1\n' >x.csv
	prints $'g,d,f,l,ft,lt\na,3,1,4,2,4\nb,1,7,7,7,7\nc,0,,,,' \
		pipeline "rn-agg x.csv --by g --cols 'd=count(distinct v), f=first(v), l=last(v), ft=first(v by t), lt=last(v by t)' | rn-cat"
	prints $'g,m,q,var\na,2,3.6,21\nb,7,7,0\nc,,,' \
		pipeline "rn-agg x.csv --by g --cols 'm=median(v), q=quantile(v, 0.9), var=var(v * 3)' | rn-cat"
	prints $'s,m\n2.7748873851023217,4' pipeline "rn-agg x.csv --cols 's=stddev(v), m = median(v)' | rn-cat"
	prints $'n\n3' pipeline "rn-agg x.csv --cols 'n=count( DISTINCT (g) )' | rn-cat"
	prints $'by\nb' pipeline "rn-project x.csv --cols 'by=g, v' | rn-agg --cols 'by=last(by by v)' | rn-cat"
	fails_with 2 rn-agg x.csv --cols 'n=sum(distinct v)'
	says "rn-agg: 'sum(distinct v)': only count takes distinct"
	fails_with 2 rn-agg x.csv --cols 'n=quantile(v, 2)'
	says "rn-agg: 'quantile(v, 2)': write quantile(EXPR, Q) with a number Q from 0 to 1"
	fails_with 2 rn-agg x.csv --cols 'n=median(g)'
	says "rn-agg: 'median(g)' wants a number, not string"
	fails_with 2 rn-agg x.csv --cols 'n=mode(g)'
	[[ $stderr == "rn-agg: 'mode(g)' is no aggregate: "* ]]
	prints $'g,n\na,4\nb,2\nc,1' pipeline "rn-agg x.csv --by g --cols 'n=count( )' | rn-cat"
	fails_with 2 rn-agg x.csv --cols 'n=sum()'
	says "rn-agg: 'sum()': sum of what? Write sum(EXPR)"
}

@test "agg: float64 sums of finite values that are infinite are told, all at once or in pieces" {
	told="is infinite: finite values add up to more than a float64 holds"
	printf 'g,x\n1,1e308\n1,1e308\n2,-1e308\n2,-1e308\n3,1\n3,2\n' >x.csv
	run -0 --separate-stderr pipeline "rn-agg x.csv --by g --cols 's=sum(x),a=avg(x),m=max(x)' | rn-cat"
	[ "$output" = $'g,s,a,m\n1,inf,inf,1e308\n2,-inf,-inf,-1e308\n3,3,1.5,2' ]
	says "rn-agg: warning: 'sum(x)' $told
rn-agg: warning: 'avg(x)' $told"
	printf 'x\ninf\n1\n' >x.csv
	run -0 --separate-stderr pipeline "rn-agg x.csv --cols 's=sum(x),a=avg(x)' | rn-cat"
	[ "$output" = $'s,a\ninf,inf' ]
	says ""
	printf 'x\ninf\n-inf\n' >x.csv
	prints $'s,n\n,2' pipeline "rn-agg x.csv --cols 's=sum(x),n=count(x)' | rn-cat"
	{ echo g,x; seq 20000 | awk '{ print $1 % 4000 "," ($1 % 2 ? "1e308" : $1) }'; } >g.csv
	rn-scan g.csv --block-rows 500 -o g.er
	for mem in 64K 1G; do
		rn-agg g.er --by g --cols 's=sum(x),a=avg(x)' --mem $mem -o $mem.er 2>err
		[ "$(cat err)" = "rn-agg: warning: 'sum(x)' $told
rn-agg: warning: 'avg(x)' $told" ]
	done
	same_stream 64K.er 1G.er
	{ echo x; yes 1e306 | head -300; seq 20000; } >x.csv
	rn-scan x.csv --block-rows 500 -o x.er
	for mem in 64K 1G; do
		run -0 --separate-stderr pipeline "rn-agg x.er --cols 's=sum(x)' --mem $mem | rn-cat"
		[ "$output" = $'s\ninf' ]
		says "rn-agg: warning: 'sum(x)' $told"
	done
}

@test "--mem in messages is what was written" {
	seq 1 5000 | sed 1ik >k.csv
	rn-scan k.csv --emb k -o z.er
	for mem in 64K 0.25M; do
		fails_with 4 rn-agg 'sum(softmax(z))' z.er --mem $mem -o x.er
		[[ $stderr == *"the only group has at least "* ]]
		[[ $stderr == *"more than fit into --mem ${mem/0.25M/256K}: raise it" ]]
	done
	fails_with 4 rn-join a=k.csv b=k.csv --and 'a.k < 5000' --mem 1.5M -o x.er
	[[ $stderr == *"more than the memory limit of 1.5M" ]]
}

@test "head: of groups, of an order, at random" {
	printf 'id,g,t\n0,a,3\n1,b,9\n2,a,7\n3,,1\n4,a,5\n5,b,\n6,,4\n7,a,7\n' >x.csv
	prints $'id\n0\n1\n2\n3\n5\n6' pipeline 'rn-head --by g -n 2 x.csv | rn-project --cols id | rn-cat'
	prints $'id\n1\n2\n7' pipeline "rn-head --order 't desc' -n 3 x.csv | rn-project --cols id | rn-cat"
	prints $'id\n6\n2\n7\n1\n5' \
		pipeline "rn-head --by g --order 'g, t desc' -n 2 x.csv | rn-filter 'id <> 3' | rn-project --cols id | rn-cat"
	prints 'id,g,t' pipeline 'rn-filter false x.csv | rn-head --random 3 | rn-cat'
	prints "$(rn-cat x.csv)" pipeline 'rn-head --random 100 x.csv | rn-cat'
	fails_with 2 rn-head --random -1 x.csv
	fails_with 2 rn-head --random 2 -n 3 x.csv
	fails_with 2 rn-head --by nobody x.csv
	[[ $stderr == "rn-head: "*"'nobody'"* ]]
}

@test "head: a sample is the same whatever the blocks, and its embedding goes along" {
	{ echo id; seq 0 2999; } >n.csv
	rn-scan n.csv | rn-encode 'raw(id)' -o n.er
	rn-encode 'raw(id)' n.csv --block-rows 7 -o m.er
	rn-head --random 200 n.er -o a.er
	rn-head --random 200 m.er -o b.er
	same_stream a.er b.er
	[ "$(rn-cat a.er --no-header | wc -l)" = 200 ]
	[ "$(rn-cat a.er --no-header | awk -F , '$1 != $2' | wc -l)" = 0 ]
	rn-cat a.er --no-header | sort -n -c
	rn-head --random 200 --seed 2 n.er -o c.er
	run ! same_stream a.er c.er
	rn-head --random 3 --by 'id' n.er -o d.er
	same_stream n.er d.er
	{ echo id; seq 0 199999; } >n.csv # enough for rows to be dropped on the way
	rn-scan n.csv -o n.er
	rn-head --order '- id' n.er | rn-cat --no-header | diff - <(seq 199999 -1 199990)
	rn-head --random 9 n.er -o a.er
	rn-scan n.csv --block-rows 1000 | rn-head --random 9 -o b.er
	same_stream a.er b.er
	prints $'g,id\n0,199998\n1,199999' pipeline "rn-project n.er --cols 'g = id % 3, id' |
		rn-head --by g --order 'id desc' -n 1 | rn-filter 'id > 199997' | rn-sort --by g | rn-cat"
}

@test "expressions: functions of strings, numbers, time, and those that choose" {
	printf 's,x,t\n" Ab ",-2.5,2024-03-01T10:20:30Z\nzz,,2023-12-31\n,7,\n' >x.csv
	prints $'a,b,c,d\nab,4,A,true\nzz,2,z,false\n,,,' \
		pipeline "rn-project x.csv --cols 'a = lower(trim(s)), b = length(s), c = substr(trim(s), 1, 1), d = contains(s, \"b\")' | rn-cat"
	prints $'a,b,c,d\n2.5,-3,-3,-2\n,,0,0\n7,7,7,7' \
		pipeline "rn-project x.csv --cols 'a = abs(x), b = floor(x), c = round(coalesce(x, 0)), d = ceil(coalesce(x, 0))' | rn-cat"
	prints $'y,d\n2024,61\n2023,365\n,' pipeline "rn-project x.csv --cols 'y = year(t), d = yearday(t)' | rn-cat"
	prints $'d\n61.430902777777774' \
		pipeline "rn-filter 't is not null' x.csv | rn-agg --cols 'a=max(t),b=min(t)' | rn-project --cols 'd = (a - b) / 86400' | rn-cat"
	prints $'g\n0\n\n7' pipeline "rn-project x.csv --cols 'g = greatest(x, 0)' | rn-cat"
	prints $'x\n7' pipeline "rn-filter 'x between 0 and 9' x.csv | rn-project --cols x | rn-cat"
	fails_with 2 rn-filter 'length(x) > 1' x.csv
	[[ $stderr == "rn-filter: "*"'length' needs a string here, this is float64"* ]]
}

@test "expressions: a constant that no row could use is wrong before the first row" {
	printf 's,t\n' >none.csv
	for x in "date_trunc('foo', cast(s as timestamp))" "strftime(cast(s as timestamp), '%Q')" \
		"strptime(cast(s as string), '%u')" "try_strptime(cast(s as string), '5%')"; do
		fails_with 2 rn-project none.csv --cols "x=$x" -o x.er
		[[ $stderr == *^ ]]
	done
	fails_with 2 rn-project none.csv --cols "x=date_trunc('foo', cast(s as timestamp))" -o x.er
	says "rn-project: column 'x': 'foo' is no year, quarter, month, week, day, hour, minute or second
rn-project:   date_trunc('foo', cast(s as timestamp))
rn-project:              ^"
}

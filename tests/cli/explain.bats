#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# rn-explain: what a plan costs as it is written and as it is run, and plans as graphs.

load lib

# shellcheck disable=SC2154 # status, output and stderr are set by run

# ring N K: a program that sums over closed walks of K steps, on a ring of N nodes with neighbours up to 3 away.
ring() {
	local i edges='' maps='' product=''
	awk -v n="$1" 'BEGIN {
		print "n,x" >"node.csv"; print "s,t" >"edge.csv"
		for (i = 0; i < n; i++) {
			print i "," i % 5 / 4 >"node.csv"
			for (d = 1; d <= 3; d++) {
				print i "," (i + d) % n >"edge.csv"
				print (i + d) % n "," i >"edge.csv"
			}
		}
	}'
	for ((i = 0; i < $2; i++)); do
		edges+="Edge(x$i, x$(((i + 1) % $2))), "
		maps+=", M<$i>(x$i; m$i)"
		product+="${product:+ * }m$i"
	done
	cat <<-END
		?source Node = "node.csv" <key="n"> .
		?source Edge = "edge.csv" .
		Lin<i> = Linear(1, 8) .
		M<i>(n; Lin<i>([x])) :- Node(n, x) .
		P(x0; sum($product)) :- ${edges%, }$maps .
		?fit <epochs=3, optimizer="sgd", lr=0.0001> Loss(; rowsum(z)) :- P(r; z) .
		?pred <to="pred.csv"> All(r; z) :- P(r; z) .
	END
}

# is_graph FILE: braces and quotes are in pairs, and every edge joins nodes that are there.
is_graph() {
	python3 - "$1" <<-'END'
		import re, sys
		text = open(sys.argv[1]).read()
		assert re.match(r'digraph plan \{\n', text) and text.endswith('}\n')
		quoted = r'"(?:[^"\\\n]|\\.)*"'
		bare = re.sub(quoted, 'Q', text)
		assert '"' not in bare and '\\' not in bare
		assert bare.count('{') == bare.count('}') and bare.count('[') == bare.count(']')
		nodes = re.findall(r'^\t\t(%s) \[' % quoted, text, re.M)
		edges = re.findall(r'^\t\t(%s) -> (%s)' % (quoted, quoted), text, re.M)
		assert len(nodes) == len(set(nodes)) and edges
		assert all(a in nodes and b in nodes for a, b in edges)
	END
}

@test "a plan as a graph" {
	ring 30 3 >a.relnn
	rn-explain a.relnn --dot >a.dot
	is_graph a.dot
	grep -q '"n[0-9]*" \[label="Edge\\nscan edge.csv"\];' a.dot
	grep -q 'fillcolor' a.dot
	grep -q 'label="fit --epochs 3 --optimizer sgd' a.dot
	rn-scan node.csv | rn-map 'Linear(1, 3)([x])' --name "a \"b\\ c" | rn-explain --dot >b.dot
	is_graph b.dot
	grep -q 'label="a \\"b\\\\ c\\nmap' b.dot
	grep -q '30 rows' b.dot
}

@test "both plans as a graph, with what their stages cost" {
	ring 300 4 >a.relnn
	rn-explain a.relnn --dot --optimized >a.dot
	is_graph a.dot
	grep -q 'label="as it is written"' a.dot
	grep -q 'label="as it is run"' a.dot
	grep -q ' flops, .* bytes"' a.dot
	run ! grep -q ' ms"' a.dot
	rn-explain a.relnn --dot --analyze --epochs 1 >a.dot
	is_graph a.dot
	grep -q ' ms"' a.dot
	fails_with 2 rn-explain a.relnn --dot --json
	says 'rn-explain: --dot is a graph of the plan alone, without --json'
	fails_with 2 rn-explain a.relnn --dot --placement staged
	says 'rn-explain: --dot is a graph of the plan alone, without a placement'
}

@test "stages as they are written beside those that are run" {
	ring 100 6 >a.relnn
	run -0 rn-explain a.relnn --optimized
	[[ $output == *$'\nas it is written: '*'as it is written              as it is run'* ]]
	[[ $output == *$'\nstage '*'rows  flops  bytes memory     rows  flops  bytes memory'* ]]
	[ "$(sed -n '/^stage /,$p' <<<"$output" | awk '{ if (length($0) > 90) print }')" = "" ]
	run -0 rn-explain a.relnn --optimized --no-optimize
	[[ $output != *'as it is written'* ]]
	rn-explain a.relnn --optimized --json >a.json
	python3 - <<-'END'
		import json
		fit, = json.load(open("a.json"))["fits"]
		was = fit["written"]
		for f in fit, was:
		    assert abs(sum(s["flops"] for s in f["stages"]) - f["flops"]) <= 1e-6 * f["flops"]
		    assert all(0 < s["memory"] <= f["bytes"] for s in f["stages"])
		assert was["flops"] > 2 * fit["flops"] and was["bytes"] > fit["bytes"]
		rows = {s["stage"]: s["rows"] for s in was["stages"]}
		ways = {0: 1} # to be so far away
		for k in range(6):
		    ways = {x: sum(ways.get(x - d, 0) for d in (-3, -2, -1, 1, 2, 3)) for x in range(-18, 19)}
		assert rows["P"] == 100 * ways[0], (rows, ways)
	END
}

@test "the plan as it is written is timed, too, where that is sound" {
	ring 100 6 >a.relnn
	run -0 rn-explain a.relnn --analyze --epochs 2
	[[ $output == *$'\nas it is written: '*' bytes of memory, '*' ms (the least of 2 epochs)'* ]]
	[[ $output == *'memory        ms     rows  flops  bytes memory        ms'* ]]
	[[ $output == *$'\nmeasured: '*' bytes of memory at most, of this program with its data and all plans above' ]]
	rn-explain a.relnn --analyze --json >a.json
	python3 - <<-'END'
		import json
		o = json.load(open("a.json"))
		fit, = o["fits"]
		was = fit["written"]
		assert o["peak_bytes"] > was["bytes"] + fit["bytes"]
		for f in fit, was:
		    assert f["epochs"] == 10 and 0 < f["ms"]
		    assert all(s["ms"] > 0 for s in f["stages"] if s["flops"] > 1000)
		assert was["ms"] > fit["ms"]
	END
	run -0 rn-explain a.relnn --analyze --mem "$(jq '.fits[0].written.bytes - 1' a.json)"
	[[ $output == *$'\nas it is written: '*' bytes of memory, not run: it takes more memory than --mem, or 1 GB'* ]]
	[[ $output == *'as it is written              as it is run'*'memory        ms'* ]]
}

@test "the rows of a join are estimated from the data" {
	for k in 2 3 4 5; do
		ring 400 $k >a.relnn
		rn-explain a.relnn --optimized --json >a.json
		python3 - $k <<-'END'
			import json, re, sys
			k = int(sys.argv[1])
			o = json.load(open("a.json"))
			said, = [r for r in o["rewrites"] if r.startswith("eliminate: ")]
			flops = [float(x) for x in re.findall(r"and ([0-9.e+]+) flops an epoch", said)]
			made = ": the join is made, " in said # then its figures come first
			walks = {s["stage"]: s["rows"] for s in o["fits"][0]["written"]["stages"]}["P"]
			enumerated = flops[0 if made else 1]
			assert abs(enumerated / (walks * 8 * k * k) - 1) < 0.2, (said, walks)
			assert made == (k == 2), said
		END
	done
}

@test "a plan that is too large as it is written is not bound" {
	ring 2000 10 >a.relnn
	run -0 rn-explain a.relnn --optimized
	[[ $output == *$'\nas it is written: '*'joining '*' more than the memory limit of 64M'* ]]
	[[ $output == *'; width 2; about '*' flops an epoch instead of '* ]]
	[[ $output == *$'\nP '*'= agg('*$'\nrewritten:\n'* ]]
	rn-explain a.relnn --optimized --json | jq -e '.refused and (.fits[0] | has("written") | not)'
}

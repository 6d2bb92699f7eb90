#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Plans as they are written and as they are run: the same results, and rn-explain tells which
# is which.

load lib

# shellcheck disable=SC2154 # status, output and stderr are set by run

DATA=$RN_ROOT/../shared/data

# The head of a program over the CSL graphs: M<p, i>, what a node is at position i of a walk of p steps.
csl() {
	[ -d "$DATA/csl" ] || skip "the data of the examples are not there"
	cat <<-END
		?source Node = "$DATA/csl/node.csv" <key="node_id"> .
		?source Edge = "$DATA/csl/edge.csv.zst" .
		Lin1<p, i> = Linear(1, 20) .
		Lin2<p, i> = Linear(20, 10) .
		M<p, i>(n; Lin2<p, i>(ReLU(Lin1<p, i>(1)))) :- Node(n) .
	END
}

# plain K: the walks of K steps that end where they begin, as one rule.
plain() {
	local k=$1 i edges='' nodes='' product=''
	for ((i = 0; i < k; i++)); do
		edges+="Edge(x$i, x$(((i + 1) % k))), "
		((i)) && nodes+=", M<$k, $i>(x$i; m$i)" product+="${product:+ * }m$i"
	done
	echo "Closed<$k>(x0; sum($product)) :- ${edges%, }$nodes ."
}

# What follows for 2 to N steps: each node's sums, something to learn, and predictions.
tail_of() {
	local p sum='' join='' all=''
	echo "Cycle<p>(r; m * z) :- M<p, 0>(r; m), ?Closed<p>(r; z) ."
	for ((p = 2; p <= $1; p++)); do
		sum+="${sum:+ + }rowsum(z$p) / 4 ** $p"
		join+="${join:+, }Cycle<$p>(r; z$p)"
		all+="${all:+, }z$p"
	done
	cat <<-END
		?fit <epochs=3, optimizer="sgd", lr=0.0001> Loss(; $sum) :- $join .
		?pred <to="pred.csv"> All(r; Concat($all)) :- $join .
	END
}

# same A B TOLERANCE: two tables of numbers agree, relative to the largest of each column.
same() {
	paste -d, "$1" "$2" | awk -F, -v tol="$3" '
		NR == 1 { n = NF / 2; for (i = 1; i <= n; i++) if ($i != $(n + i)) bad = 1; next }
		$1 != $(n + 1) { bad = 1 }
		{ for (i = 2; i <= n; i++) {
			a = $i < 0 ? -$i : $i; d = $i - $(n + i); d = d < 0 ? -d : d
			if (a > most[i]) most[i] = a
			if (d > diff[i]) diff[i] = d } }
		END { for (i = 2; i <= n; i++) if (diff[i] > tol * (most[i] + 1e-12)) bad = 1
			exit bad || NR < 2 }'
}

@test "rewrites are switched off by name, or all" {
	csl >a.relnn
	plain 3 >>a.relnn
	tail_of 3 | sed 's/, Cycle<3>\|Cycle<2>(r; z2), //g; s/rowsum(z2) .* rowsum/rowsum/; s/Concat(z2, z3)/z3/' >>a.relnn
	rn-train -q a.relnn --no-optimize
	mv pred.csv want.csv
	for off in merge push prune eliminate merge,push all; do
		rn-train -q a.relnn --no-rewrite $off
		same want.csv pred.csv 1e-5
	done
	fails_with 2 rn-train a.relnn --no-rewrite elimination
	[[ $stderr == "rn-train: --no-rewrite: there is no rewrite 'elimination': merge, "*", all" ]]
}

@test "cycles as plain patterns are those that are eliminated by hand" {
	{ csl && for p in 2 3 4 5; do plain $p; done && tail_of 5; } >plain.relnn
	{ csl && cat && tail_of 5; } >hand.relnn <<-'END'
		Walk<p, 1>(r, w; m) :- Edge(r, w), M<p, 1>(w; m) .
		Walk<p, k>(r, w; sum(z * m)) :- Walk<p, k-1>(r, v; z), Edge(v, w), M<p, k>(w; m) .
		Closed<p>(r; sum(z)) :- Walk<p, p-1>(r, v; z), Edge(v, r) .
	END
	rn-train -q hand.relnn
	mv pred.csv hand.csv
	rn-train -q plain.relnn
	same hand.csv pred.csv 1e-5
	rn-train -q plain.relnn --no-optimize
	same hand.csv pred.csv 1e-5
}

@test "cycles of ten edges are not enumerated" {
	{ csl && plain 10 && tail_of 10 | sed 's/rowsum(z2).* + //; s/Cycle<2>.*Cycle<10>/Cycle<10>/; s/Concat(.*)) :-/z10) :-/'; } >ten.relnn
	run -0 rn-explain ten.relnn --optimized
	[[ $output == *"eliminate: Closed<10>: 19 atoms, 1 term, order "*"; width 2; about "* ]]
	rn-train -q ten.relnn --mem 128M
	[ "$(wc -l <pred.csv)" = 6151 ]
	fails_with 4 rn-train -q ten.relnn --mem 128M --no-rewrite eliminate
}

@test "rn-explain: the plan, what it becomes, what that costs and takes" {
	csl >a.relnn
	plain 7 >>a.relnn
	echo '?fit <epochs=3> Loss(; rowsum(z)) :- Closed<7>(r; z) .' >>a.relnn
	run -0 rn-explain a.relnn
	[[ $output != *rewritten* ]]
	run -0 rn-explain a.relnn --optimized
	[[ $output == *$'\nrewritten:\n'*'eliminate: Closed<7>: '*$'\nfit(Loss): '*' instructions, '*' bytes of memory'* ]]
	[[ $output != *' ms'* ]]
	run -0 rn-explain a.relnn --analyze --epochs 2
	[[ $output == *' ms (the least of 2 epochs)'*'      ms'* ]]
	[[ $output == *$'\nmeasured: '*' bytes of memory at most, of this program with its data' ]]
	run -0 rn-explain a.relnn --program
	[[ $output == *$'\nlowered:\n'*$'\nrun:\n'* ]]
	run -0 rn-explain a.relnn --optimized --no-optimize
	[[ $output == *$'\nrewritten:\n'* && $output != *'eliminate: '* ]]
	run -0 rn-explain a.relnn --analyze --json
	python3 - "$output" <<-'END'
		import json, sys
		o = json.loads(sys.argv[1])
		assert any(r.startswith("eliminate: Closed<7>") for r in o["rewrites"])
		assert any(n["added"] for n in o["nodes"]) and all(n["rows"] >= 0 for n in o["nodes"])
		fit, = o["fits"]
		assert fit["ms"] > 0 and fit["bytes"] > 0
		assert o["peak_bytes"] > fit["bytes"]
		assert sum(s["instructions"] for s in fit["stages"]) <= fit["instructions"]
		assert all(s["ms"] >= 0 and s["bytes"] > 0 for s in fit["stages"])
	END
	fails_with 2 rn-explain a.relnn --epochs 3
	says 'rn-explain: --epochs wants --analyze'
}

@test "staged training runs the rewritten plan, too: the same bits" {
	{ csl && plain 6 && tail_of 6 | sed 's/rowsum(z2).* + //; s/Cycle<2>.*Cycle<6>/Cycle<6>/; s/Concat(.*)) :-/z6) :-/'; } >a.relnn
	rn-train -q a.relnn --json >fused.json
	rn-train -q a.relnn --json --placement staged --stages 3 >staged.json
	[ "$(jq -r .bits fused.json)" = "$(jq -r .bits staged.json)" ]
}

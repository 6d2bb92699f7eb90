#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What query programs mean: every construct by small relations and a ?pred, which
# makes rn-train a plain query engine.  Messages are in lang_errors.bats.

load lib

# n: four nodes with a label.  e: weighted edges, one with a NULL end.
graph() {
	printf 'n,label\n1,x\n2,y\n3,x\n4,z\n' >n.csv
	printf 'a,b,w\n1,2,0.5\n1,3,1.5\n2,3,2\n3,3,4\n4,,1\n' >e.csv
}

# Without the decoded column that predictions of a trained relation have besides.
undecoded() {
	awk -F , 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "prediction") drop = i }
		{ line = ""; for (i = 1; i <= NF; i++) if (i != drop) line = line (line == "" ? "" : ",") $i; print line }' "$1"
}

# gives CSV PROGRAM [OPTION]...: what its ?pred P writes.
gives() {
	local want=$1 bound=()
	printf '%s\n' "$2" >q.relnn
	shift 2
	[ -e n.csv ] || graph
	rm -f P.csv
	! grep -qw N q.relnn || bound+=(--source N=n.csv)
	! grep -qw E q.relnn || bound+=(--source E=e.csv)
	run --separate-stderr rn-train q.relnn -q "${bound[@]}" "$@"
	if [ "$status" != 0 ] || { [ "$(cat P.csv)" != "$want" ] && [ "$(undecoded P.csv)" != "$want" ]; }; then
		printf 'of  %s\nexit status %s\nP.csv is  %s\ninstead of %s\nstderr: %s\n' "$(cat q.relnn)" \
			"$status" "$(cat P.csv)" "$want" "$stderr"
		return 1
	fi
}

# ---- atoms -----------------------------------------------------------------------------------

@test "an atom binds columns by position, and surplus columns are dropped" {
	gives $'n,l\n1,x\n2,y\n3,x\n4,z' '?pred P(n, l) :- N(n, l) .'
	gives $'q\n1\n2\n3\n4' '?pred P(q) :- E(q) .'
}

@test "an atom binds columns by name, in any order" {
	gives $'l,k\nx,1\ny,2\nx,3\nz,4' '?pred P(l, k) :- N(label: l, n: k) .'
	gives $'w\n0.5\n1.5\n2\n4\n1' '?pred P(w) :- E(w: w) .'
	gives $'a,w\n1,0.5\n1,1.5\n2,2\n3,4\n4,1' '?pred P(a, w) :- E(a, w: w) .'
}

@test "constants select, repeated variables test equality, _ is fresh each time" {
	gives $'n\n1\n3' '?pred P(n) :- N(n, "x") .'
	gives $'n\n1\n3' "?pred P(n) :- N(n, label: 'x') ."
	gives $'b\n2\n3' '?pred P(b) :- E(1, b, _) .'
	gives $'a\n3' '?pred P(a) :- E(a, a, _) .'
	gives $'a\n4' '?pred P(a) :- E(a, None, _) .'
	gives $'a\n2' '?pred P(a) :- E(a, _, 4 / 2) .'
	gives $'b\n3' '?pred P(b) :- E(1 + 1, b, _) .'
	gives $'a\n1\n2\n3\n4' '?pred P(a) :- E(a, _, _) .'
	gives $'a\n3' '?pred P(a) :- E(a, b, _), E(b, a, _) .'
}

@test "backquotes make a name of anything" {
	printf 'node id,in\n1,5\n2,6\n' >odd.csv
	gives $'my x,in\n1,5\n2,6' '?pred P(`my x`, `in`) :- Odd(`node id`: `my x`, `in`: `in`) .' \
		--source Odd=odd.csv
	gives $'x\n2' '?pred P(x) :- Odd(x, `in`), `in` > 5 .' --source Odd=odd.csv
}

# ---- joins -----------------------------------------------------------------------------------

@test "a comma joins on shared variables, rows in the order of the atoms" {
	gives $'a,l,b,m\n1,x,2,y\n1,x,3,x\n2,y,3,x\n3,x,3,x' '?pred P(a, l, b, m) :- E(a, b, _), N(a, l), N(b, m) .'
	gives $'x,y,z\n1,2,3\n1,3,3\n2,3,3\n3,3,3' '?pred P(x, y, z) :- E(x, y, _), E(y, z, _) .'
}

@test "one relation in many atoms: a column that was a key does not take another one's name" {
	gives $'u,w,y,z\n1,1,3,4\n1,2,3,1\n1,3,3,1\n2,1,3,4\n2,2,3,2\n2,3,3,2\n3,1,3,6\n3,2,3,3\n3,3,3,3' \
		'A(s, t; [s]) :- E(s, t, _), t > 0 .
		?pred P(u, w, y; sum(z)) :- A(u, x; z), A(w, x), E(w, v, _), E(v, y, _) .'
	gives $'u,w\n1,2\n1,3\n2,1\n2,3\n3,1\n3,2' 'A(s, t; [s]) :- E(s, t, _), t > 0 .
		?pred P(u, w) :- A(u, x; z), A(w, x), E(w, v, _), ?E(v, y, _), u != w .'
}

@test "joins keep duplicates, a rule without an embedding is distinct" {
	printf 'k\n1\n1\n2\n' >d.csv
	gives $'k\n1\n2' '?pred P(k) :- D(k) .' --source D=d.csv
	gives $'k,n\n1,4\n2,1' '?pred P(k, n: count(*)) :- D(k), D(k) .' --source D=d.csv
	gives $'k,n\n1,1\n2,1' $'?pred P(k, n: count(*)) :- U(k) .\nU(k) :- D(k) .' --source D=d.csv
}

@test "a condition may stand in parentheses, a chain of comparisons, too" {
	gives $'a\n2\n3' '?pred P(a) :- E(a, _, _), 1 < a < 4 .'
	gives $'a\n2\n3' '?pred P(a) :- E(a, _, _), (1 < a < 4) .'
	gives $'a\n2' '?pred P(a) :- E(a, _, _), ((1 < a < 4)), (a + 1) * 2 < 7 .'
	gives $'a\n1\n4' '?pred P(a) :- E(a, _, _), (1 < a) == (a > 3) .'
}

@test "== None and != None test for NULL: in bodies, heads and guards" {
	gives $'a\n4' '?pred P(a) :- E(a, b, _), b == None .'
	gives $'a\n1\n2\n3' '?pred P(a) :- E(a, b, _), None != b .'
	gives $'a\n4' '?pred P(a) :- E(a, b, _), a + b == None .'
	gives $'a\n4' 'F<p>(a) :- E(a, b, _), b == p .
		?pred P(a) :- F<None>(a) .'
	gives $'a\n4' '?pred P(a) :- E(a, b, _), (b == None) == True .'
	gives $'a,same\n1,true\n1,false\n2,true\n3,true' '?pred P(a, same: (a > 1) == (b > 2)) :- E(a, b, _), b != None .'
	gives $'a,none\n1,false\n2,false\n3,false\n4,true' '?pred P(a, none: b == None) :- E(a, b, _) .'
}

@test "comparisons filter, between atoms too" {
	gives $'x,y\n1,3' '?pred P(x, y) :- N(x, l), N(y, l), x < y .'
	gives $'a,b\n1,2\n1,3\n2,3' '?pred P(a, b) :- E(a, b, w), a != b .'
	gives $'a,w\n1,1.5\n2,2\n3,4' '?pred P(a, w) :- E(a, _, w), w * 2 >= a + 2 .'
	gives $'a,v,w\n1,0.5,1.5' '?pred P(a, v, w) :- E(a, _, v), E(a, _, w), v < w, v + w == 2 .'
	gives $'n\n3' '?pred P(n) :- N(n, l), l <= "x", n ** 2 > 4 .'
	gives $'x,y\n2,1\n3,1\n3,2\n4,1\n4,2\n4,3' '?pred P(x, y) :- N(x, _), N(y, _), y < x .'
	# Functions of columns, first or last; of one atom, of two, behind a union.
	gives $'n\n1\n3' '?pred P(n) :- N(n, l), upper(l) == "X" .'
	gives $'n\n3\n4' '?pred P(n) :- N(n, _), 2 < abs(0 - n) .'
	gives $'x,y\n1,3\n3,1' '?pred P(x, y) :- N(x, _), N(y, l), greatest(x, 1) + y - 1 == 3, l == "x" .'
	gives $'n\n3\n4' '?pred P(n) :- N(n) | N(n), abs(n) * 2 > 4 .'
}

# The join's condition sees the key columns of both sides, its result those of the left.
@test "a variable is its own column where a relation is taken several times" {
	printf 'src,dst\n1,2\n1,3\n2,3\n2,1\n3,1\n3,2\n3,4\n' >g.csv
	local g=(--source G=g.csv)
	gives $'u,v,w\n1,2,3\n1,3,2\n1,3,4\n2,3,1\n2,3,4\n2,1,3\n3,1,2\n3,2,1' \
		'?pred P(u, v, w) :- G(u, v), G(v, w), u != w .' "${g[@]}"
	gives $'u,w\n2,3\n1,2\n1,4\n2,4' '?pred P(u, w) :- G(v, w), G(u, v), u < w, v != 2 .' "${g[@]}"
	gives $'u,v\n1,3\n1,2\n2,1\n2,3\n3,2\n3,1' '?pred P(u, v) :- G(u, c), G(c, v), u != v, c != v, v < 4 .' "${g[@]}"
	gives $'a,b,c,d\n1,2,3,4\n2,1,3,4' \
		'?pred P(a, b, c, d) :- G(a, b), G(b, c), G(c, d), a != c, b != d, a != d .' "${g[@]}"
	gives $'a,b,c\n1,2,3' '?pred P(a, b, c) :- G(a, b), G(b, c), G(c, a), a < b, b < c .' "${g[@]}"
	# The spec says the same.
	mv P.csv want.csv
	rn-compile q.relnn "${g[@]}" -o q.json
	rn-train q.json -q
	cmp P.csv want.csv
}

@test "% is the remainder, of columns and of constants" {
	gives $'n,m\n3,1' 'three = 13 % 5 .
?pred P(n, m: n * 2 % 5) :- N(n, _), n % three == 0 .'
	gives $'n,m\n1,-1\n2,0\n3,-1\n4,0' '?pred P(n, m: -n % 2) :- N(n, _) .'
	gives $'n\n2\n4' 'R<0>(n) :- N(n, _), n % 2 == 0 .
R<1>(n) :- N(n, _), n % 2 == 1 .
?pred P(n) :- R<4 % 2>(n) .'
}

@test "what the reference takes: names of optimizers in capitals, batch_size, argmax, reduction" {
	local o='Out(n; Linear(1, 3)([n] / 4)) :- N(n, _) .' p='?pred P(n; z) :- Out(n; z) .'
	graph
	printf '%s\n' "$o" '?fit <epochs=3, optimizer="adamw"> L(; CrossEntropyLoss()(z, [n] - 2)) :- Out(n; z), n > 1 .' "$p" >a.relnn
	printf '%s\n' "$o" '?fit <epochs=3, optimizer="AdamW", batch_size=32> L(; CrossEntropyLoss(reduction="none")(z, [n] - 2)) :- Out(n; z), n > 1 .' "$p" >b.relnn
	rn-train a.relnn -q --source N=n.csv
	mv P.csv want.csv
	run --separate-stderr rn-train b.relnn --source N=n.csv
	[ "$status" = 0 ]
	cmp P.csv want.csv
	[[ $stderr == "rn-train: warning: b.relnn:2:36: every step of a fit takes all rows: batch_size changes nothing"* ]]
	gives $'n,prediction\n1,0\n2,1' 'Z(n; Concat(1.5 - [n], [n] - 1.5)) :- N(n, _), n < 3 .
?pred P(n, [argmax(z)]) :- Z(n; z) .'
	gives $'n,z\n1,0\n2,1' '?pred P(n; argmax(Concat(1.5 - [n], [n] - 1.5))) :- N(n, _), n < 3 .'
	gives $'n,z0,z1\n1,1,4\n2,4,1' '?pred P(n; MSELoss(reduction="none")(Concat([n], [n]), Concat([n] * 0, [n] * 0 + 3))) :- N(n, _), n < 3 .'
	gives $'n,z\n1,2.5\n2,2.5' '?pred P(n; MSELoss(reduction="mean")(Concat([n], [n]), Concat([n] * 0, [n] * 0 + 3))) :- N(n, _), n < 3 .'
}

@test "atoms that share nothing give a cross product, and a warning" {
	gives $'n,m\n1,2\n3,2' '?pred P(n, m) :- N(n, "x"), N(m, "y") .'
	printf '?pred P(n, m) :- N(n, "x"), N(m, "y") .\n' >q.relnn
	run --separate-stderr rn-train q.relnn --source N=n.csv
	[[ $stderr == "rn-train: warning: q.relnn:1:29: 'N' shares no variable with what stands before it: a cross product"* ]]
	# How large it is is known before the work, and warned of from a million rows on.
	[[ $stderr != *'no key'* ]]
	printf '?pred P(n, m) :- N(n, "x"), N(m, _) .\n' >q.relnn
	rn-train q.relnn --source N=n.csv -v 2>&1 | grep -qx "rn-train: join 'P/join': no key: a product of 2 x 4 rows"
	seq 1100 | sed '1i k' >k.csv
	printf '?pred P(n: count(*)) :- K(n), K(m) .\n' >q.relnn
	rn-train q.relnn --source K=k.csv 2>&1 | grep -qx "rn-train: warning: join 'P/join': no key: a product of 1100 x 1100 rows"
}

@test "a hash of columns splits rows, the same in every spelling" {
	seq 1000 | sed '1i k' >k.csv
	cat >q.relnn <<-'EOF'
		seed = 3 .
		Drawn(k, u: hash(k, seed) / 9223372036854775807) :- K(k) .
		?pred Train(k) :- Drawn(k, u), u < 0.8 .
		?pred Test(k) :- Drawn(k, u), u >= 0.8 .
	EOF
	rn-train q.relnn -q --source K=k.csv
	# No row is in both, and about one of five is held out.
	[ "$(sed -s 1d Train.csv Test.csv | sort -n | uniq | wc -l)" = 1000 ]
	[ "$(sed -s 1d Train.csv Test.csv | wc -l)" = 1000 ]
	awk 'END { exit NR < 160 || NR > 240 }' Test.csv
	rn-scan k.csv | rn-filter 'hash(k, 3) / 9223372036854775807 >= 0.8' | rn-cat | cmp - Test.csv
	rn-scan k.csv --types k=float64 | rn-filter 'hash(k, 3) / 9223372036854775807 >= 0.8' | rn-cat | cmp - Test.csv
	mv Test.csv 3.csv
	rn-train q.relnn -q --source K=k.csv --set seed=4
	run ! cmp -s Test.csv 3.csv
}

@test "NULL keys do not match" {
	gives $'a,l\n1,y\n1,x\n2,x\n3,x' '?pred P(a, l) :- E(a, b, _), N(b, l) .'
	printf 'k\n1\n\n' >d.csv
	gives $'k\n1' '?pred P(k) :- D(k), D(k) .' --source D=d.csv
}

@test "?R keeps rows without a match: NULL variables, a zero embedding" {
	gives $'n,b\n1,2\n1,3\n2,3\n3,3\n4,' '?pred P(n, b) :- N(n, _), ?E(n, b, _) .'
	gives $'n,z\n1,0\n2,0\n3,5\n4,0' \
		$'X(n; [n] + 2) :- N(n, _), n == 3 .\n?pred P(n; z) :- N(n, _), ?X(n; z) .'
	gives $'n,z0,z1\n1,1,0\n2,2,4\n3,3,0\n4,4,0' \
		$'A(n; [n]) :- N(n, _) .\nX(n; [n] * 2) :- N(n, "y") .\n?pred P(n; Concat(a, b)) :- A(n; a), ?X(n; b) .'
	gives $'n\n4' '?pred P(n) :- N(n, _), ?E(n, b, _), ?N(b, l), n > 3 .'
}

@test "a comparison behind an optional atom filters what was kept" {
	gives $'n,b\n1,3\n2,3\n3,3' '?pred P(n, b) :- N(n, _), ?E(n, b, _), b > 2 .'
}

@test "!R keeps what has no match" {
	gives $'n\n4' '?pred P(n) :- N(n, _), !E(_, n, _), n > 1 .'
	gives $'n\n2\n3\n4' '?pred P(n) :- N(n, _), !E(n, 2, _) .'
	gives $'a,b\n1,2\n2,3' $'S(1, 3) :- N(1, _) .\n?pred P(a, b) :- E(a, b, _), !S(a, b), a != b .'
}

# ---- unions ----------------------------------------------------------------------------------

@test "a bar stacks by variable name" {
	gives $'u,v\n1,2\n1,3\n2,3\n3,3\n2,1\n3,1\n3,2' '?pred P(u, v) :- F(u, v) | F(v, u) .
		F(u, v) :- E(u, v, _), v > 0 .'
	gives $'u,n\n1,2\n2,2\n3,4\n4,1\n,1' '?pred P(u, n: count(*)) :- E(u, _, _) | E(_, u, _) .'
	gives $'l,n\nx,1\ny,2\nx,3\nz,4' '?pred P(l, n) :- N(n, l) | N(label: l, n: n) .'
}

@test "a union keeps duplicates and groups by its head" {
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' $'A(n; [n]) :- N(n, _) .\n?pred P(n; sum(z)) :- A(n; z) | A(n; y) .'
	gives $'n,z\n1,2\n2,2\n3,2\n4,2' $'A(n; [n]) :- N(n, _) .\n?pred P(n; count(z)) :- A(n; z) | A(n; y) .'
}

@test "a union whose head has no attributes is one row: the mean, or what is written" {
	gives $'z\n4' '?pred P(; z) :- A(n; z) | B(n; z) .
		A(n; [n]) :- N(n, _) .
		B(n; [n] + 3) :- N(n, _) .'
	gives $'z\n20' '?pred P(; sum(z)) :- A(n; z) | A(n; y) .
		A(n; [n]) :- N(n, _) .'
}

@test "whatever the head calls the stacked embedding, and atoms theirs" {
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' $'A(n; [n]) :- N(n, _) .\n?pred P(n; mean(q * 2)) :- A(n; z) | A(n; y) .'
	gives $'n,z\n1,1\n2,2\n3,3\n4,4' $'A(n; [n]) :- N(n, _) .\n?pred P(n; max(y)) :- A(n; z) | A(n; y) .'
}

@test "comparisons behind a union hold for all of it" {
	gives $'n\n3\n4' '?pred P(n) :- N(n, _) | E(_, n, _), n > 2 .'
}

@test "one name may be a column and an embedding" {
	gives $'n,z\n1,11\n2,22\n3,33\n4,44' $'A(z; [z] * 10) :- N(z, _) .\nB(z; z) :- A(z; z) .\nC(z; z + [z]) :- B(z; z), z > 0 .\n?pred P(n; z) :- C(n; z) .'
	gives $'w,z\n1,3\n2,6\n3,9\n4,12' \
		$'A(z; [z]) :- N(z, _) .\nB(w; y + 2 * z) :- A(w; z), A(w; y) .\n?pred P(w; z) :- B(w; z) .'
}

@test "R(x; 0) gives rows with a zero embedding" {
	gives $'n,z\n1,2\n2,2\n3,4\n4,1' '?pred P(n; sum(z)) :- Z(n; 0) | Q(n; z) .
		Q(n; [w]) :- E(n, b, w) .
		Z(n; [n]) :- N(n, _) .'
	gives $'n,z\n1,-1\n2,0\n3,0\n4,0' '?pred P(n; sum(z)) :- Z(n; 0) | Q(n; z) .
		Q(n; -[n]) :- N(n, _), n < 2 .
		Z(n; [n]) :- N(n, _) .'
}

# ---- heads -----------------------------------------------------------------------------------

@test "a head holds variables, constants and expressions, which may be named" {
	gives $'l,c1,c\nx,k,2\ny,k,1\nz,k,1' '?pred P(l, "k", c: count(*)) :- N(n, l) .'
	gives $'n,k,up,c3\n1,3,X,3.5\n2,5,Y,3.5\n3,7,X,3.5\n4,9,Z,3.5' \
		'?pred P(n: n, k: n * 2 + 1, up: upper(l), 7 / 2) :- N(n, l) .'
	gives $'n,n_2\n1,1\n2,2\n3,3\n4,4' '?pred P(n, n) :- N(n, _) .'
	gives $'odd\ntrue\nfalse' '?pred P(odd: (n - 1) * (n - 3) == 0) :- N(n, _) .'
}

@test "a column of the head that is called as a variable of the body does not hide it" {
	gives $'b,a,z0,z1\n1,2,1,2\n1,3,1,3\n2,3,2,3\n3,3,3,3\n4,,4,0' '?pred P(b: a, a: b; [a, b]) :- E(a, b, _) .'
	gives $'a,z\n2,1\n3,6\n,4' '?pred P(a: b; [a]) :- E(a, b, _) .'
	gives $'a,z\n2,1\n3,6\n,4' '?pred P(a: b; sqrt(sum([a]) ** 2)) :- E(a, b, _) .'
	gives $'a,n,s,m\n2,1,1,1\n3,3,6,3\n,1,4,4' '?pred P(a: b, n: count(a), s: sum(a), m: max(a)) :- E(a, b, _) .'
	gives $'n,k,z\n11,1,1\n12,2,2\n13,3,3\n14,4,4' '?pred P(n: n + 10, k: n; [n]) :- N(n, _) .'
}

@test "case, || and cast are functions in heads and comparisons" {
	gives $'n,k\n1,few\n2,two\n3,many\n4,many' '?pred P(n, k: if(n < 2, "few", n == 2, "two", "many")) :- N(n, _) .'
	gives $'a,k\n1,0\n2,0\n3,0\n4,1' '?pred P(a, k: if(b == None, 1, 0)) :- E(a, b, _) .'
	gives $'n\n1\n4' '?pred P(n) :- N(n, l), if(n < 2, True, l == "z") == True .'
	gives $'k\nx-1\ny-2\nx-3\nz-4' '?pred P(k: concat(l, "-", cast(n, "string"))) :- N(n, l) .'
	gives $'n,k,z\n1,0,0\n2,1,1\n3,1,1\n4,1,1' 'R(n, k: cast(n > 1, "int64"), l: try_cast(l, "int64")) :- N(n, l) .
		?pred P(n, k; [k]) :- R(n, k, None) .'
}

@test "content aggregates group by the other attributes" {
	gives $'a,s,c\n1,2,2\n2,2,1\n3,4,1\n4,1,1' '?pred P(a, s: sum(w), c: count(*)) :- E(a, b, w) .'
	gives $'a,lo,hi,m\n1,0.5,1.5,1\n2,2,2,2\n3,4,4,4\n4,1,1,1' \
		'?pred P(a, lo: min(w), hi: max(w), m: avg(w)) :- E(a, b, w) .'
	gives $'count,sum\n5,9' '?pred P(count(*), sum(w)) :- E(_, _, w) .'
	gives $'a,count\n1,2\n2,1\n3,1\n4,0' '?pred P(a, count(b)) :- E(a, b, _) .'
	gives $'a,d,z\n1,2,2\n2,1,2\n3,1,4\n4,1,1' '?pred P(a, d: count(*); sum([w])) :- E(a, _, w) .'
}

@test "an embedding is grouped by the head's attributes: sum, mean, max, min, count" {
	for agg in 'sum:2 2 4 1' 'add:2 2 4 1' 'mean:1 2 4 1' 'avg:1 2 4 1' 'max:1.5 2 4 1' \
		'min:0.5 2 4 1' 'count:2 1 1 1'; do
		read -r a b c d <<<"${agg#*:}"
		gives $'a,z\n'"1,$a"$'\n'"2,$b"$'\n'"3,$c"$'\n'"4,$d" "?pred P(a; ${agg%:*}([w])) :- E(a, _, w) ."
	done
	gives $'a,z\n1,2\n2,2\n3,4\n4,1' '?pred P(a; [w]) :- E(a, _, w) .'
	gives $'z\n9' '?pred P(; sum([w])) :- E(_, _, w) .'
	gives $'z\n2' '?pred P(; [w]) :- E(_, _, w), w != 1 .'
}

@test "an expression around aggregates is of each group" {
	gives $'a,z\n1,3\n2,3\n3,5\n4,2' '?pred P(a; sum([w]) + 1) :- E(a, _, w) .'
	gives $'a,z\n1,1\n2,2\n3,4\n4,1' '?pred P(a; sum([w]) / count([w])) :- E(a, _, w) .'
	gives $'a,z\n1,1\n2,0\n3,0\n4,0' '?pred P(a; max([w]) - min([w])) :- E(a, _, w) .'
	gives $'a,z\n1,-0.5\n2,-1\n3,-3\n4,0' '?pred P(a; 1 - max([w])) :- E(a, _, w) .'
	gives $'z\n1.8' '?pred P(; sum([w]) / count([w])) :- E(_, _, w) .'
	gives $'z\n1.8' '?pred P(; sum([w]) / count(*)) :- E(_, _, w) .'
	gives $'z\n5' '?pred P(; count(*)) :- E(_, _, _) .'
	gives $'n,a,z\n2,1,4\n1,2,3\n1,3,5\n1,4,2' '?pred P(n: count(*), a; sum([w]) + count([w])) :- E(a, _, w) .'
	gives $'a,z0,z1,z2,z3,z4,z5,z6\n1,2,5,1,2.5,2,2,5\n2,2,3,2,3,1,2,3\n3,4,3,4,3,1,4,3\n4,1,0,1,0,1,1,0' \
		'?pred P(a; Concat(sum([w, b]), mean([w, b]), count([w]), sum([w, b]))) :- E(a, b, w) .'
	gives $'x,s,z\n2,1.5,2.5\n3,2,4\n4,4,16\n5,1,1' '?pred P(x: a + 1, s: max(w); mean([w] ** 2) * count([w])) :- E(a, _, w) .'
	gives $'a,z\n1,8\n2,8\n3,16\n4,4' 'T = x * 2 . ?pred P(a; T(sum(T([w])))) :- E(a, _, w) .'
	# A column of the head stands for itself.
	gives $'a,z\n1,2\n2,1\n3,1.3333334\n4,0.25' '?pred P(a; sum([w]) / [a]) :- E(a, _, w) .'
	# An attention of one's own.
	gives $'a,z\n1,1.5\n2,2.5\n3,4.5\n4,1.5' '?pred P(a; sum(softmax([w] * 0; a) * [w]) + 0.5) :- E(a, _, w) .'
	# Where a group is one row nothing is grouped.
	gives $'n,z\n1,3\n2,6\n3,9\n4,12' $'?source K = "n.csv" <key="n"> .\n?pred P(n; sum([n]) + mean([n]) * 2) :- K(n, _) .'
	[ "$(rn-compile q.relnn | grep -c '"op": "agg"')" = 0 ]
	gives $'n,z\n1,2\n2,3\n3,4\n4,5' $'?source K = "n.csv" <key="n"> .\n?pred P(n; sum([n]) + count([n])) :- K(n, _) .'
	# The rows are grouped once.
	printf '?pred P(a; (sum([w]) + mean([w]) / sum([a])) / count([w])) :- E(a, _, w) .\n' >q.relnn
	[ "$(rn-compile q.relnn --source E=e.csv | grep -c '"op": "agg"')" = 1 ]
}

# weights PROGRAM...: what it learns.
weights() {
	printf '%s\n' "$@" >m.relnn
	rm -rf w
	rn-train m.relnn --source E=e.csv -q --weights-out w >/dev/null
	cat w/*.npy | cksum
}

@test "an expression around aggregates learns as rules of their own do" {
	graph
	out='Out(a, b, w; Linear(1, 1)([w])) :- E(a, b, w), b > 0 .'
	want=$(weights "$out" 'M(; mean(MSELoss()(z, [a]))) :- Out(a, b, w; z) .' '?fit <epochs=9> L(; sqrt(z)) :- M(; z) .')
	[ "$(weights "$out" '?fit <epochs=9> L(; sqrt(mean(MSELoss()(z, [a])))) :- Out(a, b, w; z) .')" = "$want" ]
	[ "$(weights "$out" 'R(; sqrt(mean(MSELoss()(z, [a])))) :- Out(a, b, w; z) .' '?fit <epochs=9> (R) .')" = "$want" ]
	[ "$(weights "$out" '?fit <epochs=9> L(; mean(MSELoss()(z, [a]))) :- Out(a, b, w; z) .')" != "$want" ]
	want=$(weights "$out" 'Top(a; max(z)) :- Out(a, b, w; z) .' 'Low(a; min(z)) :- Out(a, b, w; z) .' \
		'?fit <epochs=9> L(; MSELoss()(y - z + 1, [a])) :- Top(a; y), Low(a; z) .')
	[ "$(weights "$out" 'R(a; max(z) - min(z) + 1) :- Out(a, b, w; z) .' \
		'?fit <epochs=9> L(; MSELoss()(z, [a])) :- R(a; z) .')" = "$want" ]
	# Parameters within and around.
	printf '%s\n' 'R(a; Linear(2, 1)(mean(Linear(1, 2)([w])))) :- E(a, _, w) .' \
		'?fit <epochs=2> L(; MSELoss()(z, [a])) :- R(a; z) .' >m.relnn
	rn-train m.relnn --source E=e.csv -q --weights-out v
	[ "$(cd v && echo *)" = "R.agg.bias.npy R.agg.weight.npy R.bias.npy R.weight.npy" ]
}

@test "where the head is a key nothing is grouped, and nothing changes" {
	graph
	gives $'n,z\n1,1\n2,2\n3,3\n4,4' $'?source K = "n.csv" <key="n"> .\n?pred P(n; [n]) :- K(n, _) .'
	printf '?source K = "n.csv" <key="n"> .\n?pred P(n; [n]) :- K(n, _) .\n' >q.relnn
	[ "$(rn-compile q.relnn | grep -c '"op": "agg"')" = 0 ]
	printf '?source K = "n.csv" .\n?pred P(n; [n]) :- K(n, _) .\n' >q.relnn
	[ "$(rn-compile q.relnn | grep -c '"op": "agg"')" = 1 ]
}

# ---- embedding expressions -------------------------------------------------------------------

@test "columns become embeddings in brackets" {
	gives $'n,z0,z1\n1,1,2\n2,2,4\n3,3,6\n4,4,8' '?pred P(n; Concat([n], [n] * 2)) :- N(n, _) .'
	gives $'a,z0,z1\n1,2,2\n2,2,2\n3,3,4\n4,4,1' '?pred P(a; [a, w]) :- E(a, _, w) .'
	gives $'n,z\n1,1\n2,2\n3,3\n4,4' '?pred P(n; ReLU()([n])) :- N(n, _) .'
	gives $'n,z\n1,1\n2,2\n3,3\n4,4' '?pred P(n; ReLU([n])) :- N(n, _) .'
}

@test "precedence: == below + - below * / @ below minus below **" {
	gives $'n,z\n2,-4' '?pred P(n; -[n] ** 2) :- N(n, "y") .'
	gives $'n,z\n2,0.25' '?pred P(n; [n] ** -2) :- N(n, "y") .'
	gives $'n,z\n2,1' '?pred P(n; [n] + 1 == 5 - [n]) :- N(n, "y") .'
	gives $'n,z\n2,-3' '?pred P(n; 1 - [n] - [n]) :- N(n, "y") .'
	gives $'n,z\n2,1' '?pred P(n; 8 / [n] / 4) :- N(n, "y") .'
	gives $'n,z\n2,512' '?pred P(n; [n] ** 3 ** 2) :- N(n, "y") .'
	gives $'n,z\n2,6' '?pred P(n; dot(Concat([n], [n]), Concat([n], 1 * [n] / 2))) :- N(n, "y") .'
}

@test "a margin is MarginRankingLoss's first argument, as in PyTorch" {
	for loss in 'MarginRankingLoss(0.5)' 'MarginRankingLoss(margin=0.5)' 'MarginRankingLoss(0.5, "mean")'; do
		gives $'n,z\n1,0.5\n2,0\n3,0\n4,0' "?pred P(n; $loss([n], 0 * [n] + 1, [n] ** 0)) :- N(n, _) ."
	done
	printf '?pred P(n; MarginRankingLoss(0.5, "sum")([n], [n], [n])) :- N(n, _) .\n' >q.relnn
	fails_with 2 rn-compile q.relnn --source N=n.csv
	[[ $stderr == *"MarginRankingLoss: a row's loss is a mean over its features"* ]]
}

# entropy SMOOTH GROUP: PyTorch's CrossEntropyLoss(weight=[1, 2, 0.5], ignore_index=-1) of the rows of
# counts.csv (with that `g`; "": all): sum w l / sum w.
entropy() {
	awk -F, -v eps="$1" -v g="$2" 'BEGIN { w[0] = 1; w[1] = 2; w[2] = 0.5 }
		NR == 1 || $5 < 0 || (g != "" && $6 != g) { next }
		{ s = log(exp($2) + exp($3) + exp($4)); all = 0
		  for (c = 0; c < 3; c++) all += w[c] * (s - $(c + 2))
		  sum += (1 - eps) * w[$5] * (s - $($5 + 2)) + eps / 3 * all
		  n += w[$5] }
		END { printf "%.9g\n", sum / n }' counts.csv
}

# near WHAT GOT WANT: to 1e-6 of it.
near() {
	awk -v a="$2" -v b="$3" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d * d <= 1e-12 * b * b) }' ||
		{ echo "$1: $2, not $3" >&2; return 1; }
}

# first_loss ARG...: the loss of the first epoch that rn-train gives.
first_loss() {
	rn-train "$@" --log log -q -o m.rnm >/dev/null && sed -n '1s/.*"loss":\([^,]*\),.*/\1/p' log
}

@test "how much rows count in a loss: weight, ignore_index, label_smoothing, in every spelling" {
	local loss out='Out(i, y, g; [a, b, c] * Tensor(1, 1.0)) :- D(i, a, b, c, y, g) .' pipe
	printf 'i,a,b,c,y,g\n1,0.5,1,-1,0,1\n2,2,0.1,0.3,2,1\n3,-1,1,0,1,1\n4,0.2,0.2,0.9,-1,2\n5,3,1,1,1,2\n6,0,1,0,0,2\n' >counts.csv
	# A column: the stage loss.  An expression, or a rule of its own: an aggregate.
	for loss in 'CrossEntropyLoss(weight=[1, two, 1 / 2], ignore_index=-1, label_smoothing=0.1)(z, [y])' \
		'mean(CrossEntropyLoss([1, 2, 0.5], ignore_index=-1, label_smoothing=0.1, reduction="mean")(z, [y] + 0))' \
		'0.25 * CrossEntropyLoss([1, 2, 0.5], ignore_index=-1, label_smoothing=0.1)(z, [y]) * 4' \
		'NLLLoss(weight=[1, 2, 0.5], ignore_index=-1)(LogSoftmax(z), [y]) * 0 + CrossEntropyLoss([1, 2, 0.5], ignore_index=-1, label_smoothing=0.1)(z, [y])' \
		'sqrt(mean(CrossEntropyLoss([1, 2, 0.5], ignore_index=-1, label_smoothing=0.1)(z, [y])) ** 2)'; do
		printf '%s\n' 'two = 2 .' "$out" "?fit <epochs=2, lr=0.1> L(; $loss) :- Out(_, y, _; z) ." '?pred P(i; z) :- Out(i; z) .' >m.relnn
		near "$loss" "$(first_loss m.relnn --source D=counts.csv)" "$(entropy 0.1 '')"
		mv P.csv want.csv
		rn-compile m.relnn --source D=counts.csv -o m.json
		rn-train m.json -q
		cmp P.csv want.csv
		rn-train m.json -q --placement staged
		cmp P.csv want.csv
		rn-compile m.json --to relnn -o again.relnn
		rn-compile again.relnn -o again.json
		cmp again.json m.json
	done
	grep -q '"agg", .*"mean(CrossEntropyLoss(' m.json
	printf '%s\n' "$out" '?fit <epochs=1> L(; CrossEntropyLoss([1, 2, 0.5], ignore_index=-1)(z, [y])) :- Out(_, y, _; z) .' >m.relnn
	near column "$(first_loss m.relnn --source D=counts.csv)" "$(entropy 0 '')"
	rn-compile m.relnn --source D=counts.csv | grep -qF '"kind": "cross-entropy", "target": "y", "weight": ["1", "2", "0.5"], "ignore-index": "-1"'
	# A target that is the same for all rows.
	printf '%s\n' '?source Z = "counts.csv" <key="i", emb="a,b,c"> .' \
		'?pred P(; mean(CrossEntropyLoss([1, 2, 0.5])(z, 2))) :- Z(_; z) .' \
		'?pred Q(; mean(CrossEntropyLoss()(z, 2))) :- Z(_; z) .' >m.relnn
	rn-train m.relnn -q
	near 'one target' "$(sed -n 2p P.csv)" "$(sed -n 2p Q.csv)"
	# A pipeline; strings are classes in order of value, and may be left out by name.
	pipe=$(rn-scan counts.csv --emb a,b,c | rn-map 'z * Tensor(1, 1.0)' |
		rn-loss cross-entropy --target y --weight 1,2,0.5 --ignore-index=-1 --label-smoothing 0.1 | first_loss --epochs 1)
	near pipeline "$pipe" "$(entropy 0.1 '')"
	awk -F, -v OFS=, 'NR > 1 { split("ham spam tuna", c, " "); $5 = $5 < 0 ? "none" : c[$5 + 1] } 1' counts.csv >names.csv
	pipe=$(rn-scan names.csv --emb a,b,c | rn-map 'z * Tensor(1, 1.0)' |
		rn-loss cross-entropy --target y --weight 1,2,0.5 --ignore-index none | first_loss --epochs 1)
	near strings "$pipe" "$(entropy 0 '')"
	# So in the language; what says the default changes nothing of that.
	printf '%s\n' "$out" '?fit <epochs=1> L(; CrossEntropyLoss([1, 2, 0.5], "none", "mean", label_smoothing=0)(z, [y])) :- Out(_, y, _; z) .' >m.relnn
	near 'strings here' "$(first_loss m.relnn --source D=names.csv)" "$(entropy 0 '')"
	for loss in 'CrossEntropyLoss()' 'CrossEntropyLoss(weight=None, reduction="mean")' 'CrossEntropyLoss(None, None)'; do
		printf '%s\n' "$out" "?fit <epochs=1> L(; $loss(z, [y])) :- Out(_, y, _; z), y != \"none\" ." >m.relnn
		rn-compile m.relnn --source D=names.csv -o given.json
		[ -e default.json ] || mv given.json default.json
		[ ! -e given.json ] || cmp given.json default.json
	done
	# Each group has a mean of its own, also where the group is one row; a sum adds what rows have.
	printf '%s\n' '?pred P(g; mean(CrossEntropyLoss([1, 2, 0.5], ignore_index=-1)(z, [y]))) :- Z(_, y, g; z) .' \
		'?pred Q(i; mean(CrossEntropyLoss([1, 2, 0.5])(z, [y]))) :- Z(i, y, _; z), y >= 0 .' \
		'?pred R(i; CrossEntropyLoss([1, 2, 0.5], ignore_index=-1)(z, [y])) :- Z(i, y, _; z) .' \
		'?pred S(; mean(CrossEntropyLoss([1, 2, 0.5], ignore_index=-1, reduction="none")(z, [y]))) :- Z(i, y, _; z) .' \
		'?source Z = "counts.csv" <key="i", emb="a,b,c"> .' >m.relnn
	rn-train m.relnn -q
	near 'group 1' "$(sed -n 's/^1,//p' P.csv)" "$(entropy 0 1)"
	near 'group 2' "$(sed -n 's/^2,//p' P.csv)" "$(entropy 0 2)"
	near 'a row, its mean' "$(sed -n 's/^3,//p' Q.csv)" "$(awk 'BEGIN { print log(exp(-1) + exp(1) + 1) - 1 }' OFMT=%.9g)"
	near 'a row' "$(sed -n 's/^3,//p' R.csv)" "$(awk 'BEGIN { print 2 * (log(exp(-1) + exp(1) + 1) - 1) }' OFMT=%.9g)"
	grep -qx 4,0 R.csv
	near 'a mean of rows' "$(sed -n 2p S.csv)" "$(awk -F, 'NR > 1 { s += $2 } END { print s / 6 }' OFMT=%.9g R.csv)"
}

@test "Embedding's padding_idx: a row that is 0, and learns nothing" {
	printf 'i,k,y\n1,0,1\n2,1,2\n3,2,3\n' >e.csv
	for at in 1 -2; do
		printf '%s\n' "Out(i; Embedding(3, 2, padding_idx=$at, name=\"E\")([k])) :- E(i, k, _) ." \
			'?fit <epochs=3, lr=0.1, weight_decay=0.1> L(; MSELoss()(rowsum(z), [y])) :- Out(i; z), E(i, _, y) .' \
			'?pred P(i; z) :- Out(i; z) .' >m.relnn
		rn-train m.relnn --source E=e.csv -q
		[ "$(grep -c ',0,0$' P.csv)" = 1 ]
		grep -qx 2,0,0 P.csv
	done
	sed -i 's/padding_idx=-2/padding_idx=3/' m.relnn
	fails_with 2 rn-train m.relnn --source E=e.csv
	[[ $stderr == *'1:8: Embedding: padding_idx 3 is no row of a table of 3'* ]]
}

@test "binary losses: weight and pos_weight of each output" {
	printf 'a,b,p,q\n0.5,-1,1,0\n-2,3,0,1\n0.1,0.2,1,1\n' >b.csv
	cat >m.relnn <<-'END'
		w = 3 .
		?source B = "b.csv" .
		Z(p, q; [a, b]) :- B(a, b, p, q) .
		?pred P(; BCEWithLogitsLoss([2, w], pos_weight=[1.5, 0.5])(z, [p, q])) :- Z(p, q; z) .
		?pred Q(; BCELoss(weight=[2, 3])(sigmoid(z), [p, q])) :- Z(p, q; z) .
		?fit <epochs=1> L(; BCEWithLogitsLoss(pos_weight=w)(z * Tensor(1, 1.0), [q])) :- Y(_, q; z) .
		Y(a, q; [b]) :- B(a, b, _, q) .
	END
	rn-train m.relnn -q --log log
	bce() {
		awk -F, -v how="$1" 'function l(z, y, w) { return (1 - y) * z + (1 + (w - 1) * y) * log(1 + exp(-z)) }
			NR > 1 && how == "stage" { s += l($2, $4, 3) }
			NR > 1 && how == "both" { s += (2 * l($1, $3, 1.5) + 3 * l($2, $4, 0.5)) / 2 }
			NR > 1 && how == "prob" { s += (2 * l($1, $3, 1) + 3 * l($2, $4, 1)) / 2 }
			END { printf "%.9g\n", s / 3 }' b.csv
	}
	near logits "$(sed -n 2p P.csv)" "$(bce both)"
	near probabilities "$(sed -n 2p Q.csv)" "$(bce prob)"
	near 'the stage' "$(sed -n '1s/.*"loss":\([^,]*\),.*/\1/p' log)" "$(bce stage)"
	rn-compile m.relnn | grep -qF '"kind": "bce", "target": "q", "pos-weight": 3'
}

@test "?pred on standard output: as a stream, or as any text, in every spelling" {
	graph
	cat >m.relnn <<-'END'
		?source N = "n.csv" .
		Out(n; Linear(1, 2)([n] / 4)) :- N(n, _) .
		?fit <epochs=2> L(; MSELoss()(rowsum(z), [n])) :- Out(n; z) .
		?pred A(n; z) :- Out(n; z) .
		?pred <to="-", format="er"> P(n; z) :- Out(n; z) .
	END
	rn-train m.relnn -q | rn-head -n 2 >p.er
	[ "$(rn-cat p.er --format csv)" = "$(head -n 3 A.csv)" ]
	rn-compile m.relnn -o m.json
	rn-train m.json -q | rn-cat | cmp - A.csv
	rn-compile m.json --to relnn | grep -F 'name="P", to="-", format="er"'
	rn-compile m.relnn --to sh -o m.sh
	grep -F -- '--format P=er' m.sh
	bash m.sh | rn-cat | cmp - A.csv
	# The command line has the last word, of any program.
	rn-train m.relnn -q --format P=csv | cmp - A.csv
	rn-train m.relnn -q --to P=P.csv --to A=- --format A=jsonl --format P=tsv >a.jsonl
	[ "$(head -n 1 a.jsonl | jq -c '[.n, (.z | length)]')" = '[1,2]' ]
	tr '\t' , <P.csv | cmp - A.csv
	# What learns nothing is a pipeline without rn-train.
	printf '?pred <to="-", format="%s"> P(n) :- N(n, "x") .\n' er >q.relnn
	rn-train q.relnn --source N=n.csv -q | rn-cat >want
	[ "$(cat want)" = $'n\n1\n3' ]
	rn-compile q.relnn --source N=n.csv --to sh | bash | rn-cat | cmp - want
	sed 's/er"/tsv"/; s/"-"/"out"/' q.relnn >r.relnn
	rn-compile r.relnn --source N=n.csv --to sh | bash
	cmp out want
	printf '?pred <to="out.jsonl"> P(n) :- N(n, "x") .\n' >r.relnn
	rn-compile r.relnn --source N=n.csv --to sh | bash
	[ "$(cat out.jsonl)" = $'{"n": 1}\n{"n": 3}' ]
	fails_with 2 rn-train q.relnn --source N=n.csv --format parquet
	[[ $stderr == *"--format wants auto, csv, tsv, jsonl or er, not 'parquet'"* ]]
	run script -qec 'rn-train q.relnn --source N=n.csv -q' /dev/null
	[[ $output == *"pred 'P' is binary, and standard output is a terminal"* ]]
}

@test "a fit may be called as a rule or a prediction is" {
	local out='Out(n; Linear(1, 1)([n])) :- N(n, _) .' fit='?fit <epochs=2> %s(; MSELoss()(z, [n])) :- Out(n; z) .' f
	graph
	printf "$out\n$fit\n?pred P(n; z) :- Out(n; z) .\n" L >m.relnn
	rn-train m.relnn --source N=n.csv -q
	mv P.csv want.csv
	for f in '?pred P(n; z) :- Out(n; z) .' '?pred P(n; z) :- R(n; z) .
R(n; z) :- Out(n; z) .'; do
		printf "$out\n$fit\n$f\n" "$([[ $f == *R* ]] && echo R || echo P)" >m.relnn
		rm -f P.csv
		rn-train m.relnn --source N=n.csv -q
		cmp P.csv want.csv
	done
}

@test "content aggregates: distinct values, orders, and expressions around aggregates" {
	printf 'n,w,t,s\n1,2,5,a\n1,3,4,b\n2,5,1,a\n2,,0,a\n' >w.csv
	group() { # ROWS ATTRIBUTES...: the rows of P(ATTRIBUTES), in every spelling
		printf '?source W = "w.csv" .\n?pred P(%s) :- W(n, w, t, s) .\n' "$2" >p.relnn
		rn-train p.relnn -q
		[ "$(tail -n +2 P.csv)" = "$1" ] || { cat P.csv >&2; return 1; }
		mv P.csv want.csv
		rn-compile p.relnn -o p.json
		rn-train p.json -q
		cmp P.csv want.csv
		rn-compile p.json --to relnn -o again.relnn
		rn-compile again.relnn | cmp - p.json
		rn-compile p.relnn --to sh -o p.sh
		rm P.csv
		bash p.sh >/dev/null 2>&1
		cmp P.csv want.csv
	}
	group $'1,2,b,3,2\n2,1,a,5,2' 'n, d: count(distinct s), f: first(s by t), l: last(w by -t), count(*)'
	group $'1,2\n2,1' 'n, count(distinct upper(s))'
	group $'1,2,2\n2,2,2' 'n, count(distinct -t), c: count(distinct (t * 2))'
	group $'1,4.5,2\n2,0.5,0' 'n, m: mean(t), s: sum(if((t > 3) == True, 1, 0))'
	group $'1,5.5\n2,1.5' 'n, m: mean(t) + 1'
	group $'2.5,1,3.5,5\n2.5,2,7,5' 'r: sum(w) / count(*), n, m: round(avg(w) + n, 1), sum(w)'
	group 3.3333333333333335 'sum(w) / count(w)'
	group $'4,1,1.5\n4,2,2.5' 'c: count(*) * 2, n; max([w]) / count([w])'
	group $'4,1,2.5\n4,2,2.5' 'c: count(*) * 2, n; mean([w])'
	group $'2,1,3\n2,2,5' 'count(*), m: n; max([w])'
	# An attribute stands where it is written, whatever stands before it.
	gives $'a,b\n1,1\n1,2\n1,3\n1,4' 'R(c: count(*), n) :- N(n, _) .
?pred P(a, b) :- R(a, b) .'
	# Columns that are called like the words.
	printf 'by,distinct\n1,2\n1,3\n' >w.csv
	printf '?pred P(c: count(distinct distinct), d: first(by by by), e: count(distinct)) :- W(by, distinct) .\n' >p.relnn
	rn-train p.relnn --source W=w.csv -q
	[ "$(tail -n 1 P.csv)" = 2,1,2 ]
}

@test "parameters: Tensor begins at 0, or at its fill" {
	local fit='?fit <epochs=1, lr=1e-30> L(; z * z) :- A(n; z) .'
	gives $'n,z\n2,0' "A(n; [n] * Tensor(1)) :- N(n, 'y') . $fit ?pred P(n; z) :- A(n; z) ."
	gives $'n,z\n2,0' "A(n; [n] * Tensor(1, 1)) :- N(n, 'y') . $fit ?pred P(n; z) :- A(n; z) ."
	gives $'n,z\n2,3' "A(n; [n] * Tensor(1, 1, 1.5)) :- N(n, 'y') . $fit ?pred P(n; z) :- A(n; z) ."
	gives $'n,z0,z1\n2,2,2' "k = 4 / 2 . T = Tensor(k, k, 0.5) . M(n; [n, n] @ T) :- N(n, 'y') .
		A(n; rowsum(z)) :- M(n; z) . $fit ?pred P(n; z) :- M(n; z) ."
}

@test "softmax over the rows that share a variable, before the grouping" {
	gives $'a,z\n1,0.5\n2,1\n3,1\n4,1' '?pred P(a; max(softmax([w] * 0; a))) :- E(a, _, w) .'
	gives $'b,z\n2,1\n3,0.33333334\n,1' '?pred P(b; max(softmax([w] * 0; b))) :- E(a, b, w) .'
	gives $'a,z\n1,0.5\n2,1\n3,1\n4,1' '?pred P(a; max(softmax([w] * 0))) :- E(a, _, w) .'
	gives $'a,z\n1,1.3333334\n2,0.33333334\n3,0.33333334' \
		'?pred P(a; sum(softmax([w] * 0; b))) :- E(a, b, w), b > 0 .'
}

# ---- transforms ------------------------------------------------------------------------------

@test "modules and transforms stand in brackets, beside encoders and columns" {
	gives $'n,z0,z1,z2\n1,1,1,2\n2,2,2,4\n3,3,3,6\n4,4,4,8' \
		$'T<i> = x * i .\n?pred P(n; [n, ReLU(n), T<2>(n)]) :- N(n, _) .'
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' '?pred P(n; [rowsum(raw(n, n))]) :- N(n, _) .'
	gives $'n,z\n1,1:1\n2,2:1\n3,3:1\n4,4:1' 'h = 3 . ?pred P(n; [index(n, 2 * h)]) :- N(n, _) .'
	gives $'n,z\n1,2\n2,2\n3,3\n4,3' '?pred P(n; [clamp(n, 2, 3)]) :- N(n, _) .'
	printf 'id,age,dept,y\n0,1.5,0,1\n1,2,1,0\n2,3,0,1\n' >u.csv
	for program in 'F(u; [Linear(1, 8)(a), Embedding(2, 5)(d)]) :- D(u, a, d) .' \
		'F(u; Concat(Linear(1, 8)([a]), Embedding(2, 5)([d]))) :- D(u, a, d) .'; do
		printf '%s\n' "$program" 'O(u; Linear(13, 2)(z)) :- F(u; z) .' \
			'?fit <epochs=5> L(; CrossEntropyLoss()(z, [y])) :- O(u; z), D(u, _, _, y) .' >b.relnn
		bits rn-train b.relnn -q --source D=u.csv
	done >bits
	[ "$(uniq bits | wc -l)" = 1 ]
}

@test "the words among an encoder's settings are no columns: Cyclic(t, hour)" {
	printf 't,n\n2024-01-01T06:00:00,1\n2024-07-01T12:00:00,2\n' >t.csv
	for bracket in '[Cyclic(t, hour)]' '[Cyclic(hour)(t)]' '[cyclic(t, hour)]'; do
		printf '%s\n' "?pred P(n; $bracket) :- T(t, n) ." >t.relnn
		rn-train t.relnn -q --source T=t.csv
		cat P.csv
	done >out
	[ "$(sort out | uniq -c | awk '{ print $1 }' | sort -u)" = 3 ]
	rn-encode 'cyclic(t, hour)' t.csv | rn-project --cols n | rn-cat | diff - <(head -n 3 out)
	# A column that is called like a word is a column where a column stands.
	printf '%s\n' '?pred P(n; [Cyclic(hour, hour)]) :- T(hour, n) .' >t.relnn
	rn-train t.relnn -q --source T=t.csv
	diff P.csv <(head -n 3 out)
}

@test "HashBucketTextEncoder is the mean of a learned vector for each word's bucket" {
	printf 'i,w,y\n0,The cat,1\n1,cat cat dog,0\n2,,1\n3,dog,0\n' >t.csv
	local text='[text(w, 64, words=blanks, hash=crc32, norm=l1, empty="<empty>")]'
	for f in 'F(i; [HashBucketTextEncoder(64, 8)(w)])' 'F(i; [HashBucket(dim=8, num_buckets=64)(w)])' \
		"F(i; Linear(64, 8, False, init=\"normal\")($text))" 'n = 32 . F(i; [HashBucket(2 * n, 8)(w)])'; do
		printf '%s\n' "$f :- T(i, w) ." 'O(i; Linear(8, 2)(z)) :- F(i; z) .' \
			'?fit <epochs=5> L(; CrossEntropyLoss()(z, [y])) :- O(i; z), T(i, _, y) .' \
			'?pred P(i; z) :- F(i; z) .' >t.relnn
		bits rn-train t.relnn -q --source T=t.csv --weights-out w
	done >bits
	bits rn-train t.relnn -q --source T=t.csv --placement staged >>bits
	rn-compile t.relnn --source T=t.csv -o t.json
	bits rn-train t.json -q --source T=t.csv >>bits
	[ "$(sort bits | uniq -c | awk '{ print $1 }')" = 6 ]
	# The words' buckets, by zlib: The 6, cat 40, dog 61, no word 9.
	seq 0 63 | sed '1i r' >r.csv
	rn-scan r.csv --emb w/F.weight.npy | rn-cat | awk -F, '
		FNR == 1 { file++; next }
		file == 1 { for (k = 2; k <= 9; k++) w[$1, k] = $k }
		file == 2 {
			for (k = 2; k <= 9; k++) {
				want = $1 == 0 ? (w[6, k] + w[40, k]) / 2 : $1 == 1 ? (2 * w[40, k] + w[61, k]) / 3 : w[$1 == 2 ? 9 : 61, k]
				bad += (want - $k) ^ 2 > 1e-10
			}
		}
		END { exit bad || NR != 70 }' - P.csv
	# Beside a column, and by itself with what it is without sizes.
	printf '%s\n' '?fit <epochs=1> L(; CrossEntropyLoss()(Linear(17, 2)(z), [y])) :- F(i; z), T(i, _, y) .' \
		'F(i; [i, HashBucket(w)]) :- T(i, w) .' >b.relnn
	[ "$(rn-train b.relnn -q --source T=t.csv --json | member parameters)" = $((1024 * 16 + 17 * 2 + 2)) ]
}

@test "Linear(per=, bases=): a weight for each value of a column, as in the shell" {
	printf 's,t,r\n1,0,a\n2,1,b\n0,2,a\n' >e.csv
	printf 'id,y\n0,0\n1,1\n2,0\n' >l.csv
	for program in 'O(t; sum(Linear(2, 2, per=r, bases=2)([s, t]))) :- E(s, t, r) .' \
		'M(s, t, r; [s, t]) :- E(s, t, r) .
		O(t; sum(Linear(2, 2, per=kind, bases=2)(z))) :- M(_, t, kind; z) .'; do
		printf '%s\n' "$program" '?fit <epochs=5> L(; CrossEntropyLoss()(z, [y])) :- O(t; z), D(t, y) .' >m.relnn
		rn-train m.relnn -q --source E=e.csv --source D=l.csv --weights-out w --json | member bits
		[ -e w/O.basis.npy ] || ls w
		rn-compile m.relnn -q --source E=e.csv --source D=l.csv -o m.json
		rn-train m.json -q --json | member bits
	done >bits
	[ "$(sort -u bits | wc -l)" = 1 ]
}

@test "one module in two places is one: shared weights, and statistics that both move" {
	printf 'id,a,b,y\n1,0.5,2,0\n2,1,3,1\n3,2,1,1\n' >p.csv
	cat >m.relnn <<-'END'
		?source D = "p.csv" .
		B = BatchNorm1d(2) .
		X(i; [a, b]) :- D(i, a, b) .
		O(i; Linear(2, 2)(B(z))) :- X(i; z) .
		Q(i; Linear(2, 2)(B(2 * z))) :- X(i; z) .
		?fit <epochs=1> L(; CrossEntropyLoss()(y + z, [c])) :- O(i; y), Q(i; z), D(i, _, _, c) .
	END
	rn-train m.relnn -q --weights-out w
	ls w/B.weight.npy w/O.weight.npy w/Q.weight.npy
	# 0.9 * (0.1 * m) + 0.1 * 2 m, as torch.nn.BatchNorm1d that is called twice: m = 7/6, 2
	tail -c 8 w/B.running_mean.npy | od -A n -v -t f4 -w4 >mean
	awk 'NR == 1 { want = 0.29 * 7 / 6 } NR == 2 { want = 0.29 * 2 } { d = $1 - want; if (d * d > 1e-12) exit 1 }
		END { exit NR != 2 }' mean
	rn-train m.relnn -q --weights-out s --placement staged
	cmp w/B.running_mean.npy s/B.running_mean.npy
	cmp w/B.running_var.npy s/B.running_var.npy
}

@test "a transform's one free variable, of any name, is its argument" {
	gives $'n,z\n1,3\n2,5\n3,7\n4,9' $'F = 2 * x + 1 .\n?pred P(n; F([n])) :- N(n, _) .'
	gives $'n,z\n1,9\n2,25\n3,49\n4,81' $'F = 2 * x + 1 .\nG = F(inp) ** 2 .\n?pred P(n; G([n])) :- N(n, _) .'
	gives $'n,z\n1,3\n2,4\n3,5\n4,6' $'F<k> = x + k .\n?pred P(n; F<2>([n])) :- N(n, _) .'
	gives $'n,z\n1,5\n2,6\n3,7\n4,8' $'F<k> = x + k .\nG<k> = F<k>(F<k + 1>(y) - 1) .\n?pred P(n; G<2>([n])) :- N(n, _) .'
	gives $'n,z\n1,1\n2,2\n3,3\n4,4' $'F = ReLU() .\n?pred P(n; F([n])) :- N(n, _) .'
}

@test "a transform's parameters have its name, wherever it is used" {
	cat >q.relnn <<-'END'
		K<i> = Linear(1, 2) .
		M<i> = Linear(2, 1)(ReLU()(K<i>(x))) .
		A(n; M<1>([n])) :- N(n, _) .
		B(n; M<2>([n])) :- N(n, _) .
		?fit <epochs=1> L(; MSELoss()(z, [n])) :- A(n; z) .
		?fit <epochs=1> L(; MSELoss()(z, [n])) :- B(n; z) .
		?pred P(n; z) :- A(n; z) .
		?pred Q(n; M<1>([n])) :- N(n, _) .
		?pred R(n; M<2>([n])) :- N(n, _) .
	END
	graph
	run -0 --separate-stderr rn-train q.relnn --json --source N=n.csv --weights-out w
	[ "$(member parameters <<<"$output")" = 14 ] # 4 + 3, twice
	diff <(cd w && printf '%s\n' *.npy) - <<-'END'
		K<1>.bias.npy
		K<1>.weight.npy
		K<2>.bias.npy
		K<2>.weight.npy
		M<1>.bias.npy
		M<1>.weight.npy
		M<2>.bias.npy
		M<2>.weight.npy
	END
	cmp P.csv Q.csv
	run ! cmp -s P.csv R.csv
}

@test "modules of a rule have the rule's name" {
	cat >q.relnn <<-'END'
		A(n; Linear(4, 1)(ReLU()(Linear(1, 4)([n])))) :- N(n, _) .
		?fit <epochs=1> L(; MSELoss()(z, [n])) :- A(n; z) .
	END
	graph
	rn-train q.relnn -q --source N=n.csv --weights-out w
	(cd w && printf '%s\n' *.npy) >names
	[ "$(wc -l <names)" = 4 ]
	[ "$(grep -c '^A\.' names)" = 4 ]
}

# ---- templates -------------------------------------------------------------------------------

@test "the most specific definition wins, and base cases end a recursion" {
	gives $'n,z\n1,16\n2,32\n3,48\n4,64' 'H<0>(n; [n]) :- N(n, _) .
		H<i>(n; z * 2) :- H<i - 1>(n; z) .
		?pred P(n; z) :- H<4>(n; z) .'
	gives $'n,w\n1,both' 'H<a, b>(n, w: "none") :- N(n, _), n == 1 .
		H<a, 1>(n, w: "one") :- N(n, _), n == 1 .
		H<"k", b>(n, w: "k") :- N(n, _), n == 1 .
		H<"k", 1>(n, w: "both") :- N(n, _), n == 1 .
		?pred P(n, w) :- H<"k", 1>(n, w) .'
	gives $'n,w\n1,k' 'H<a, b>(n, w: "none") :- N(n, _), n == 1 .
		H<"k", b>(n, w: "k") :- N(n, _), n == 1 .
		?pred P(n, w) :- H<k, 2>(n, w) .'
	gives $'n,w\n1,same' 'H<a, b>(n, w: "other") :- N(n, _), n == 1 .
		H<1, 1>(n, w: "same") :- N(n, _), n == 1 .
		?pred P(n, w) :- H<1, 2 - 1>(n, w) .'
}

@test "transforms specialise, too" {
	gives $'n,z\n1,105\n2,106\n3,107\n4,108' $'F<i> = x + i .\nF<3> = x + 100 .\n?pred P(n; F<3>(F<4>([n]))) :- N(n, _) .'
}

@test "a parameter may be a relation, and stands in the head as its name" {
	gives $'c0,s,t\nCites,1,2\nCites,1,3\nCites,2,3\nCites,3,3' 'Cites(a, b) :- E(a, b, _), b > 0 .
		Of<r>(r, s, t) :- r(s, t) .
		?pred P(c0, s, t) :- Of<Cites>(c0, s, t) .'
	gives $'n\n1\n2\n3\n4' $'Of<r>(x) :- r(x, _) .\n?pred P(n) :- Of<N>(n) .'
	gives $'n\n1\n2\n3\n4' $'Of<r>(x) :- r(x, _) .\n?pred P(n) :- Of<"N">(n) .'
}

@test "a constant of the program is an argument" {
	gives $'n,z\n1,3\n2,4\n3,5\n4,6' $'k = 2 .\nF<i>(n; [n] + i) :- N(n, _) .\n?pred P(n; z) :- F<k>(n; z) .'
}

# ---- bounded sets ----------------------------------------------------------------------------

W='W<i>(n; [n] * i) :- N(n, _) .'

@test "constants are templates, too: as arguments, sizes, bounds, in atoms and heads" {
	gives $'n,z\n1,5\n2,10\n3,15\n4,20' \
		$'Most<1> = 5 .\nMost<2> = 3 .\nH<i>(n; [n] * i) :- N(n, _) .\n?pred P(n; z) :- H<Most<1>>(n; z) .'
	gives $'n,z0,z1,z2\n1,2,3,4\n2,4,6,8\n3,6,9,12\n4,8,12,16' \
		$'Most<i> = i * 2 .\nH<i>(n; [n] * i) :- N(n, _) .
			?pred P(n; Concat(*z)) :- Join(Set(H<i>(n; z) | 1 <= i, i <= Most<2>, 4 <= Most<i>)) .'
	gives $'n,m\n1,2\n2,2' $'Most<1> = 2 .\n?pred P(n, m: Most<1>) :- N(n, _), n < Most<1> + 1 .'
	gives $'a\n1\n2\n3' $'Most<1> = 3 .\n?pred P(a) :- E(a, Most<1>, _) .'
	gives $'n,z\n1,121\n2,122\n3,123\n4,124' \
		$'Fact<0> = 1 .\nFact<i> = i * Fact<i - 1> .\nOf<"Author"> = 5 .\n?pred P(n; [n] + Fact<Of<Author>>) :- N(n, _) .'
	gives $'n,z\n1,5\n2,10\n3,15\n4,20' \
		$'def F<k>(R):\n\tC<i> = i + k .\n\tO(n; [n] * C<2>) :- R(n) .\nenddef\n?pred P(n; z) :- F<3>(N)(n; z) .'
	gives $'n,z0,z1\n1,1,1\n2,2,2\n3,3,3\n4,4,4' \
		$'Width<1> = 2 .\n?pred P(n; view(Width<1>)(Concat([n], [n]))) :- N(n, _) .'
}

@test "a join over integers: z_1 … z_h, and *z for all of them" {
	gives $'n,z0,z1,z2\n1,1,2,3\n2,2,4,6\n3,3,6,9\n4,4,8,12' \
		"$W"$'\n?pred P(n; Concat(*z)) :- Join(Set(W<i>(n; z) | 1 <= i, i <= 3)) .'
	gives $'n,z\n1,5\n2,10\n3,15\n4,20' \
		"$W"$'\nh = 3 .\n?pred P(n; z_1 + z_2 * 2) :- Join(Set(W<i>(n; z) | 0 < i, i < h)) .'
	gives $'n,z\n1,5\n2,10\n3,15\n4,20' \
		"$W"$'\n?pred P(n; z<1> + z<2> * 2) :- Join(Set(W<i>(n; z) | 1 <= i, 2 >= i)) .'
	gives $'n,z0,z1,z2\n1,0.5,1,2\n2,1,2,4\n3,1.5,3,6\n4,2,4,8' \
		"$W"$'\nH(n; [n] / 2) :- N(n, _) .\n?pred P(n; Concat(y, *z)) :- H(n; y), Join(Set(W<i>(n; z) | 1 <= i, i <= 2)) .'
}

@test "a union over integers, and conditions beside the bounds" {
	gives $'n,z\n1,6\n2,12\n3,18\n4,24' \
		"$W"$'\n?pred P(n; sum(z)) :- Union(Set(W<i>(n; z) | 1 <= i, i <= 3)) .'
	gives $'n,z\n1,9\n2,18\n3,27\n4,36' \
		"$W"$'\n?pred P(n; sum(z)) :- Union(Set(W<i>(n; z) | 1 <= i, i <= 5, i != 3, i ** 2 != 4, i != 1)) .'
	gives $'i,z\n1,10\n2,20\n3,30' \
		"$W"$'\n?pred P(i; sum(z)) :- Union(Set(W<i>(n; z) | 1 <= i, i <= 3)) .'
}

@test "a set with one element is that element" {
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' "$W"$'\n?pred P(n; z) :- Join(Set(W<i>(n; z) | i == 2, i < 9, i > 0)) .'
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' "$W"$'\n?pred P(n; Concat(*z)) :- Join(Set(W<i>(n; z) | 2 <= i, i <= 2)) .'
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' "$W"$'\n?pred P(n; z_1) :- Join(Set(W<i>(n; z) | 2 <= i, i <= 2)) .'
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' "$W"$'\n?pred P(n; sum(z)) :- Union(Set(W<i>(n; z) | 2 <= i, i <= 2)) .'
}

@test "sets over relations: one element per row, constants and conditions select" {
	printf 'ts,rel,tt\nA,W,B\nB,W,A\nA,V,A\n' >meta.csv
	local rules='V(n, l) :- N(n, l) .
		W(n, l) :- N(n, l), n < 3 .
		M<s, r, t>(s, r, t, n; [n]) :- r(n, _) .'
	gives $'s,r,t,n,z\nA,W,B,1,1\nA,W,B,2,2\nB,W,A,1,1\nB,W,A,2,2\nA,V,A,1,1\nA,V,A,2,2\nA,V,A,3,3\nA,V,A,4,4' \
		"$rules"' ?pred P(s, r, t, n; z) :- Union(Set(M<s, r, t>(s, r, t, n; z) | Meta(s, r, t))) .' --source Meta=meta.csv
	gives $'r,n,z\nW,1,1\nW,2,2\nV,1,1\nV,2,2\nV,3,3\nV,4,4' \
		"$rules"' Q<t>(r, n; z) :- Union(Set(M<a, r, t>(a, r, t, n; z) | Meta(a, r, t))) .
		?pred P(r, n; z) :- Q<"A">(r, n; z) .' --source Meta=meta.csv
	gives $'r,n,z\nW,1,1\nW,2,2' \
		"$rules"' ?pred P(r, n; z) :- Union(Set(M<a, r, "A">(a, r, t, n; z) | Meta(a, r, "A"), a != "A")) .' --source Meta=meta.csv
	# Two guards are joined: A-W-B meets one row, B-W-A and A-V-A two each.
	gives $'n,z\n1,5\n2,10\n3,6\n4,8' \
		"$rules"' ?pred P(n; sum(z)) :- Union(Set(M<a, r, b>(a, r, b, n; z) | Meta(a, r, b), Meta(b, q, c))) .' --source Meta=meta.csv
	gives $'r,n\nW,1\nW,3\nV,1\nV,3' \
		"V(n) :- N(n, _), n < 2 . W(n) :- N(n, 'x') . A(n, r: 'V') :- N(n, _), n == 3 .
		?pred P(r, n) :- Union(Set(r(n) | Meta(s, r, 'A'))) | A(n: n, r: r) ." --source Meta=meta.csv
}

@test "a guard's columns may be named, and its rows read from a pipe" {
	printf 'x,i\nq,1\nq,3\n' >g.csv
	gives $'n,z\n1,4\n2,8\n3,12\n4,16' "$W"'?pred P(n; sum(z)) :- Union(Set(W<k>(n; z) | G(i: k))) .' --source G=g.csv
	printf '%s\n' "$W"'?pred P(n; sum(z)) :- Union(Set(W<k>(n; z) | G(i: k), G(i: k))) .' >q.relnn
	rn-train q.relnn -q --source N=<(cat n.csv) --source G=<(cat g.csv)
	[ "$(cat P.csv)" = $'n,z\n1,4\n2,8\n3,12\n4,16' ]
}

# ---- functions -------------------------------------------------------------------------------

@test "a function's last rule is its value, and its rules have names of their own" {
	gives $'n,z\n1,3\n2,6\n3,9\n4,12' 'def F<k>(In: (int; T), G) -> (int; T):
			A(x; z * k) :- In(x; z) .
			B(x; z) :- A(x; z), G(x, _) .
		enddef
		W(x; [x]) :- N(x, l) .
		?pred P(n: x; z) :- F<3>(W, N)(x; z) .'
	gives $'x,z\n1,6\n2,12\n3,18\n4,24' 'def F<k>(In):
			A(x; z * k) :- In(x; z) .
		enddef
		A(x; [x]) :- N(x, l) .
		?pred P(x; z) :- F<3>(F<2>(A))(x; z) .'
	gives $'x,z\n1,7\n2,14\n3,21\n4,28' 'def F<k>(In):
			A(x; z * k) :- In(x; z) .
		enddef
		def G(In):
			B(x; y + z) :- F<3>(In)(x; y), F<4>(In)(x; z) .
		enddef
		A(x; [x]) :- N(x, l) .
		?pred P(x; z) :- G(A)(x; z) .'
}

@test "a function without relations is called like a template, and specialises with rules" {
	gives $'n,z\n1,7\n2,14\n3,21\n4,28' "H<'a', 0>(n; [n]) :- N(n, _) .
		def Twice<t, i>():
			Out(n; z * 2) :- H<t, i>(n; z) .
		enddef
		def H<t, i>():
			More(n; y + z) :- Twice<t, i - 1>(n; y), H<'a', 0>(n; z) .
			Out(n; z) :- More(n; z) .
		enddef
		?pred P(n; z) :- H<'a', 2>(n; z) ."
	gives $'n\n1\n3' 'def Some(): Out(n) :- N(n, "x") . enddef
		?pred P(n) :- Some(n), Some()(n) .'
}

@test "functions and rules of two names rest on each other, down to their base cases" {
	# Left<i> = Right<i-1> + 1, Right<i> = 2 Left<i>: 1, 0 | 1, 2 | 3, 6 | 7, 14
	gives $'n,z\n1,14\n2,28\n3,42\n4,56' $'Left<0>(n; [n]) :- N(n, _) .
		Right<0>(n; 0 * [n]) :- N(n, _) .
		def Left<i>():
			One(n; [n]) :- N(n, _) .
			Out(n; x + y) :- Right<i - 1>(n; x), One(n; y) .
		enddef
		def Right<i>():
			Out(n; 2 * z) :- Left<i>(n; z) .
		enddef
		?pred P(n; z) :- Right<3>(n; z) .'
}

@test "a set of integers in a function, in a set of relations" {
	printf 'ts,rel,tt\nN,A,N\nN,B,N\n' >Meta.csv
	# 1 + 2 + 3 times the neighbours of both kinds
	gives $'t,z\n2,6\n3,36' $'A(s, t) :- E(s, t, w), w < 4, t > 0 .
		B(s, t) :- E(s, t, w), w >= 4 .
		X(n; [n]) :- N(n, _) .
		def Base<r, b>():
			Out(s, t; b * z) :- X(s; z), r(s, t) .
		enddef
		def Agg<ts, r, tt>():
			Sum(t; sum(z)) :- Union(Set(Base<r, b>(s, t; z) | 1 <= b, b <= bases)) .
			Out(t; z) :- Sum(t; z) .
		enddef
		bases = 3 .
		H(t; sum(z)) :- Union(Set(Agg<ts, r, tt>(t; z) | Meta(ts, r, tt))) .
		?pred P(t; z) :- H(t; z), t > 1 .' --source Meta=Meta.csv
	[ "$(wc -l <P.csv)" = 3 ]
}

@test "an attention score as a matrix product of reshaped embeddings is the inner product" {
	for score in 'dot(x, y)' 'view(1)(x @ transpose(y))' 'view(1)(view(1, d)(x) @ transpose(y))' 'rowsum(x * y)'; do
		gives $'a,b,z\n1,2,4\n1,3,5\n2,3,10\n3,3,15' "d = 2 .
			Q(n; [n, n]) :- N(n, _) .
			K(n; [n, n] * 0 + Concat([n], 2 + 0 * [n])) :- N(n, _) .
			?pred P(a, b; $score * 4 / sqrt(d * 8)) :- Q(a; x), E(a, b, w), K(b; y) ."
	done
}

@test "a function holds constants and transforms, and sees those of the program" {
	gives $'x,z\n1,111\n2,112\n3,113\n4,114' 'k = 100 . c = 5 .
		def F(In):
			c = 10 .
			Add<i> = z + i + c .
			A(x; Add<k>(y)) :- In(x; y) .
		enddef
		W(x; [x]) :- N(x, l) .
		?pred P(x; z) :- F(W)(x; z) .'
}

@test "two calls of a function with parameters have two sets of them, one call used twice has one" {
	cat >q.relnn <<-'END'
		def Layer<i>(In):
			A(x; Linear(1, 1)(z)) :- In(x; z) .
		enddef
		X(n; [n]) :- N(n, _) .
		Y(n; [n]) :- N(n, _) .
		?pred A(n; z) :- Layer<1>(X)(n; z) .
		?pred B(n; z) :- Layer<1>(X)(n; z) .
		?pred C(n; z) :- Layer<2>(X)(n; z) .
		?pred D(n; z) :- Layer<1>(Y)(n; z) .
		?fit <epochs=1> L(; (x + y + z) * z) :-
			Layer<1>(Layer<2>(X))(n; z), Layer<1>(Y)(n; y), Layer<1>(X)(n; x) .
	END
	graph
	run -0 --separate-stderr rn-train q.relnn --json --source N=n.csv
	[ "$(member parameters <<<"$output")" = 8 ]
	cmp A.csv B.csv
	run ! cmp -s A.csv C.csv
	run ! cmp -s A.csv D.csv
}

# ---- constants and sources -------------------------------------------------------------------

@test "constants: arithmetic, strings, and --set" {
	local p='a = 3 . b = a * 2 + 1 . c = -b / 2 . name = "x" .
		?pred P(n; [n] * b + c) :- N(n, l), l == name .'
	gives $'n,z\n1,3.5\n3,17.5' "$p"
	gives $'n,z\n1,1.5\n3,7.5' "$p" --set a=1
	gives $'n,z\n2,10.5' "$p" --set name=y
	fails_with 2 rn-train q.relnn --source N=n.csv --set nam=y
	says "rn-train: --set nam=y: q.relnn has no constant 'nam'; did you mean 'name'?"
	fails_with 2 rn-train q.relnn --source N=n.csv --set name
	says "rn-train: --set wants NAME=VALUE, not 'name'"
	echo 'w<"x"> = 3 . h = 2 . ?pred P(n; Linear(1, h)([n])) :- N(n, l) .' >q.relnn
	fails_with 2 rn-train q.relnn --source N=n.csv --set w=4
	says "rn-train: --set w=4: 'w' is a template in q.relnn, and --set is for constants without arguments"
	fails_with 2 rn-train q.relnn --source N=n.csv --set h=two
	[[ $stderr == *"'out_features' of Linear must be a whole number, 1 or more, not 'two'"* ]]
}

@test "?source: a path beside the program, settings of rn-scan, and --source overrides" {
	mkdir -p sub
	printf 'id,f0,f1,l\n1,0.5,2,a\n2,1,3,b\n' >sub/x.csv
	printf '?source X = "x.csv" <key="id", emb="f*"> .\n?pred P(i, l; z) :- X(i, l; z) .\n' >sub/q.relnn
	rn-train sub/q.relnn -q
	[ "$(cat P.csv sub/P.csv 2>/dev/null)" = $'i,l,z0,z1\n1,a,0.5,2\n2,b,1,3' ]
	printf 'id,f0,f1,l\n9,1,1,c\n' >y.csv
	rn-train sub/q.relnn -q --source X=y.csv --output-dir .
	[ "$(cat P.csv)" = $'i,l,z0,z1\n9,c,1,1' ]
	printf '?source X .\n?pred P(i) :- X(i) .\n' >q.relnn
	rn-train q.relnn -q --source X=y.csv
	[ "$(cat P.csv)" = $'i\n9' ]
}

@test "?source: a query of a database" {
	command -v sqlite3 >/dev/null || skip "sqlite3 is not installed"
	sqlite3 g.db 'create table t(a integer, b text); insert into t values (1, "p"), (2, "q"), (3, "p")'
	gives $'a\n1\n3' $'?source T = "sqlite:g.db" <query="select a from t where b = \'p\'"> .\n?pred P(a) :- T(a) .'
}

@test "a source may be a pipe" {
	graph
	printf '?pred P(a, l) :- E(a, b, _), N(b, l), N(a, _) .\n' >q.relnn
	rn-train q.relnn -q --source N=<(cat n.csv) --source E=<(rn-scan e.csv)
	[ "$(cat P.csv)" = $'a,l\n1,y\n1,x\n2,x\n3,x' ]
}

@test "embeddings of a stream are those of its atom" {
	graph
	rn-scan n.csv | rn-encode 'raw(n)' -o x.er
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' '?pred P(n; z * 2) :- X(n, _; z) .' --source X=x.er
	gives $'n\n1\n2\n3\n4' '?pred P(n) :- X(n, _) .' --source X=x.er
}

@test "?stage is any operator, over sources, stages and rules" {
	gives $'l,n\nx,1\ny,2\nx,3\nz,4' '?stage S = project <cols=["l=label", "n"]> (N) .
		?pred P(l, n) :- S(l, n) .'
	gives $'n\n4\n3\n2\n1' '?stage S = sort <by="n desc"> (R) .
		R(n) :- N(n, _) .
		?pred P(n) :- S(n) .'
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' '?stage X = encode <expr="raw(n)"> (N) .
		?stage Y = map <expr="x + y"> (J) .
		?stage J = join <on="n"> (x=X, y=X) .
		?pred P(n; z) :- Y(n; z) .'
}

# ---- runs ------------------------------------------------------------------------------------

@test "a result of ?pred is a relation of later statements" {
	gives $'n,z\n1,4\n2,8\n3,12\n4,16' $'?pred M(n; [n] * 2) :- N(n, _) .\n?pred P(n; z * 2) :- M(n; z) .'
	[ "$(cat M.csv)" = $'n,z\n1,2\n2,4\n3,6\n4,8' ]
}

@test "a ?pred decodes its embedding into a column, and keeps it where it stands behind the semicolon, too" {
	graph
	local fit='?fit <epochs=5> L(; CrossEntropyLoss()(z, [l])) :- O(n; z), N(n, l) .' o='O(n; Linear(1, 3)([n])) :- N(n, _) .'
	printf '%s\n' "$o" "$fit" '?pred A(n, [ArgMax(z)]) :- O(n; z) .' '?pred B([ArgMax()(z)], n; z) :- O(n; z) .' \
		'?pred C(n; y) :- A(n; y) .' '?pred D(n; [n] * 3) :- A(n) .' '?pred V([x], n; x) :- D(n; x) .' >d.relnn
	rn-train d.relnn -q --source N=n.csv
	[ "$(head -n 1 A.csv)" = n,prediction ]
	[ "$(head -n 1 B.csv)" = n,prediction,z0,z1,z2 ]
	cut -d , -f 1,2 B.csv | cmp - A.csv
	undecoded B.csv | cmp - <(undecoded C.csv)
	[ "$(cat V.csv)" = $'n,prediction,z\n1,3,3\n2,6,6\n3,9,9\n4,12,12' ]
}

line() {
	awk 'BEGIN { print "id,x,y"; for (i = 0; i < 20; i++) print i "," i / 10 "," 3 * i / 10 - 1 }' >line.csv
}

@test "a second fit goes on from the weights of the first" {
	line
	local fit='L(; MSELoss()(z, [y])) :- O(i; z), D(i, _, y) .' o='O(i; Linear(1, 1)([x])) :- D(i, x, _) .'
	local pred='?pred P(i; z) :- O(i; z) .'
	printf '%s\n' "$o" "?fit <epochs=10, lr=0.1, optimizer=\"sgd\"> $fit" "$pred" >one.relnn
	printf '%s\n' "$o" "?fit <epochs=4, lr=0.1, optimizer=\"sgd\"> $fit" \
		"?fit <epochs=6, lr=0.1, optimizer=\"sgd\"> $fit" "$pred" >two.relnn
	rn-train one.relnn -q --source D=line.csv --output-dir one
	rn-train two.relnn -q --source D=line.csv --output-dir two
	cmp one/P.csv two/P.csv
}

@test "runs see the weights of their place: before, between and after the fits" {
	line
	local fit='L(; MSELoss()(z, [y])) :- O(i; z), D(i, _, y) .' o='O(i; Linear(1, 1)([x])) :- D(i, x, _) .'
	local first="?fit <epochs=4, lr=0.1, optimizer=\"sgd\"> $fit" second="?fit <epochs=6, lr=0.1, optimizer=\"sgd\"> $fit"
	eval_() { echo "?eval <metric=\"mse\", target=\"y\"> $1(i, y; z) :- O(i; z), D(i, _, y) ."; }
	pred() { echo "?pred $1(i; z) :- O(i; z) ."; }
	printf '%s\n' "$o" "$(pred A)" "$(eval_ a)" "$first" "$(eval_ b)" "$(pred B)" "$second" "$(pred C)" "$(eval_ c)" >all.relnn
	printf '%s\n' "$o" "$first" "$(pred B)" "$(eval_ b)" >one.relnn
	printf '%s\n' "$o" "$first" "$second" "$(pred C)" "$(eval_ c)" >two.relnn
	sed -i 's/"mse"/"rmse"/' ./*.relnn
	for p in one two all; do
		rn-train $p.relnn -q --json --source D=line.csv --output-dir $p >$p.json
	done
	cmp all/B.csv one/B.csv
	cmp all/C.csv two/C.csv
	run ! cmp -s all/A.csv all/B.csv
	run ! cmp -s all/B.csv all/C.csv
	[ "$(member b <all.json)" = "$(member b <one.json)" ]
	[ "$(member c <all.json)" = "$(member c <two.json)" ]
	[ "$(member a <all.json)" != "$(member b <all.json)" ]
	# The weights before the first step are those of one step of nothing.
	printf '%s\n' "$o" "?fit <epochs=1, lr=1e-30, optimizer=\"sgd\"> $fit" "$(pred A)" >zero.relnn
	rn-train zero.relnn -q --source D=line.csv --output-dir zero
	cmp all/A.csv zero/A.csv
}

@test "weights between fits: of the best of several runs, in checkpoints, specs, stages, and not in pipelines" {
	line
	local fit='L(; MSELoss()(z, [y])) :- O(i; z), D(i, _, y) .'
	cat >all.relnn <<-END
		?source D = "line.csv" .
		O(i; Linear(1, 1)([x])) :- D(i, x, _) .
		?fit <epochs=4, lr=0.1> $fit
		?val <metric="rmse", target="y"> V(i, y; z) :- O(i; z), D(i, _, y) .
		?pred B(i; z) :- O(i; z) .
		?eval <name="b", metric="rmse", target="y"> E(i, y; z) :- O(i; z), D(i, _, y) .
		?fit <epochs=6, lr=0.1> $fit
		?val <metric="rmse", target="y"> W(i, y; z) :- O(i; z), D(i, _, y) .
		?pred C(i; z) :- O(i; z) .
	END
	for seed in 1 2 3; do
		rn-train all.relnn -q --json --seed $seed --output-dir $seed >$seed.json
	done
	best=$(for seed in 1 2 3; do echo "$(member val <$seed.json) $seed"; done | sort -g | head -n 1 | cut -d ' ' -f 2)
	rn-train all.relnn -q --json --runs 3 --output-dir runs >runs.json
	cmp runs/B.csv "$best/B.csv"
	cmp runs/C.csv "$best/C.csv"
	# From a checkpoint within the second fit of the last run.
	rn-train all.relnn -q --json --runs 3 --output-dir first --checkpoint c.rnm --checkpoint-every 5 >first.json
	rm -r first
	rn-train all.relnn -q --json --runs 3 --output-dir again --resume c.rnm >again.json
	cmp runs/B.csv again/B.csv
	cmp runs/C.csv again/C.csv
	[ "$(grep -o '"b": [0-9.e-]*' runs.json)" = "$(grep -o '"b": [0-9.e-]*' again.json)" ]
	rn-compile all.relnn -o all.json
	rn-train all.json -q --runs 3 --output-dir spec
	cmp runs/B.csv spec/B.csv
	rn-train all.relnn -q --runs 3 --placement staged --output-dir staged
	cmp runs/B.csv staged/B.csv
	cmp runs/C.csv staged/C.csv
	sed -i '/^?fit <epochs=6/d; /^?val .*W/d' all.relnn
	sed -n '/^?fit/,/^?val/p' all.relnn >fit
	sed -i '/^?fit/,/^?val/d' all.relnn
	cat fit >>all.relnn
	fails_with 2 rn-compile all.relnn --to sh
	[ "$stderr" = "rn-compile: in a pipeline all evals and predictions come after the fit, and this plan has one before it (pred): write it as a spec ('--to json') or as a program ('--to relnn')" ]
}

# ---- spellings -------------------------------------------------------------------------------

# A program over points.csv that uses a constant, a template, a join and dropout.
program() {
	cat >m.relnn <<-'END'
		hidden = 8 .
		?source points = "points.csv" <key="id"> .
		T<i> = Linear(hidden, hidden)(ReLU()(x)) .
		H<0>(i; Linear(2, hidden)([a, b])) :- points(i, a, b, _, _) .
		H<l>(i; Dropout(0.2)(T<l>(z))) :- H<l - 1>(i; z) .
		Near(i, j) :- points(i, a, b, _, s), points(j, c, d, _, s), a < c, b < d, c - a < 1 / 10 .
		Out(i; Linear(hidden, 2)(z)) :- H<2>(i; z) .
		Mean(i; mean(z)) :- Near(i, j), H<1>(j; z) .
		Both(i; z + Linear(hidden, 2, False)(m)) :- Out(i; z), ?Mean(i; m) .
		?fit <epochs=20, lr=0.02> Loss(; CrossEntropyLoss()(z, [y])) :- Both(i; z), points(i, _, _, y, "train") .
		?val <metric="accuracy", target="y"> Val(i, y; z) :- Both(i; z), points(i, _, _, y, "val") .
		?eval <name="test", metric="accuracy", target="y"> Test(i, y; z) :- Both(i; z), points(i, _, _, y, "test") .
		?pred P(i, [ArgMax(z)]) :- Both(i; z) .
	END
}

bits() {
	"$@" --json | member bits
}

@test "a program, its JSON, its flat program and its pipeline have the same bits" {
	points
	program
	rn-compile m.relnn -o m.json
	rn-compile m.relnn --to relnn -o flat.relnn
	rn-compile m.relnn --to sh -o m.sh
	want=$(bits rn-train m.relnn)
	[ -n "$want" ]
	for other in m.json flat.relnn; do
		[ "$(bits rn-train "$other")" = "$want" ]
	done
	cp P.csv want.csv
	[ "$(bits bash m.sh)" = "$want" ]
	diff P.csv want.csv
	rn-compile flat.relnn | diff m.json -
	rn-compile m.json --to relnn | diff flat.relnn -
}

@test "staged or fused, on one thread or two: the same bits" {
	points
	program
	want=$(bits rn-train m.relnn)
	[ "$(bits rn-train m.relnn --placement staged)" = "$want" ]
	[ "$(bits rn-train m.relnn -t 2)" = "$want" ]
	[ "$(bits rn-train m.relnn --source points=<(cat points.csv))" = "$want" ]
}

@test "rn-predict and rn-eval take a program's model" {
	points
	program
	rn-train m.relnn --json -o m.rnm >result.json
	cp P.csv want.csv
	rn-predict m.rnm -o again.csv
	diff again.csv want.csv
	rn-eval m.rnm --json >again.json
	[ "$(member test <again.json)" = "$(member test <result.json)" ]
	rn-explain m.relnn | grep -q 'H<1>'
	rn-compile m.rnm --to relnn | grep -q '^?stage `H<1>`'
}

@test "a model of two fits: rn-predict and rn-eval take for each run the loss that rn-train took" {
	awk 'BEGIN { print "i,x,c,y"; for (i = 0; i < 30; i++) print i "," i / 10 "," (i % 3 ? i < 15 ? "lo" : "hi" : "no") "," i * i / 100 }' >two.csv
	cat >two.relnn <<-'EOF'
		?source T = "two.csv" .
		H(i; ReLU(Linear(1, 8)([x]))) :- T(i, x) .
		Class(i; Linear(8, 3)(z)) :- H(i; z) .
		Value(i; Linear(8, 1)(z)) :- H(i; z) .
		?fit <epochs=30> L1(; CrossEntropyLoss()(z, [c])) :- Class(i; z), T(i, _, c) .
		?fit <epochs=30> L2(; MSELoss()(z, [y])) :- Value(i; z), T(i, y: y) .
		?eval <name="acc", metric="accuracy", target="c"> A(i, c; z) :- Class(i; z), T(i, _, c) .
		?eval <name="mae", metric="mae", target="y"> M(i, y; z) :- Value(i; z), T(i, y: y) .
		?pred C(i; z) :- Class(i; z) .
		?pred D(i, [ArgMax(z)]) :- Class(i; z) .
		?pred V(i; z) :- Value(i; z) .
		Right(i) :- D(i, c), T(i, _, c) .
		?pred R(i, c) :- Right(i), T(i, _, c) .
	EOF
	rn-train two.relnn -q --json -o two.rnm >train.json
	[ "$(head -n 1 C.csv)" = i,prediction,z0,z1,z2 ]
	for p in C D V R; do
		rn-predict two.rnm --stage $p -o again.csv
		cmp again.csv $p.csv
	done
	rn-eval two.rnm --json >eval.json
	for m in acc mae; do
		[ "$(member $m <eval.json)" = "$(member $m <train.json)" ]
	done
}

@test "?eval without a ?fit: metrics of a query, and of a network with other weights, in every spelling" {
	awk 'BEGIN { print "i,g,s,y"; for (i = 0; i < 40; i++) print i "," i % 4 "," (i * 7) % 11 "," (i % 3 == 0) }' >s.csv
	printf '%s\n' '?source T = "s.csv" .' 'S(i, g, y; [s]) :- T(i, g, s, y) .' \
		'N(i, y; Linear(4, 1)(ReLU(Linear(1, 4)(z)))) :- S(i, _, y; z) .' >rules
	evals='?eval <name="auc", metric="roc_auc", target="y"> (S) .
		?eval <name="mrr", metric="mrr", target="y", group="g"> (S) .
		?eval <name="mae", metric="mae", target="s"> M(i, s; [s] + 1) :- T(i, s: s) .
		?eval <name="none", metric="r2", target="k"> K(i, k: 1; [s]) :- T(i, s: s) .'
	(cat rules && echo "$evals") >e.relnn
	run -0 --separate-stderr rn-train e.relnn
	[[ $output =~ ^auc\ 0\.[0-9]{4},\ mrr\ 0\.[0-9]{4},\ mae\ 1\.0000,\ none\ undefined,\ [0-9.e-]+\ s$ ]]
	[[ $stderr == *"eval of 'K': r2 is not defined"* ]]
	metrics() { # auc and mrr of a JSON object
		echo "$(member auc <"$1") $(member mrr <"$1")"
	}
	rn-train e.relnn -q --json -o e.rnm >one.json
	# The area is that of all pairs, ties count a half.
	area=$(awk -F, 'NR > 1 { s[NR] = $3; y[NR] = $4 } END { for (a in s) for (b in s) if (y[a] && !y[b]) {
		n++; w += s[a] > s[b] ? 1 : s[a] == s[b] ? 0.5 : 0 } printf "%.4f", w / n }' s.csv)
	[ "$(printf '%.4f' "$(member auc <one.json)")" = "$area" ]
	rn-compile e.relnn -o e.json
	rn-train e.json -q --json >two.json
	rn-compile e.relnn --to sh -o e.sh
	bash e.sh -q --json >three.json
	rn-train e.relnn -q --json --placement staged -t 2 >four.json
	rn-eval e.rnm -q --json >five.json
	for other in two three four five; do
		[ "$(metrics $other.json)" = "$(metrics one.json)" ]
	done
	fails_with 2 rn-train e.relnn --epochs 3
	says "rn-train: --epochs is about a fit, and 'e.relnn' has none"
	# A network: what was trained elsewhere, or initial values, with a word.
	(cat rules && echo '?fit <epochs=9> L(; BCEWithLogitsLoss()(z, [y])) :- N(i, y; z) .') >fit.relnn
	(cat rules && echo '?eval <name="auc", metric="roc_auc", target="y"> (N) .') >n.relnn
	(cat fit.relnn n.relnn | awk '!seen[$0]++') >both.relnn
	rn-train both.relnn -q --json -o n.rnm >both.json
	rn-train n.relnn -q --json --weights-in n.rnm >n.json
	[ "$(member auc <n.json)" = "$(member auc <both.json)" ]
	run -0 --separate-stderr rn-train n.relnn
	[[ $stderr == *"nothing trains 'N"*"' and the other parameters: metrics are computed with initial values"* ]]
}

@test "inputs of a stage, some with a name and some without, in every spelling" {
	graph
	printf '%s\n' '?source N = "n.csv" .' '?stage J = join <on={"n": "n"}, and="n < 3"> (left=N, N) .' \
		'?stage L = linear <out=1> (Y) .' 'Y(n; [n]) :- J(n) .' '?stage Loss = loss <kind="mse", target="n"> (L) .' \
		'?fit <epochs=2> (Loss) .' '?pred P(n) :- J(n) .' >m.relnn
	rn-compile m.relnn -o m.json
	rn-compile m.json --to relnn -o flat.relnn
	rn-compile flat.relnn | diff m.json -
	rn-compile m.json --to sh -o m.sh
	bits rn-train m.json -q >want
	bits bash m.sh -q | cmp want -
	[ "$(cat P.csv)" = $'n\n1\n2' ]
	sed -i 's/left=/`the left`=/' m.relnn
	rn-compile m.relnn | grep -q '{"the left": "N"}'
	fails_with 2 rn-compile m.relnn --to sh
	[ "$stderr" = "rn-compile: a pipeline cannot call an input 'the left': write it as a spec or as a program" ]
}

@test "two rules over a stage that rests on a rule over another stage are no cycle" {
	printf '%s\n' n 1 2 3 >n.csv
	printf '%s\n' '?source N = "n.csv" .' '?stage A = sort <by="n"> (N) .' 'B(n) :- A(n), n > 1 .' \
		'?stage C = sort <by="n desc"> (B) .' 'D(n) :- C(n), n < 3 .' 'E(n) :- C(n), n > 2 .' \
		'F(n) :- D(n) | E(n) .' '?pred P(n) :- F(n) .' >m.relnn
	rn-train m.relnn -q
	[ "$(cat P.csv)" = $'n\n2\n3' ]
}

@test "rn-compile --to sh: a program that only answers queries" {
	graph
	cat >m.relnn <<-'EOF'
		?source N = "n.csv" .
		Big(n, l; [n] * 2) :- N(n, l), n > 1 .
		?pred P(l, k: count(*); mean(z)) :- Big(n, l; z) .
		?pred <to="q.jsonl", embedding=False> Q(n; z) :- Big(n, _; z) .
		?pred <to="r.er"> R(n, l) :- Big(n, l) .
		?pred <to="s.txt"> S(n, l) :- N(n, l) .
	EOF
	rn-train m.relnn
	rn-compile m.relnn --to sh -o m.sh
	mkdir want && mv P.csv q.jsonl r.er s.txt want
	bash m.sh
	for f in P.csv q.jsonl s.txt; do
		diff "want/$f" "$f"
	done
	diff <(rn-cat want/r.er) <(rn-cat r.er)
	[ "$(wc -l <P.csv) $(wc -l <q.jsonl)" = "4 3" ]
	run ! grep -q rn-train m.sh
}

@test "rn-compile: constants, sources and a limit from the command line" {
	points
	program
	rn-compile m.relnn --set hidden=4 | grep -q 'Linear(2, 4)'
	rn-compile m.relnn --source points=/dev/null 2>/dev/null && return 1
	cp points.csv other.csv
	rn-compile m.relnn --source points=other.csv | grep -q '"from": "other.csv"'
	fails_with 2 rn-compile m.relnn --max-instances 3
	[[ $stderr == *"the program expands to more than 3 instances (--max-instances)"* ]]
	rn-compile - <m.relnn | diff - <(rn-compile m.relnn)
}

# ---- what the reference's grammar has ----------------------------------------------------------

@test "numbers with a plus or a trailing point, empty < >, primitive embeddings, a byte order mark" {
	gives $'n,z\n1,400\n2,800\n3,1200\n4,1600' \
		$'\xef\xbb\xbfd = 2. .\n?pred P(n; [n] * +2 * d * 1.e2) :- N(n, _), n > 0. .'
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' 'K<> = x * 2 .
		R<>(n; K<>([n])) :- N(n, _) .
		def F<>():
			O(n) :- N(n, _) .
		enddef
		?pred <> P(n; z) :- R<>(n; z), F<>()(n) .'
	gives $'n,z\n1,1\n2,2\n3,3\n4,4' 'R(n; [n]) :- N(n, _) .
		?pred P(n; sum(z)) :- R(n; z) | R(n; -0) | R(n; 0.0) | R(n; False) | R(n; 1) .'
	rn-compile q.relnn --source N=n.csv -o q.json 2>err
	[ "$(grep warning err)" = 'rn-compile: warning: q.relnn:2:77: an embedding that is no variable is 0, whatever is written' ]
	gives $'n\n2\n3' '?pred P(n) :- N(n, _), n <> 4, 1 < n < 4 .'
	gives $'n,m\n1,2\n2,2' '?pred P(n, m) :- N(n, _), N(m, _), n <= m == 2 .'
	gives $'n,z\n1,3\n2,6\n3,9\n4,12' 'H<i>(n; [n] * i) :- N(n, _) .
		?pred P(n; sum(z)) :- Union(Set(H<i>(n; z) | 1 <= i <= 2)) .'
}

@test "relations called Join and Union, *f(z), functions in any case, an identical statement again" {
	gives $'n\n1\n2\n3\n4' 'Join(n) :- N(n, _) .
		Union(n) :- N(n, _) .
		?pred P(n) :- Join(n), Union(n) .'
	gives $'n,z0,z1\n1,0,1\n2,0,2\n3,0,3\n4,0,4' 'H<1>(n; -[n]) :- N(n, _) .
		H<2>(n; [n]) :- N(n, _) .
		?pred P(n; Concat(*ReLU(z))) :- Join(Set(H<i>(n; z) | 1 <= i, i <= 2)) .'
	gives $'n,z\n1,1\n2,2\n3,3\n4,4' '?pred P(n; Sqrt(View(1)([n] * [n]))) :- N(n, _) .'
	gives $'n,z\n1,3\n2,6\n3,9\n4,12' 'k = 3 .
		T = x * k .
		R(n; T([n])) :- N(n, _) .
		k = 3 . # again
		T = x  *  k .
		R(n; T([n])) :- N(n, _) .
		?pred P(n; z) :- R(n; z) .
		?pred P(n; z) :- R(n; z) .'
}

@test "an unbound z2 is embedding number 2 of the body, with a warning" {
	gives $'n,z\n1,3\n2,6\n3,9\n4,12' 'A(n; [n]) :- N(n, _) .
		B(n; [n] * 2) :- N(n, _) .
		?pred P(n; z1 + z2) :- A(n; z1), B(n; y) .'
	run --separate-stderr rn-compile q.relnn --source N=n.csv -o p.json
	[ "$status" = 0 ]
	[[ $stderr == *"q.relnn:3:19: 'z2' is bound nowhere in the body: it is taken for embedding number 2 there, 'y'"* ]]
}

@test "a rule of a source's name is over the source" {
	gives $'n\n1\n3' 'N(n) :- N(n, "x") .
		?pred P(n) :- N(n) .'
	gives $'n,m\n1,1\n2,4\n3,9\n4,16' 'N(n, m: n * n) :- N(n, _) .
		Q(n, m) :- N(n, m) .
		?pred P(n, m) :- Q(n, m) .'
}

@test "repeated parameters are more specific than others" {
	gives $'n,z\n1,10\n2,20\n3,30\n4,40' 'F<a, b>(n; [n]) :- N(n, _) .
		F<a, a>(n; [n] * 10) :- N(n, _) .
		?pred P(n; z) :- F<2, 2>(n; z) .'
	gives $'n,z\n1,5\n2,10\n3,15\n4,20' 'F<a, a>(n; [n] * 10) :- N(n, _) .
		F<1, 1>(n; [n] * 5) :- N(n, _) .
		?pred P(n; z) :- F<1, 1>(n; z) .'
	gives $'n,z\n1,1\n2,2\n3,3\n4,4' 'F<a, b>(n; [n]) :- N(n, _) .
		F<a, a>(n; [n] * 10) :- N(n, _) .
		?pred P(n; z) :- F<2, "2">(n; z) .'
}

@test "a loss with attributes, or with several features a row, is the mean of them" {
	graph
	printf '%s\n' 'Out(n; Linear(1, 4)([n])) :- N(n, _) .' '?fit <epochs=3> L(; z * z) :- Out(n; z) .' >m.relnn
	want=$(rn-train m.relnn --source N=n.csv --json -q | member bits)
	for loss in 'L(; rowmean(z * z)) :- Out(n; z)' 'L(n; z * z) :- Out(n; z)' 'L(; view(2, 2)(z * z)) :- Out(n; z)'; do
		printf '%s\n' 'Out(n; Linear(1, 4)([n])) :- N(n, _) .' "?fit <epochs=3> $loss ." >m.relnn
		[ "$(rn-train m.relnn --source N=n.csv --json -q | member bits)" = "$want" ]
	done
}

@test "Embedding of a column of strings is a vector for each of its values" {
	graph
	printf '%s\n' 'Out(n; Linear(4, 1)([Embedding(3, 4)(l)])) :- N(n, l) .' \
		'?fit <epochs=3> L(; MSELoss()(z, [n])) :- Out(n; z), N(n, _) .' >m.relnn
	rn-train m.relnn --source N=n.csv -q -o m.rnm
	rn-compile m.relnn --source N=n.csv | grep -q 'category(label, 4, init=normal)'
}

@test "programs that run nothing are compiled, and not trained" {
	graph
	printf 'R(n; [n]) :- N(n, _) .\n' >m.relnn
	rn-compile m.relnn --source N=n.csv | grep -q '"name": "R"'
	rn-explain m.relnn --source N=n.csv | grep -q R
	fails_with 2 rn-train m.relnn --source N=n.csv
	[[ $stderr == "rn-train: m.relnn:1:1: the program runs nothing: it has no ?fit, ?val, ?eval or ?pred"* ]]
}

@test "what no run reaches is checked, and hangs on no data" {
	graph
	cat >m.relnn <<-'END'
		?source Gone = "gone.csv" .
		?source Unbound .
		A(x; [y]) :- Gone(x, y) .
		B(x) :- A(x; z), Unbound(x, _, _, _) .
		C<r>(x; z) :- r(x; z), Gone(x, _) .
		D(x; sum(z)) :- Union(Set(C<r>(x; z) | Gone(r))) .
		E(x) :- Unbound(x), D(x; z) .
		?pred P(n) :- N(n, _) .
	END
	rn-compile m.relnn --source N=n.csv -o p.json
	[ "$(grep -c '"op"' p.json)" = 1 ]
}

@test "--max-instances: rn-compile, rn-train and rn-explain have it" {
	graph
	printf '%s\n' 'F<i>(n; [n] * i) :- N(n, _) .' '?pred P(n; sum(z)) :- Union(Set(F<i>(n; z) | 1 <= i, i <= 50)) .' >m.relnn
	for p in rn-compile rn-train rn-explain; do
		fails_with 2 "$p" m.relnn --source N=n.csv --max-instances 20
		[[ $stderr == *"more than 20 elements (--max-instances)"* ]]
		"$p" m.relnn --source N=n.csv --max-instances 200 >/dev/null
		fails_with 2 "$p" m.relnn --source N=n.csv --max-instances 0
	done
}

@test "--source of a name that the program does not have, or that a rule has" {
	graph
	printf '%s\n' '?source Edge = "e.csv" .' 'R(n) :- N(n, _) .' '?pred P(n) :- R(n), Edge(n, _) .' >m.relnn
	fails_with 2 rn-compile m.relnn --source N=n.csv --source Egde=e.csv
	[ "$stderr" = "rn-compile: --source Egde: nothing in m.relnn is called 'Egde'; did you mean 'Edge'?" ]
	fails_with 2 rn-compile m.relnn --source N=n.csv --source R=e.csv
	[ "$stderr" = "rn-compile: --source R: 'R' is a rule of m.relnn, and no source" ]
	# What rows of a guard may name, and a function's parameter, is warned of.
	printf 'r\nA\n' >meta.csv
	printf '%s\n' 'A(n) :- N(n, _) .' 'T<r>(n; [n]) :- r(n) .' 'def F(In):' '	O(n; z) :- In(n; z) .' 'enddef' \
		'S(n; sum(z)) :- Union(Set(T<r>(n; z) | Meta(r))) .' '?pred P(n; z) :- F(S)(n; z) .' >m.relnn
	for name in Other In; do
		run --separate-stderr rn-compile m.relnn --source N=n.csv --source Meta=meta.csv --source "$name=e.csv" -o p.json
		[ "$status" = 0 ]
		[[ $stderr == "rn-compile: warning: --source $name: "* ]]
	done
}

@test "the NULLs of a column are told of once, however many runs embed it" {
	printf 'n,a\n1,\n2,3\n3,\n' >a.csv
	printf '%s\n' 'Out(n; Linear(1, 1)([a])) :- A(n, a) .' \
		'?fit <epochs=2> L(; MSELoss()(z, [n])) :- Out(n; z), A(n, _) .' '?pred P(n; z) :- Out(n; z) .' >m.relnn
	run --separate-stderr rn-train m.relnn --source A=a.csv -o m.rnm
	[ "$status" = 0 ]
	[ "$(grep -c "column 'a': 2 of 3 values are NULL, taken as 0" <<<"$stderr")" = 1 ]
}

@test "Embedding of strings under one name is one table, of the same values wherever it is used" {
	graph
	local fit='?fit <epochs=1> L(; MSELoss()(z, [n])) :- O(n; z) .'
	printf '%s\n' 'E = Embedding(3, 4, init="zeros") .' 'A(n; E([l])) :- N(n, l) .' 'B(n; E([l])) :- N(n, l) .' \
		'O(n; rowsum(y + z)) :- A(n; y), B(n; z) .' "$fit" >m.relnn
	[ "$(rn-train m.relnn --source N=n.csv -q --json --weights-out w -o m.rnm | member parameters)" = 16 ] # x, y, z, NULL
	[ "$(ls w)" = E.weight.npy ]
	rn-compile m.relnn --source N=n.csv -o m.json
	[ "$(grep -c 'category(label, 4, init=."zeros.", name=."E.")' m.json)" = 2 ]
	[ "$(rn-train m.json -q --json | member bits)" = "$(rn-train m.relnn --source N=n.csv -q --json | member bits)" ]
	rn-predict m.rnm --stage O -o again.csv
	[ "$(wc -l <again.csv)" = 5 ]
	# Each instance of a template has its own, and what has no name, too.
	sed -i 's/^E = .*/E<i> = Embedding(3, 4) ./; s/E(\[l\]))/E<7>([l]))/' m.relnn
	sed -i '/^B/s/7/8/' m.relnn
	[ "$(rn-train m.relnn --source N=n.csv -q --json --weights-out v | member parameters)" = 32 ]
	[ "$(ls v | paste -sd ' ')" = 'E<7>.weight.npy E<8>.weight.npy' ]
	# Other values: refused.
	printf 'n,l,m\n1,x,x\n2,y,z\n3,x,y\n4,z,w\n' >two.csv
	printf '%s\n' 'E = Embedding(3, 4) .' 'O(n; rowsum(E([l]) + E([m]))) :- M(n, l, m) .' "$fit" >m.relnn
	fails_with 2 rn-train m.relnn --source M=two.csv
	says "rn-train: m.relnn:2: encode 'O/encode2': parameter 'E.weight' lacks 1 of the 5 values of column 'm': it was made for those of another stage; give the two names of their own, or fit both on rows with equal values"
	# In the toolkit, too.
	rn-scan two.csv | rn-encode 'category(l, 2, name=city)' --as a | rn-encode 'category(l, 2, name=city)' --as b |
		rn-map 'rowsum(a + b)' | rn-loss mse --target n | rn-train - --epochs 1 -q --json | member parameters | grep -qx 8
}

@test "a union's embedding is what an atom calls it, also where a constant is called so" {
	graph
	local a='A(n; [n]) :- N(n, _) . '
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' "h = 2 . $a?pred P(n; sum(h)) :- A(n; h) | A(n; h) ."
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' "h = x * 9 . $a?pred P(n; h) :- A(n; h) | A(n; y) ."
	gives $'n,z\n1,4\n2,8\n3,12\n4,16' "h = 2 . $a?pred P(n; h * q) :- A(n; z) | A(n; z) ."
	gives $'n,z\n1,4\n2,8\n3,12\n4,16' "h = 2 . $a"'W<i>(n; i * z) :- A(n; z) .
		?pred P(n; h) :- Union(Set(W<i>(n; h) | 1 <= i, i <= 3, i != 2)) .'
	gives $'n,z\n1,2\n2,4\n3,6\n4,8' "$a"'S<h>(n; sum(h)) :- A(n; h) | A(n; h) . ?pred P(n; z) :- S<5>(n; z) .'
	gives $'n,prediction\n1,2\n2,4\n3,6\n4,8' "$a?pred P(n, [z]) :- A(n; z) | A(n; y) ."
	gives $'n,x\n1,4\n2,8\n3,12\n4,16' "h = 2 . $a?pred P(n, x: [2 * h]) :- A(n; h) | A(n; h) ."
	echo "h = 2 . d = 3 . $a?pred P(n; h * d) :- A(n; h) | A(n; d) ." >q.relnn
	fails_with 2 rn-compile q.relnn --source N=n.csv
	[[ $stderr == *"the embedding of a union has one variable, and here are 'h' and 'd'"* ]]
}

@test "a second run of a name has the modules of the first, a fit of a rule those of the rule" {
	graph
	loss() { echo "?fit <epochs=$1, lr=0.1> L($2; MSELoss()(Linear(1, 1)([n]), [n])) :- N(n, _) ."; }
	{ loss 3; loss 4; } >q.relnn
	[ "$(rn-train q.relnn --source N=n.csv -q --json --weights-out w | member parameters)" = 2 ]
	[ "$(ls w | paste -sd ' ')" = 'L.bias.npy L.weight.npy' ]
	# As where the module has a name.
	sed 's/1)(/1, name="L")(/' q.relnn >named.relnn
	[ "$(rn-train q.relnn --source N=n.csv -q --json | member bits)" = \
		"$(rn-train named.relnn --source N=n.csv -q --json | member bits)" ]
	rn-compile q.relnn --source N=n.csv -o q.json
	[ "$(rn-train q.json -q --json | member bits)" = "$(rn-train q.relnn --source N=n.csv -q --json | member bits)" ]
	rn-compile q.json --to relnn -o back.relnn
	[ "$(rn-train back.relnn -q --json | member parameters)" = 2 ]
	# Losses by groups, of aggregates, and of encoded columns are called so, too.
	{ loss 1; loss 1 n; } >q.relnn
	[ "$(rn-train q.relnn --source N=n.csv -q --json | member parameters)" = 2 ]
	{ loss 1; loss 1; } | sed 's/Linear(1, 1)(\[n\])/rowsum([category(l, 2)])/; s/_/l/' >q.relnn
	[ "$(rn-train q.relnn --source N=n.csv -q --json | member parameters)" = 8 ]
	{ loss 1; loss 1; } | sed 's/; MSELoss()/; sqrt(mean(abs/; s/, \[n\])) :-/ - [n])))) :-/' >q.relnn
	[ "$(rn-train q.relnn --source N=n.csv -q --json --weights-out v | member parameters)" = 2 ]
	[ "$(ls v | paste -sd ' ')" = 'L.agg.bias.npy L.agg.weight.npy' ]
	printf '%s\n' 'Loss(; MSELoss()(Linear(1, 1)([n]), [n])) :- N(n, _) .' '?fit <epochs=3, lr=0.1> (Loss) .' \
		'?pred P(; z) :- Loss(; z) .' >q.relnn
	[ "$(rn-train q.relnn --source N=n.csv -q --json --weights-out u | member parameters)" = 2 ]
	[ "$(ls u | paste -sd ' ')" = 'Loss.bias.npy Loss.weight.npy' ]
	# Other shapes under one name are an error.
	{ loss 1; loss 1 | sed 's/1)(\[n\])/2)([n])/; s/MSE/Smooth/; s/Smooth/SmoothL1/; s/\[n\])) :-/[n, n])) :-/'; } >q.relnn
	fails_with 2 rn-train q.relnn --source N=n.csv
	[[ $stderr == *"parameter 'L.weight' is [1,1] where it was asked for first and [1,2] here"* ]]
}

@test "NULL in a guard: equal to no other, in no condition, and selected by None" {
	graph
	printf 'ts,rel,tt\nA,x,B\n,y,A\nB,z,\n' >meta.csv
	rows() {
		echo "?pred P(n, r) :- Union(Set(N(n, r) | $1)) ." >q.relnn
		rn-train q.relnn -q --source N=n.csv --source Meta=meta.csv
		[ "$(sed 1d P.csv | sort | paste -sd ' ')" = "$2" ] || { cat P.csv; return 1; }
	}
	rows 'Meta(_, r, _)' '1,x 2,y 3,x 4,z'
	rows 'Meta(t, r, _), Meta(t, _, _)' '1,x 3,x 4,z'
	rows 'Meta(t, r, u), t != u' '1,x 3,x'
	rows 'Meta(t, r, _), t != "A"' '4,z'
	rows 'Meta(t, r, _), t < "Z"' '1,x 3,x 4,z'
	rows 'Meta(None, r, _)' '2,y'
	rows 'Meta(t, r, _), t == None' '2,y'
	rows 'Meta(t, r, _), t != None' '1,x 3,x 4,z'
}

@test "a sum of a thousand embeddings" {
	graph
	gives $'n,z\n1,1000\n2,2000\n3,3000\n4,4000' "?pred P(n; [n]$(printf ' + [n]%.0s' {1..999})) :- N(n, _) ."
}

@test "an error met when a stage runs names the line of the program" {
	printf 'a,y\n1,0\n4,1\n7,7\n' >t.csv
	cat >p.relnn <<-'END'
		?source T = "t.csv" .

		E(a;
		  Embedding(3, 2)([y])) :- T(a, y) .
		?stage S = encode <expr="index(y, 3)"> (T) .
		?stage L = linear <out=2> (S) .
		?fit <epochs=2> Loss(; MSELoss()(rowsum(z), [a])) :- E(a; z) .
	END
	fails_with 3 rn-train p.relnn
	[[ $stderr == "rn-train: p.relnn:4: agg 'E': Embedding(3, 2): row 2 has index 7"* ]]
	fails_with 3 rn-train - <p.relnn
	[[ $stderr == "rn-train: standard input:4: agg 'E': "* ]]
	sed -i 's/:- E(a; z)/:- L(a, _; z)/' p.relnn
	fails_with 3 rn-train p.relnn
	[[ $stderr == "rn-train: p.relnn:5: encode 'S': "*": 7 is not in 0 "* ]]
}

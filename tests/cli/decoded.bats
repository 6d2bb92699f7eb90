#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What a ?pred decodes as content of later ?preds: the column of a prediction joined, selected,
# grouped and decoded again, in each way that a plan is run; what may not rest on it; and a column
# beside another embedding.  What is expected is made of the first prediction's file by other tools.

load lib

author() {
	awk 'BEGIN {
		split("Theory Systems Graphs", f, " ")
		print "a,age,f,split"
		for (i = 0; i < 30; i++)
			printf "%d,%d,%s,%s\n", i, 20 + 20 * (i % 3) + (i * 7) % 19, f[i % 3 + 1], i < 18 ? "train" : "test"
	}' >author.csv
	awk 'BEGIN { print "u,v"; for (i = 0; i < 30; i++) printf "%d,%d\n%d,%d\n", i, (i + 3) % 30, i, (i + 7) % 30 }' >cites.csv
	printf 'f,room\nTheory,7\nSystems,8\nMusic,9\n' >field.csv
}

net='?source Author = "author.csv" .
?source Cites = "cites.csv" .
?source Field = "field.csv" .
E(u, v) :- Cites(u, v) | Cites(v, u) .
H(u; Linear(1, 8)([age] / 60)) :- Author(u, age) .
Near(u; mean(z)) :- E(u, v), H(v; z) .
Out(u; Linear(8, 3)(ReLU()(z + y))) :- H(u; z), Near(u; y) .'
fit='?fit <epochs=25, lr=0.05> Loss(; CrossEntropyLoss()(z, [f])) :- Out(a; z), Author(a, _, f, "train") .'
pred='?pred P(a, [ArgMax(z)]) :- Out(a; z) .'

program() {
	[ -e author.csv ] || author
	printf '%s\n' "$net" "$@" >m.relnn
}

later='Right(a, p) :- P(a, p), Author(a, _, p) .
?pred Only(a, p) :- P(a, p), p = "Theory" .
?pred Const(a) :- P(a, "Theory") .
?pred Room(a, p, r) :- P(a, p), Field(p, r) .
?pred Count(p, n: count(*)) :- P(_, p) .
?pred Unused(f) :- Field(f, _), !P(_, f) .
?pred Homeless(a, p) :- P(a, p), !Field(p, _) .
?pred Hits(n: count(*)) :- Right(_, _) .
?pred Alike(u, v, p) :- P(u, p), P(v, p), Cites(u, v) .
?pred Mean(p; mean(z)) :- P(a, p), Out(a; z) .
?pred Group(p, guess: [ArgMax(z)]) :- P(a, p), Out(a; z) .
?pred Chain(p, q, n: count(*)) :- Group(p, q), P(_, q) .'

# rows FILE: sorted, without the header.
rows() {
	sed 1d "$1" | LC_ALL=C sort
}

same_rows() {
	diff <(rows "$1") <(LC_ALL=C sort) || {
		echo "$1 is otherwise"
		return 1
	}
}

@test "a decoded column is selected, joined, counted and compared" {
	program "$fit" "$pred" "$later"
	rn-train m.relnn -q --output-dir o
	[ "$(wc -l <o/P.csv)" = 31 ]
	[ "$(rows o/P.csv | cut -d, -f2 | sort -u | wc -l)" -ge 2 ]
	rows o/P.csv | grep ,Theory$ | same_rows o/Only.csv
	rows o/P.csv | sed -n 's/,Theory$//p' | same_rows o/Const.csv
	rows o/P.csv | awk -F, 'BEGIN { r["Theory"] = 7; r["Systems"] = 8 } $2 in r { print $0 "," r[$2] }' |
		same_rows o/Room.csv
	rows o/P.csv | cut -d, -f2 | sort | uniq -c | awk '{ print $2 "," $1 }' | same_rows o/Count.csv
	comm -23 <(rows field.csv | cut -d, -f1 | sort) <(rows o/P.csv | cut -d, -f2 | sort -u) | same_rows o/Unused.csv
	rows o/P.csv | grep ,Graphs$ | same_rows o/Homeless.csv
	join -t, <(rows o/P.csv) <(rows author.csv | cut -d, -f1,3) | awk -F, '$2 == $3' | wc -l | same_rows o/Hits.csv
	awk -F, 'FNR == 1 { next } NR == FNR { p[$1] = $2; next } p[$1] == p[$2] { print $1 "," $2 "," p[$1] }' \
		o/P.csv cites.csv | same_rows o/Alike.csv
}

@test "and of it embeddings are written, decoded again and used again" {
	program "$fit" "$pred" '?pred Logits(a; z) :- Out(a; z) .' "$later"
	rn-train m.relnn -q --output-dir o
	# the mean of the logits of each predicted class
	awk -F, 'FNR == 1 { next } NR == FNR { p[$1] = $2; next }
		{ n[p[$1]]++; for (k = 0; k < 3; k++) s[p[$1], k] += $(3 + k) }
		END { for (c in n) printf "%s,%.4f,%.4f,%.4f\n", c, s[c, 0] / n[c], s[c, 1] / n[c], s[c, 2] / n[c] }' \
		o/P.csv o/Logits.csv | LC_ALL=C sort >want
	sed 1d o/Mean.csv | awk -F, '{ printf "%s,%.4f,%.4f,%.4f\n", $1, $3, $4, $5 }' | LC_ALL=C sort | diff want -
	[ "$(head -n 1 o/Group.csv)" = p,guess ]
	# the class whose logits are largest in sum, which is that of their mean
	awk -F, '{ m = 2; for (k = 3; k <= 4; k++) if ($k > $m) m = k; split("Graphs Systems Theory", c, " "); print $1 "," c[m - 1] }' \
		want | same_rows o/Group.csv
	awk -F, 'FNR == 1 { next } NR == FNR { n[$2]++; next } n[$2] { print $0 "," n[$2] }' o/P.csv o/Group.csv |
		same_rows o/Chain.csv
}

@test "the same bytes as JSON, as the program that a plan is, staged, and from a model" {
	program "$fit" "$pred" "$later"
	rn-train m.relnn -q --output-dir o -o m.rnm
	rn-compile m.relnn -o m.json
	rn-compile m.json --to relnn -o flat.relnn
	rn-compile flat.relnn | diff m.json -
	rn-train m.json -q --output-dir json
	diff -r o json
	rn-train flat.relnn -q --output-dir flat
	diff -r o flat
	rn-train m.relnn -q --output-dir staged --placement staged
	diff -r o staged
	for n in P Only Count Alike Unused Mean Group Chain; do
		rn-predict m.rnm --stage $n -o $n.csv
		cmp $n.csv o/$n.csv
	done
	rn-train m.relnn -q --no-rewrite all --output-dir plain
	diff -r o plain
	fails_with 2 rn-compile m.relnn --to sh
	[[ $stderr == *"decodes predictions at its end"* ]]
}

@test "a model decodes other rows, and several runs the chosen one's" {
	program "$fit" "$pred" '?pred Count(p, n: count(*)) :- P(_, p) .'
	rn-train m.relnn -q --runs 3 --output-dir o -o m.rnm
	rows o/P.csv | cut -d, -f2 | sort | uniq -c | awk '{ print $2 "," $1 }' | same_rows o/Count.csv
	rn-predict m.rnm --stage Count -o count.csv
	cmp count.csv o/Count.csv
	head -n 8 author.csv >few.csv
	rn-predict m.rnm --stage P --source Author=few.csv -o p.csv
	rn-predict m.rnm --stage Count --source Author=few.csv -o count.csv
	[ "$(rows count.csv | awk -F, '{ n += $2 } END { print n }')" = "$(rows p.csv | wc -l)" ]
	rows p.csv | cut -d, -f2 | sort | uniq -c | awk '{ print $2 "," $1 }' | same_rows count.csv
}

@test "to= and standard output" {
	program "$fit" '?pred <to="first.jsonl"> P(a, [ArgMax(z)]) :- Out(a; z) .' \
		'?pred <to="-"> Count(p, n: count(*)) :- P(_, p) .'
	rn-train m.relnn -q >out.csv
	[ "$(head -n 1 out.csv)" = p,n ]
	[ "$(rows out.csv | awk -F, '{ n += $2 } END { print n }')" = 30 ]
	[ "$(wc -l <first.jsonl)" = 30 ]
}

@test "each decoded column has the weights of its place" {
	program "$(sed 's/epochs=25/epochs=1/' <<<"$fit")" '?pred <as="p"> A(a, [ArgMax(z)]) :- Out(a; z) .' \
		'?fit <epochs=60, lr=0.05> (Loss) .' '?pred <as="p"> B(a, [ArgMax(z)]) :- Out(a; z) .' \
		'?pred Moved(a, p, q) :- A(a, p), B(a, q), p != q .'
	for runs in 1 2; do
		rm -rf o
		rn-train m.relnn -q --runs $runs --output-dir o
		join -t, <(rows o/A.csv) <(rows o/B.csv) | awk -F, '$2 != $3' >want
		[ -s want ]
		same_rows o/Moved.csv <want
	done
}

@test "without a fit: classes by their numbers, and initial weights of later stages, too" {
	program "$pred" '?pred Count(p, n: count(*)) :- P(_, p) .' 'Mean(p; mean(z)) :- P(a, p), Out(a; z) .' \
		'?pred More(p; Linear(3, 2)(z)) :- Mean(p; z) .'
	rn-train m.relnn -q --output-dir o -o m.rnm
	rows o/P.csv | cut -d, -f2 | sort | uniq -c | awk '{ print $2 "," $1 }' | same_rows o/Count.csv
	rows o/Count.csv | grep -q '^[012],'
	rn-predict m.rnm --stage More -o more.csv
	cmp more.csv o/More.csv
	[ "$(head -n 1 more.csv)" = p,z0,z1 ]
}

@test "by place in the head, by name, beside probabilities, of labels that are numbers" {
	program "$fit" '?pred Mid(a, [ArgMax(z)], f) :- Out(a; z), Author(a, _, f) .' \
		'?pred Same(n: count(*)) :- Mid(_, p, p) .' '?pred Field1(f) :- Mid(1, _, f) .' \
		'?pred Plain(a; z) :- Out(a; z) .' '?pred Named(a, p) :- Plain(a, prediction: p) .' \
		'?pred Second(a, p) :- Plain(a, p) .' '?pred Class(a; ArgMax()(z)) :- Out(a; z) .' \
		'?pred Label(a, p; k) :- Class(a, prediction: p; k) .'
	rn-train m.relnn -q --output-dir o
	awk -F, 'NR > 1 && $2 == $3' o/Mid.csv | wc -l | same_rows o/Same.csv
	[ "$(rows o/Field1.csv)" = Systems ]
	rows o/Plain.csv | cut -d, -f1,2 | same_rows o/Named.csv
	cmp o/Named.csv o/Second.csv
	sed 1d o/Class.csv | LC_ALL=C sort | same_rows o/Label.csv

	awk 'BEGIN { print "a,x,y,g,b"; for (i = 0; i < 20; i++)
		printf "%d,%g,%g,%d,%s\n", i, i / 10, i * 0.3, 10 * (i % 2) + 5, i % 2 ? "true" : "false" }' >n.csv
	cat >k.relnn <<'END'
?source N = "n.csv" .
L(a; Linear(1, 2)([x])) :- N(a, x) .
R(a; Linear(1, 1)([x])) :- N(a, x) .
?fit <epochs=20, lr=0.1> Reg(; MSELoss()(z, [y])) :- R(a; z), N(a, _, y) .
?pred Val(a; z) :- R(a; z) .
?pred High(a) :- Val(a, v), v > 1.5 .
?fit <epochs=20> Gap(; CrossEntropyLoss()(z, [g])) :- L(a; z), N(a, _, _, g) .
?pred G(a, g: [ArgMax(z)]) :- L(a; z) .
?pred Sum(s: sum(g)) :- G(_, g) .
?fit <epochs=20> Bin(; BCEWithLogitsLoss()(z, [b])) :- R(a; z), N(a, _, _, _, b) .
?pred B(a; z) :- R(a; z) .
?pred Yes(a, p) :- B(a, prediction: yes, probability: p), yes == true .
END
	rn-train k.relnn -q --output-dir k
	rows k/Val.csv | awk -F, '$2 > 1.5 { print $1 }' | same_rows k/High.csv
	rows k/G.csv | awk -F, '{ s += $2 } END { print s }' | same_rows k/Sum.csv
	rows k/B.csv | awk -F, '$2 == "true" { print $1 "," $3 }' | same_rows k/Yes.csv
}

@test "an atom that does not read the column rests on no prediction: fits may use it" {
	program "$fit" "$pred" '?pred Keep(a) :- P(a, _), a < 2 .' \
		'?fit <epochs=2> Fine(; CrossEntropyLoss()(z, [f])) :- P(a; z), Author(a, _, f, "train") .'
	rn-train m.relnn -q --output-dir o
	[ "$(rows o/Keep.csv | tr '\n' ' ')" = '0 1 ' ]
	rn-explain m.relnn >text
	run ! grep -q ' late$' text
}

@test "rn-explain marks what waits for a prediction" {
	program "$fit" "$pred" "$later"
	rn-explain m.relnn >text
	grep -q '^P/decode *= decode(P) label --as prediction --type string --fit Loss .*  late$' text
	grep -q '^Count *= .*late$' text
	run ! grep -q '^Out *= .*late$' text
	rn-explain m.relnn --dot | grep -q 'style=dashed'
	rn-explain m.relnn --analyze --epochs 2 >/dev/null
	rn-explain m.relnn --placement staged | grep -q '^staged fit(Loss)'
}

# refused "MESSAGE" LINE:COLUMN STATEMENT...
refused() {
	local want=$1 at=$2
	shift 2
	program "$fit" "$pred" "$@"
	fails_with 2 rn-compile m.relnn
	if [[ $stderr != *"m.relnn:$at: "*"$want"* || $stderr != *^* ]]; then
		echo "$stderr"
		return 1
	fi
}

@test "what is learned or measured does not rest on a decoded column" {
	refused "rests on a column that a pred run decodes, and that is known when all fits are over: write that prediction to a file (to=)" \
		10:24 '?fit <epochs=2> Fine(; CrossEntropyLoss()(z, [p])) :- Out(a; z), P(a, p) .'
	refused "'Ev' rests on a column that a pred run decodes" 10:42 \
		'?eval <metric="accuracy", target="p">    Ev(a, p; z) :- Out(a; z), P(a, p) .'
	refused "'Va' rests on a column that a pred run decodes" 10:41 \
		'?val <metric="accuracy", target="p">    Va(a, p; z) :- Out(a; z), P(a, p) .'
	refused "no column 'prediction' in P" 10:8 "?stage S = filter <expr=\"prediction = 'x'\"> (P) ." \
		'?pred T(a) :- S(a) .'
	refused "encodes a decoded column" 10:7 '?pred W(a; [OneHot()(p)]) :- P(a, p) .'
	refused "whose parameters no fit trains" 10:7 '?pred W(a; Linear(3, 2)(z)) :- P(a, "Theory"; z) .'
}

@test "its type and its place are checked when the program is compiled" {
	refused "'=' does not compare string with int64" 10:24 '?pred X(a) :- P(a, p), p = 3 .'
	refused "'P' has 2 columns, and here are 3 places" 10:21 '?pred Y(a, p, q) :- P(a, p, q) .'
	refused "no column 'nix' in P" 10:23 '?pred Z(a, p) :- P(a, nix: p) .'
	program '?pred X(a, p) :- P(a, p) .' "$fit" "$pred"
	fails_with 2 rn-compile m.relnn
	[[ $stderr == *"8:18: what the ?pred 'P' decodes may be used behind it"* ]]
	program "$pred" '?pred X(a, p) :- P(a, p) .' "$fit"
	fails_with 2 rn-compile m.relnn
	[[ $stderr == *"8:7: a later ?fit says what this prediction means"* ]]
}

@test "a spec's decode is checked against its fits" {
	program "$fit" "$pred" '?pred Count(p, n: count(*)) :- P(_, p) .'
	rn-compile m.relnn -o m.json
	sed 's/"fit": "Loss"/"fit": "Nix"/' m.json >bad.json
	fails_with 2 rn-train bad.json -q
	[[ $stderr == *"decode 'P/decode': no fit has a loss 'Nix'"* ]]
	sed 's/"fits": 1/"fits": 2/' m.json >bad.json
	fails_with 2 rn-train bad.json -q
	[[ $stderr == *"decode 'P/decode': the plan has no 2 fits"* ]]
	sed 's/"type": "string"/"type": "int64"/' m.json >bad.json
	fails_with 2 rn-train bad.json -q
	[[ $stderr == *"the labels of 'Loss' are string"* ]]
	[ ! -e P.csv ]
}

@test "a value in brackets beside another embedding" {
	program "$fit" '?pred Logits(a; z) :- Out(a; z) .' '?pred A(a, s: [rowsum(z)]; z) :- Out(a; z) .' \
		'?pred B(a, [ArgMax(0 - z)]; z) :- Out(a; z) .' '?pred C(f, [ArgMax(z)]; mean(y)) :- Out(a; z), H(a; y), Author(a, _, f) .' \
		'?pred D(a, s; y) :- A(a, s; y), s > 0 .' '?pred F(a; y) :- A(a; y) .' '?pred G(p, n: count(*)) :- B(_, p; z) .'
	rn-train m.relnn -q --output-dir o -o m.rnm
	[ "$(head -n 1 o/A.csv)" = a,s,z0,z1,z2 ]
	paste -d, o/A.csv o/Logits.csv | awk -F, 'NR > 1 && ($3 != $8 || $4 != $9 || $5 != $10 || ($2 - $3 - $4 - $5) ^ 2 > 1e-8)' >bad
	[ ! -s bad ]
	[ "$(head -n 1 o/B.csv)" = a,prediction,z0,z1,z2 ]
	awk -F, 'NR > 1 { m = 3; for (k = 4; k <= 5; k++) if ($k < $m) m = k; split("Graphs Systems Theory", c, " ")
		if (c[m - 2] != $2) print }' o/B.csv >bad
	[ ! -s bad ]
	[ "$(head -n 1 o/C.csv | cut -d, -f1,2,10)" = f,prediction,z7 ]
	[ "$(rows o/D.csv | cut -d, -f1)" = "$(rows o/A.csv | awk -F, '$2 > 0 { print $1 }')" ]
	cmp o/F.csv o/Logits.csv
	rows o/B.csv | cut -d, -f2 | sort | uniq -c | awk '{ print $2 "," $1 }' | same_rows o/G.csv
	for n in A B C D G; do
		rn-predict m.rnm --stage $n -o $n.csv
		cmp $n.csv o/$n.csv
	done
	rn-compile m.relnn -o m.json
	rn-compile m.json --to relnn -o flat.relnn
	rn-compile flat.relnn | diff m.json -
	program "$fit" '?pred A(a, s: [rowsum(z)]; z) :- Out(a; z) .'
	fails_with 2 rn-compile m.relnn --to sh
	[[ $stderr == *"'A' another one: write it as a spec"* ]]
}

@test "what a late run reads beside: sparse embeddings, optional atoms, a source that is read once" {
	program "$fit" "$pred" 'S(a; [index(a, 40)]) :- Author(a) .' '?pred Sparse(a, p; x) :- P(a, p), S(a; x), a < 2 .' \
		'?pred Maybe(a, p, r) :- P(a, p), ?Once(p, r) .' '?pred Twice(p, r) :- P(_, p), Once(p, r) .'
	mkfifo once
	cat field.csv >once &
	rn-train m.relnn -q --source Once=once --output-dir o
	[ "$(cut -d, -f1,3 o/Sparse.csv | tr '\n' ' ')" = 'a,z 0,0:1 1,1:1 ' ]
	rows o/P.csv | awk -F, 'BEGIN { r["Theory"] = 7; r["Systems"] = 8 } { print $0 "," r[$2] }' | same_rows o/Maybe.csv
	rows o/Maybe.csv | awk -F, '$3 != "" { print $2 "," $3 }' | sort -u | same_rows o/Twice.csv
}

@test "a stage that two runs predict in different ways is predicted by the name of one" {
	printf 'a,y\n1,0\n4,1\n7,7\n' >t.csv
	cat >m.json <<-'END'
		{"rn": 1, "sources": {"t": {"from": "t.csv"}},
		 "stages": [{"name": "e", "op": "encode", "in": "t", "expr": "raw(a)"},
		  {"name": "h", "op": "linear", "in": "e", "out": 2},
		  {"name": "l", "op": "map", "in": "h", "expr": "MSELoss()(rowsum(z), [y])"},
		  {"name": "v", "op": "loss", "in": "l", "kind": "value"}],
		 "run": [{"fit": {"loss": "v", "epochs": 2}},
		  {"pred": {"name": "P", "in": "h", "embedding": true, "to": "p.csv"}},
		  {"pred": {"name": "Q", "in": "h", "embedding": false, "to": "q.csv"}},
		  {"pred": {"name": "R", "in": "e", "to": "r.csv"}}, {"pred": {"name": "S", "in": "e", "to": "s.csv"}}]}
	END
	rn-train m.json -q -o m.rnm
	fails_with 2 rn-predict m.rnm --stage h -o h.csv
	says "rn-predict: stage 'h' is predicted by the runs 'P' and 'Q', whose options differ: name one of these with --stage"
	rn-predict m.rnm --stage P -o h.csv
	cmp h.csv p.csv
	rn-predict m.rnm --stage Q -o h.csv
	cmp h.csv q.csv
	rn-predict m.rnm --stage e -o e.csv
	cmp e.csv s.csv
}

@test "a stage that two runs predict alike, one by a default and one by its value" {
	printf 'a,y\n1,0\n4,1\n7,7\n' >t.csv
	for same in '"embedding": true' '"decode": "auto"' '"as": "prediction"'; do
		cat >m.json <<-END
			{"rn": 1, "sources": {"t": {"from": "t.csv"}},
			 "stages": [{"name": "e", "op": "encode", "in": "t", "expr": "raw(a)"},
			  {"name": "h", "op": "linear", "in": "e", "out": 2},
			  {"name": "l", "op": "map", "in": "h", "expr": "MSELoss()(rowsum(z), [y])"},
			  {"name": "v", "op": "loss", "in": "l", "kind": "value"}],
			 "run": [{"fit": {"loss": "v", "epochs": 2}},
			  {"pred": {"name": "P", "in": "h", "to": "p.csv"}}, {"pred": {"name": "Q", "in": "h", $same}}]}
		END
		rn-train m.json -q -o m.rnm
		rn-predict m.rnm --stage h -o h.csv
		cmp h.csv p.csv
	done
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What query programs say when they are wrong: one test for every construct that is
# refused, with the whole message.  golden/lang has programs and their messages:
#
#   #: what it is about
#   the program
#   #> what rn-compile says, without its name in front of each line

load lib

golden="$BATS_TEST_DIRNAME/../golden/lang"

# The cases of a file, as CASE.relnn and CASE.want.
cases() {
	awk '/^#: / { n++; name = sprintf("%03d", n); next }
		/^#> ?/ { sub(/^#> ?/, ""); print >(name ".want"); next }
		{ print >(name ".relnn") }' "$1"
}

check() {
	local n=0 bad=0
	printf 'n,label\n1,x\n2,y\n3,x\n4,z\n' >N.csv
	printf 'a,b,w\n1,2,0.5\n1,3,1.5\n' >E.csv
	printf 'ts,rel,tt\nA,W,B\n,W,A\n' >Meta.csv
	rn-encode "raw(n)" N.csv -o X.er
	cases "$golden/$1"
	for p in [0-9]*.relnn; do
		cp "$p" p.relnn
		run --separate-stderr rn-compile p.relnn --source N=N.csv --source E=E.csv --source Meta=Meta.csv \
			--source X=X.er
		n=$((n + 1))
		if [ "$status" != 2 ] ||
			! diff <(printf '%s\n' "$stderr" | sed 's/^rn-compile: //') "${p%.relnn}.want" >diff.out; then
			bad=$((bad + 1))
			echo "case ${p%.relnn} of $1: exit status $status"
			cat "$p" diff.out
		fi
	done
	[ "$n" -ge "$2" ]
	[ "$bad" = 0 ]
}

@test "syntax: what was expected, and where" {
	check syntax.txt 32
}

@test "names: unknown ones, with a suggestion; arities; what is bound nowhere" {
	check names.txt 46
}

@test "templates, sets and functions" {
	check templates.txt 63
}

@test "types, shapes and settings" {
	check types.txt 72
}

@test "runs: metrics, predictions and losses against what they are of" {
	check runs.txt 27
}

@test "several errors in one run, in the order of the program" {
	check several.txt 3
}

# says_of PROGRAM MESSAGE: the first line of what rn-compile says of p.relnn, which PROGRAM prints.
says_of() {
	printf 'n,label\n1,x\n2,y\n' >N.csv
	eval "$1" >p.relnn
	fails_with 2 rn-compile p.relnn --source N=N.csv
	if [ "${stderr%%$'\n'*}" != "rn-compile: p.relnn:$2" ]; then
		echo "${stderr%%$'\n'*}"
		return 1
	fi
}

@test "limits: what is too long, too wide or too deep says so" {
	says_of 'echo "?pred P(n; $(printf "(%.0s" {1..300})[n]) :- N(n, _) ."' \
		'1:212: nested more than 200 deep'
	says_of 'echo "?pred P(n; [n]$(printf " + [n]%.0s" {1..2000})) :- N(n, _) ."' \
		'1:12: more than 1000 operators in one expression'
	says_of 'echo "?pred P(n) :- N(n, _)$(printf ", N(n, _)%.0s" {1..500}) ."' \
		'1:7: a body joins at most 500 relations, and this one 501'
	says_of 'echo "?pred P($(printf "n, %.0s" {1..4097})) :- N(n, _) ."' \
		'1:7: a head has at most 4096 columns, and this one 4097'
	says_of 'echo "R0(n) :- N(n, _) ."; for ((i = 0; i < 1100; i++)); do echo "R$((i + 1))(n) :- R$i(n) ."; done
		echo "?pred P(n) :- R1100(n) ."' \
		"103:12: 'R101': more than 1000 rules rest on each other"
	says_of 'echo "S0(n) :- N(n, _) ."
		for ((i = 0; i < 150; i++)); do echo "?stage T$i = sort <by=\"n\"> (S$i) ."; echo "S$((i + 1))(n) :- T$i(n) ."; done
		echo "?pred P(n) :- S150(n) ."' \
		'100:8: more than 100 stages and rules rest on each other'
	says_of 'echo "?pred P(n) :- Union(Set(N(n, _) | 1 <= i, i <= 1000000)) ."' \
		'1:15: this set has more than 100000 elements (--max-instances)'
	says_of 'head -c 16777217 /dev/zero | tr "\0" " "' '1:1: the program is longer than 16777216 bytes'
}

@test "limits: a short program that comes to very much is told so, and soon" {
	[ "${RN_VARIANT:-release}" != tsan ] || skip "one thread, and more than a hundred times as slow"
	names() {
		seq -f "a%g$2" -s ', ' 0 "$1"
	}
	limited() {
		printf 'n,label\n1,x\n2,y\n' >N.csv
		fails_with 2 timeout 600 rn-compile p.relnn --source N=N.csv
		[[ $stderr == *"$1"* ]] || { echo "${stderr:0:500}"; return 1; }
	}
	# Joins of joins: each stage has the embeddings of those before it.
	printf '%s\n' 'F<i>(n; [n] * i) :- N(n, _) .' 'G<k>(n; Concat(*z)) :- Join(Set(F<i>(n; z) | 1 <= i, i <= 400)) .' \
		'?pred P(n; sum(z)) :- Union(Set(G<k>(n; z) | 1 <= k, k <= 200)) .' >p.relnn
	limited "the program's stages have more than 1000000 columns and embeddings in all"
	# A wide relation, joined again and again.
	printf '%s\n' "W($(names 3999 ': n')) :- N(n, _) ." 'F<i>(n; [n] * i) :- W(n), N(n, l), n > i .' \
		'?pred P(n; sum(z)) :- Union(Set(F<i>(n; z) | 1 <= i, i <= 9000)) .' >p.relnn
	limited "the program's stages have more than 1000000 columns and embeddings in all"
	# Wide heads and wide atoms of templates.
	printf '%s\n' "W<i>($(names 3999 ': n')) :- N(n, _), n > i ." \
		'?pred P(n; sum(z)) :- Union(Set(F<i>(n; z) | 1 <= i, i <= 9000)) .' 'F<i>(n; [n] * i) :- W<i>(n) .' >p.relnn
	limited "the program's expressions expand to more than 2000000 terms"
	printf '%s\n' "W<0>($(names 2700 ': n')) :- N(n, _) ." "W<i>($(names 2700)) :- W<i - 1>($(names 2700)) ." \
		'?pred P(n) :- W<190>(n) .' >p.relnn
	limited "the program's expressions expand to more than 2000000 terms"
}

# Processor time (a release build takes a quarter of it at most) and memory of a program of 64 KB.
@test "limits: no program of 64 KB takes long or much, and 10,000 instances take no longer" {
	printf 'n,label\n1,x\n2,y\n3,x\n4,z\n' >N.csv
	bounded() { # STATUS TEXT OPTION...
		[ "$(wc -c <p.relnn)" -le 65536 ]
		run --separate-stderr bash -c 'ulimit -t "$1"; "${@:2}"' _ "$seconds" \
			"${memory[@]}" rn-compile p.relnn --source N=N.csv -o p.json "${@:3}"
		[ "$status" = "$1" ] || { echo "exit status $status"; echo "${stderr:0:500}"; return 1; }
		[[ $stderr == *"$2"* ]] || { echo "${stderr:0:500}"; return 1; }
	}
	# Instrumented programs are slow, and reserve memory that they do not take.
	local seconds=4 memory=(bash -c 'ulimit -v 1048576; "$@"' _)
	if nm "$RN_BIN/rn-compile" 2>/dev/null | grep -qE '__(asan|tsan|msan)_init'; then
		seconds=120 memory=(env)
	fi
	# Guards that multiply.
	printf 'W<i>(n; [n] * i) :- N(n, _) .\n?pred P(n; sum(z)) :- Union(Set(W<i>(n; z) | %s N(i, "zzz"))) .\n' \
		"$(printf 'N(_, _), %.0s' {1..20})" >p.relnn
	bounded 2 'the program takes more than 4000000 steps to expand'
	# Conditions that wait for the last of many atoms; a condition of each.
	awk 'BEGIN { printf "?pred P(x) :- N(x, z0)"; for (i = 1; i < 497; i++) printf ", N(x, a%d)", i
		printf ", N(z, _), N(x, z1)"; for (i = 0; i < 14500; i++) printf ",z<1"; print " ." }' >p.relnn
	bounded 2 'more than 1000 operators build on each other'
	awk 'BEGIN { printf "?pred P(x) :- N(x, z0)"; for (i = 1; i < 490; i++) printf ", N(x, a%d)", i
		printf ", N(z, _)"; for (i = 1; i < 490; i++) printf ", a%d == a%d", i, 490 - i
		for (i = 0; i < 900; i++) printf ", z < %d", i + 9; print " ." }' >p.relnn
	bounded 0 'a cross product'
	# Instances.
	printf '%s\n' 'W<i>(n; [n] * i) :- N(n, _) .' \
		'?pred P(n; sum(z)) :- Union(Set(W<i>(n; z) | 1 <= i, i <= 10000)) .' >p.relnn
	bounded 0 ''
	sed -i 's/10000/49900/' p.relnn
	bounded 0 ''
	printf '%s\n' 'W<i>(n; [n] * i) :- N(n, _) .' \
		'?pred P(n; sum(z)) :- Union(Set(W<i>(n; z) | 1 <= i, i <= 100001)) .' >p.relnn
	bounded 2 'this set has more than 100000 elements'
	# The same again, line for line, and one long expression.
	for ((i = 0; i < 1300; i++)); do echo "?pred P$i(n; [n] + $i) :- N(n, _) ."; done >p.relnn
	bounded 0 ''
	echo "?pred P(n; [n]$(printf ' + [n]%.0s' {1..999})) :- N(n, _) ." >p.relnn
	bounded 0 ''
}

@test "limits: what doubles and doubles, and many definitions of one name" {
	printf 'n,label\n1,x\n2,y\n' >N.csv
	quickly() {
		run --separate-stderr timeout 20 rn-compile p.relnn --source N=N.csv -o p.json
		[ "$status" = "$1" ]
		[[ $stderr == *"$2"* ]] || { echo "${stderr:0:500}"; return 1; }
	}
	{
		echo 'T0 = x .'
		for ((i = 1; i < 19; i++)); do echo "T$i = T$((i - 1))(T$((i - 1))(x)) ."; done
		for ((i = 0; i < 1200; i++)); do echo "?pred P$i(n; T18([n])) :- N(n, _) ."; done
	} >p.relnn
	quickly 2 'the program takes more than 4000000 steps to expand'
	[ "$(grep -c 'steps to expand' <<<"$stderr")" = 1 ]
	# The same constant is evaluated once.
	{
		for ((i = 1; i < 41; i++)); do echo "F$i<i> = F$((i - 1))<F$((i - 1))<i>> ."; done
		echo 'F0<i> = i . ?pred P(n, c: F40<7>) :- N(n, _) .'
	} >p.relnn
	quickly 0 ''
	grep -q '"c": 7' p.json
	# 256 definitions, no two of which have their literals in the same places.
	{
		for ((m = 0; m < 256; m++)); do
			a=
			for ((k = 0; k < 8; k++)); do if ((m >> k & 1)); then a+=,1; else a+=,a$k; fi; done
			echo "F<${a#,}>(n; [n] * $m) :- N(n, _) ."
		done
		for ((k = 0; k < 20; k++)); do
			echo "?pred P$k(n; sum(z)) :- Union(Set(F<1, 1, 1, 1, 1, 1, 1, i>(n; z) | 1 <= i, i <= 1000)) ."
		done
	} >p.relnn
	quickly 0 ''
	grep -q '"F<1,1,1,1,1,1,1,9>".*\[n\] \* 127' p.json
}

@test "what is no text: bytes that are no UTF-8, control characters" {
	says_of 'printf "?pred P(n) :- N(n, \"\xff\") .\n"' '1:21: byte 0xff is no UTF-8 here'
	says_of 'printf "?pred P(n) :- N(n, \001) .\n"' '1:20: expected an expression, and nothing begins with byte 0x01'
	says_of 'printf "?pred P(n) :- N(n, \000) .\n"' '1:20: byte 0x00 is no UTF-8 here'
}

@test "a warning: a variable that hides a constant; each place is warned of once" {
	printf 'n,label\n1,x\n2,y\n' >N.csv
	printf 'n = 2 .\nH<i>(n; [n] * i) :- N(n, _) .\n?pred P(n; z + y) :- H<1>(n; z), H<2>(n; y) .\n' >p.relnn
	run --separate-stderr rn-compile p.relnn --source N=N.csv -o p.json
	[ "$status" = 0 ]
	[ "$(grep -c warning <<<"$stderr")" = 1 ]
	[[ $stderr == "rn-compile: warning: p.relnn:2:23: 'n' is a variable here and hides the constant of that name"* ]]
}

@test "how much rows count in a loss: what is refused" {
	printf 'n,label\n1,0\n2,1\n' >N.csv
	loss() { # LOSS MESSAGE
		printf 'Out(n; Linear(1, 3)([n])) :- N(n, _) .\n?fit <epochs=1> L(; %s) :- Out(n; z), N(n, l) .\n' "$1" >p.relnn
		fails_with 2 rn-train p.relnn --source N=N.csv
		[[ $stderr == *"$2"* ]] || { echo "$1: $stderr" >&2; return 1; }
	}
	loss 'CrossEntropyLoss(weight=[1, 2])(z, [l])' '2:21: weight has 2 numbers and the logits are 3 wide'
	loss 'CrossEntropyLoss(weight=[1, 2])(z, [l] + 0)' '2:45: CrossEntropyLoss: weight wants a number for each of the 3 classes, not 2'
	loss 'CrossEntropyLoss(weight=[1, 2, "a"])(z, [l])' '2:52: expected a number'
	loss 'CrossEntropyLoss(weight=[1, 2, l])(z, [l])' "2:52: 'l' is no constant and no parameter here"
	loss 'CrossEntropyLoss(weight=[1, 2, -3])(z, [l])' "weight wants numbers, 0 or more, not '-3'"
	loss 'CrossEntropyLoss(weight=[0, 0, 1])(z, [l])' "loss 'L': weight is 0 for every row"
	loss 'CrossEntropyLoss(label_smoothing=2)(z, [l])' 'label-smoothing is from 0 to 1'
	loss 'CrossEntropyLoss(ignore_index="x")(z, [l])' "ignore-index 'x' is no int64, and column 'label' is"
	loss 'CrossEntropyLoss(ignore_index="x")(z, [l] + 0)' "'ignore_index' of CrossEntropyLoss must be a whole number"
	loss 'CrossEntropyLoss(weight=[1, 2, 3], weight=[2, 2, 2])(z, [l])' "'weight' is given twice"
	loss 'CrossEntropyLoss([1, 2, 3], weight=[2, 2, 2])(z, [l])' "'weight' is given twice"
	loss 'CrossEntropyLoss(weight=[1e308, 1, 1])(z, [l])' "weight wants numbers, 0 or more, not '1e308'"
	loss 'CrossEntropyLoss(weight=[1e308, 1, 1])(z, [l] + 0)' 'a weight is 0 or more, and a number that a float32 holds'
	loss 'CrossEntropyLoss(weight=[1e-300, 1, 1])(z, [l])' "weight wants numbers, 0 or more, not '1e-300'"
	loss 'CrossEntropyLoss(weight=[3e38, 3e38, 3e38])(z, [l])' 'the weights of the rows add up to 6e+38'
	loss 'BCEWithLogitsLoss(pos_weight=1e39)(z, [l])' 'pos-weight is 0 or more, and a number'
	loss 'BCEWithLogitsLoss(weight=1e39)(rowsum(z), [l])' 'weight is 0 or more, and a number'
	loss 'mean(CrossEntropyLoss([1, 1, 1])(z, [l])) + sum(z)' \
		'2:21: the mean of a loss whose rows count differently stands with other means alone'
	loss 'BCEWithLogitsLoss(pos_weight=-1)(z, [l])' 'pos-weight is 0 or more'
	fails_with 2 rn-loss mse --target l --weight 1,2 N.csv
	[[ $stderr == *'weight is for cross-entropy, not mse'* ]]
	fails_with 2 rn-loss cross-entropy --target l --pos-weight 2 N.csv
	[[ $stderr == *'pos-weight is for bce, not cross-entropy'* ]]
	fails_with 2 rn-loss cross-entropy --target l --weight 1,x N.csv
	[[ $stderr == *"weight wants numbers, 0 or more, not 'x'"* ]]
	# Nothing counts: as in PyTorch there is no mean.
	printf 'Out(n; Linear(1, 3)([n])) :- N(n, _) .\n?fit <epochs=1> L(; 1 * CrossEntropyLoss([0, 0, 1])(z, [l])) :- Out(n; z), N(n, l) .\n' >p.relnn
	fails_with 5 rn-train p.relnn --source N=N.csv
	printf 'Out(n; Linear(1, 3)([n])) :- N(n, _) .\n?fit <epochs=1> L(; CrossEntropyLoss(ignore_index=1)(z, [l])) :- Out(n; z), N(n, l), l == 1 .\n' >p.relnn
	fails_with 2 rn-train p.relnn --source N=N.csv
}

@test "content aggregates: what is refused" {
	printf 'n,w\n1,2\n' >N.csv
	says() { # ATTRIBUTE MESSAGE
		printf '?pred P(n, c: %s) :- N(n, w) .\n' "$1" >p.relnn
		fails_with 2 rn-compile p.relnn --source N=N.csv
		[[ $stderr == *"$2"* ]] || { echo "$1: $stderr" >&2; return 1; }
	}
	says 'sum(w) + w' "1:24: 'w' stands outside the aggregates and is no attribute of the head"
	says 'sum(count(w))' '1:19: an aggregate within another one'
	says '1 + sum(count(w))' '1:23: an aggregate within another one'
	says 'sum(distinct w)' '1:28: only count takes distinct'
	says 'upper(distinct w)' '1:30: only count takes distinct'
	says 'count(distinct=w)' "1:21: 'distinct' stands there without '=': count(distinct x)"
	says 'sum(w by n)' '1:24: only first and last take by'
	says 'first(w by -n, n)' '1:30: first is ordered by one expression: nothing stands behind it'
	says 'last(w, by=n)' "1:23: 'by' stands there without '=': first(x by t)"
	says 'cast(w)' '1:15: write cast(x, "int64"): a value, and the name of a type'
	says 'try_cast(w, n)' '1:15: write try_cast(x, "int64")'
	says 'if(1 < w < 3, 1, 2)' '1:24: a chain of comparisons stands among the conditions of a body only'
	printf '?pred P(n) :- N(n, w), (1 < w < 3) == True .\n' >p.relnn
	fails_with 2 rn-compile p.relnn --source N=N.csv
	[[ $stderr == *'1:31: a chain of comparisons stands among the conditions of a body only'* ]]
	says 'if(w between 1 and 3, 1, 2)' "not 'between'; write 1 <= x <= 4, or within an expression if(1 <= x, x <= 4, False)"
	says 'first(w by)' '1:25: expected an expression'
	printf '?pred P(n) :- N(n, w), count(*) > 1 .\n' >p.relnn
	fails_with 2 rn-compile p.relnn --source N=N.csv
	[[ $stderr == *'1:24: an aggregate of columns stands in a head'* ]]
	printf '?pred P(n; sqrt(*)) :- N(n, w) .\n' >p.relnn
	fails_with 2 rn-compile p.relnn --source N=N.csv
	[[ $stderr == *'1:17: this cannot stand in an embedding expression'* ]]
	says 'upper(x=w)' "1:23: a function of columns has no argument 'x'"
}

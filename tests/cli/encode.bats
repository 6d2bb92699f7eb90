#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# rn-encode: fitted on training rows only, kept in models, applied to other rows.

load lib

KINDS="numeric(area, rooms, null=true), onehot(color), category(color, 3), cyclic(built), time(built), since(built, sold), text(title, 16, idf=true), null(area)"

# 60 houses: 40 to train, 10 to validate, 10 to test; NULLs, times, words.
houses() {
	awk 'BEGIN {
		split("red green blue", color, " ")
		split("big sunny Old new garden roof", word, " ")
		print "id,area,rooms,color,built,sold,title,price,split"
		for (i = 0; i < 60; i++) {
			c = color[i * 7 % 3 + 1]
			w = word[i % 6 + 1] " " word[i * 5 % 6 + 1]
			a = 40 + i * 37 % 90
			p = a / 50 + i % 5 / 4 + (c == "red") - (w ~ /garden/)
			printf "%d,%s,%d,%s,20%02d-%02d-%02dT%02d:30:00,2022-01-%02d,%s,%.3f,%s\n", i,
				i % 11 == 3 ? "" : a, i % 5, i % 13 == 4 ? "" : c,
				i % 20, i % 12 + 1, i % 28 + 1, i % 24, i % 28 + 1, w, p,
				i < 40 ? "train" : i < 50 ? "val" : "test"
		}
	}' >houses.csv
}

# The stages behind the encoding; arguments: the source, options of rn-train.
tower() {
	rn-scan "$1" --name house | rn-encode "$KINDS" --name x | rn-linear 6 --name h |
		rn-map 'Linear(6, 1)(relu(z))' --name out -o out.er
	rn-filter "split = 'train'" out.er --name train | rn-loss mse --target price --name loss >loss.er
	rn-train loss.er --val <(rn-filter "split = 'val'" out.er --name val) \
		--eval test=<(rn-filter "split = 'test'" out.er --name test) --metric rmse \
		--target price --epochs 30 "${@:2}"
}

member() {
	sed "s/.*\"$1\": \"\{0,1\}\([^,\"}]*\).*/\1/"
}

bits() {
	"$@" --json 2>/dev/null | member bits
}

@test "a table from CSV to predictions: NULLs, times, words, categories" {
	houses
	tower houses.csv -o m.rnm --json 2>/dev/null >report
	awk -v t="$(member test <report)" 'BEGIN { exit !(t < 1.2) }'
	head -n 3 houses.csv >new.csv
	echo '99,120,3,violet,2031-05-05T10:00:00,2032-01-01,unheard of words,0,new' >>new.csv
	run --separate-stderr rn-predict m.rnm --stage out --source house=new.csv -o pred.csv
	[ "$status" = 0 ]
	says "rn-predict: warning: encode 'x': 1 of 3 rows have a value of 'color' that is not in its vocabulary; it is coded as unknown"
	[ "$(wc -l <pred.csv)" = 4 ]
	rn-eval m.rnm 2>/dev/null | grep -q '^test rmse 0\.'
	# The same rows have the same prediction, whatever rows there are beside them.
	rn-predict m.rnm --stage out -o all.csv -q
	diff <(cut -d , -f 1,10 pred.csv | sed -n 2,3p) <(cut -d , -f 1,10 all.csv | sed -n 2,3p)
}

@test "pipeline, spec, stages of their own, threads and a resumed run: the same bits" {
	houses
	want=$(bits tower houses.csv -o m.rnm --no-history)
	rn-explain m.rnm --json >spec.json
	[ "$(bits rn-train spec.json -o s.rnm --no-history)" = "$want" ]
	cmp m.rnm s.rnm
	for o in '-t 2' '--placement staged' '--placement staged --stages 2'; do
		# shellcheck disable=SC2086
		[ "$(bits rn-train spec.json $o -o p.rnm --no-history)" = "$want" ]
		cmp s.rnm p.rnm
	done
	rn-train spec.json -q --checkpoint c.rnm --checkpoint-every 7
	[ "$(bits rn-train spec.json --resume c.rnm -o r.rnm --no-history)" = "$want" ]
	cmp s.rnm r.rnm
	rn-info c.rnm | grep -q '^fitted 0, x: '
}

@test "rows that are not for training change nothing" {
	houses
	tower houses.csv >/dev/null 2>&1
	want=$(bits rn-train loss.er --epochs 30)
	# Another area, color, word and time in rows to test and to validate.
	sed -E 's/^(45|55),[^,]*,[^,]*,[^,]*,[^,]*,[^,]*,[^,]*/\1,9999,77,violet,1970-01-01,1999-09-09,other words/' \
		houses.csv >other.csv
	[ "$(diff houses.csv other.csv | grep -c '^>')" = 2 ]
	tower other.csv >/dev/null 2>&1
	[ "$(bits rn-train loss.er --epochs 30)" = "$want" ]
	# ... and in one for training.
	sed 's/^5,[^,]*,/5,9999,/' houses.csv >other.csv
	tower other.csv >/dev/null 2>&1
	[ "$(bits rn-train loss.er --epochs 30)" != "$want" ]
}

@test "the formulas, by hand" {
	printf 'x,s,y,part\n1,b,0,t\n3,a,1,t\n,b,0,t\n5,,1,t\n1000,c,0,v\n' >t.csv
	enc='numeric(x, null=true), numeric(x, scale=minmax), onehot(s)'
	rn-encode "$enc" t.csv --name e | rn-linear 2 --name o | rn-filter "part = 't'" |
		rn-loss cross-entropy --target y | rn-train -q --epochs 1 -o m.rnm
	# mean 3, std sqrt(8/3); min 1, max 5; vocabulary a, b
	printf 'x,s\n5,a\n,b\n3,c\n7,\n' >new.csv
	prints 'x,s,z
5,a,0:1.2247449 2:1 4:1
,b,1:1 5:1
3,c,2:0.5 3:1
7,,0:2.4494898 2:1.5 3:1' pipeline "rn-scan new.csv --types x=float64,s=string | rn-encode '$enc' --model m.rnm | rn-cat"
	says "rn-encode: warning: encode 'e': 1 of 4 rows have a value of 's' that is not in its vocabulary; it is coded as unknown"
	rn-explain m.rnm | grep -q "^e .*z \[6\]"
}

@test "encoders that fit nothing are filters" {
	printf 't,x,w\n2024-01-01T06:00:00,1,The cat\n2023-07-02T00:00:00,,cat CAT\n,3,\n' >t.csv
	prints 't,x,w,z0,z1,z2
2024-01-01T06:00:00Z,1,The cat,1,0,0
2023-07-02T00:00:00Z,,cat CAT,0,1,1
,3,,0,0,0' pipeline "rn-encode 'cyclic(t, hour), null(x)' t.csv | rn-map 'round(z * 1000) / 1000' | rn-cat"
	# The same words in the same buckets, and no words in none.
	prints 't,x,w,z
2024-01-01T06:00:00Z,1,The cat,2:0.70710677 3:0.70710677
2023-07-02T00:00:00Z,,cat CAT,3:1
,3,,' pipeline "rn-encode 'text(w, 4)' t.csv | rn-cat"
	prints 't,x,w,z
2024-01-01T06:00:00Z,1,The cat,0.6931472
2023-07-02T00:00:00Z,,cat CAT,0
,3,,1.3862944' pipeline "rn-encode 'numeric(x, scale=none, log=true)' t.csv | rn-cat"
	rn-encode 'numeric(x, scale=none), raw(x)' t.csv | rn-explain - | grep -q 'z \[2\])  3 rows'
}

@test "text by blanks, hashed with CRC-32, with a word for what has none" {
	printf 'i,w\n1,The cat\n2,"cat CAT,\xc2\xa0cat"\n3,\n4," \xe3\x80\x80 "\n5,cat\xe2\x80\x83cat\n' >t.csv
	# CRC-32 mod 8, by zlib: The 6, cat 0, "CAT," 3, <empty> 1.  Those of Unicode are blanks, too.
	buckets() {
		pipeline "rn-encode \"$1\" t.csv | rn-project --cols i | rn-cat" | sed 1d
	}
	[ "$(buckets "text(w, 8, words=blanks, hash=crc32, norm=l1, empty='<empty>')")" = $'1,0:0.5 6:0.5
2,0:0.6666667 3:0.33333334
3,1:1
4,1:1
5,0:1' ]
	# Its highest bit is that of "cat" and not of the others.
	[ "$(buckets 'text(w, 8, words=blanks, hash=crc32, norm=none, sign=true)')" = $'1,0:-1 6:1
2,0:-2 3:1
3,
4,
5,0:-2' ]
	# By letters, capitals do not count: "the" is 6.
	[ "$(buckets 'text(w, 8, hash=crc32, norm=none)' | sed -n 1p)" = '1,0:1 6:1' ]
}

@test "training rows are those that the loss depends on" {
	# 8 points; edges give points 0 to 3 their neighbours' sums; labels for 0 and 1 only.
	printf 'id,v\n0,1\n1,2\n2,3\n3,4\n4,5\n5,6\n6,7\n7,8\n' >p.csv
	printf 'src,dst\n2,0\n3,1\n4,1\n5,2\n' >e.csv
	printf 'id,y\n0,0\n1,1\n2,\n' >l.csv
	rn-encode 'numeric(v)' p.csv --name x -o x.er
	# Through a join and an aggregate: 2, 3, 4.
	rn-join e=e.csv x=x.er --on src=id | rn-agg 'sum(x)' --by dst -o s.er
	rn-join s.er l.csv --on dst=id | rn-linear 2 --name o | rn-loss cross-entropy --target y >loss.er
	run -0 --separate-stderr rn-train loss.er -v --epochs 1
	[[ $stderr == *"encode 'x': fitted on 3 of 8 rows"* ]]
	# And with the points themselves, by a union: 0, 1, 2, 3, 4.
	rn-project x.er --cols dst=id | rn-union - <(rn-join e=e.csv x=x.er --on src=id --expr x | rn-project --cols dst) |
		rn-agg 'mean(z)' --by dst | rn-sort --by 'dst desc' | rn-join - l.csv --on dst=id |
		rn-linear 2 --name o | rn-loss cross-entropy --target y >loss.er
	run -0 --separate-stderr rn-train loss.er -v --epochs 1
	[[ $stderr == *"encode 'x': fitted on 5 of 8 rows"* ]]
	# A left join keeps rows without a partner; a semi join only tests.
	rn-join x.er l.csv --on id --how semi | rn-join l=l.csv x=- --on id --how left --expr x |
		rn-linear 2 --name o | rn-loss cross-entropy --target y >loss.er
	run -0 --separate-stderr rn-train loss.er -v --epochs 1
	[[ $stderr == *"encode 'x': fitted on 2 of 8 rows"* ]]
	# softmax over rows that share a column makes them depend on each other: all in t = 0.
	printf 'k,t,v,y\n0,0,1,1\n1,0,2,\n2,0,3,\n3,1,4,\n' >s.csv
	rn-encode 'numeric(v)' s.csv --name x | rn-agg 'sum(softmax(z; t))' --by k --cols 'y=max(y)' |
		rn-linear 2 --name o | rn-loss cross-entropy --target y >loss.er
	run -0 --separate-stderr rn-train loss.er -v --epochs 1
	[[ $stderr == *"encode 'x': fitted on 3 of 4 rows"* ]]
	# --fit-where overrides.
	rn-encode 'numeric(v)' p.csv --fit-where 'id >= 3' --name x | rn-join - l.csv --on id |
		rn-linear 2 --name o | rn-loss cross-entropy --target y >loss.er
	run -0 --separate-stderr rn-train loss.er -v --epochs 1
	[[ $stderr == *"encode 'x': fitted on 5 of 8 rows"* ]]
}

@test "the rows of all fits count; a spec says fit_where" {
	printf 'v,y,part\n1,0,a\n2,1,a\n3,0,b\n4,1,b\n5,0,c\n6,1,c\n' >p.csv
	cat >model.json <<-'END'
		{"rn": 1, "constants": {"least": 3}, "sources": {"p": {"from": "p.csv"}},
		 "stages": [
		  {"name": "x", "op": "encode", "in": "p", "expr": "numeric(v)"},
		  {"name": "o", "op": "linear", "in": "x", "out": 2},
		  {"name": "a", "op": "filter", "in": "o", "expr": "part = 'a'"},
		  {"name": "b", "op": "filter", "in": "o", "expr": "part = 'b'"},
		  {"name": "la", "op": "loss", "in": "a", "kind": "cross-entropy", "target": "y"},
		  {"name": "lb", "op": "loss", "in": "b", "kind": "cross-entropy", "target": "y"}],
		 "run": [{"fit": {"loss": "la", "epochs": 2}}, {"fit": {"loss": "lb", "epochs": 2}}]}
	END
	run -0 --separate-stderr rn-train model.json -v
	[[ $stderr == *"encode 'x': fitted on 4 of 6 rows"* ]]
	sed -i 's/"numeric(v)"/"numeric(v)", "fit_where": "v > ${least}"/' model.json
	run -0 --separate-stderr rn-train model.json -v --set least=2
	[[ $stderr == *"encode 'x': fitted on 4 of 6 rows"* ]]
	run -0 --separate-stderr rn-train model.json -v
	[[ $stderr == *"encode 'x': fitted on 3 of 6 rows"* ]]
	rn-explain model.json | grep -q "^x .* 'numeric(v)' --fit-where 'v > 3' "
}

@test "nothing to fit on is an error" {
	printf 'v,y\n1,0\n2,1\n' >p.csv
	rn-encode 'numeric(v)' p.csv --name x | rn-linear 2 --name o -o o.er
	rn-loss cross-entropy --target y o.er >loss.er
	rn-encode 'onehot(v)' p.csv --name other | rn-linear 2 --name q >q.er
	fails_with 2 rn-train loss.er --pred p=q.er --output-dir out
	[[ $stderr == "rn-train: encode 'other': there is nothing to fit 'onehot(v)' on: no loss that is trained depends on this stage."* ]]
	rn-encode 'numeric(v)' p.csv --fit-where 'v > 5' --name x | rn-linear 2 --name o |
		rn-loss cross-entropy --target y >loss.er
	fails_with 3 rn-train loss.er
	says "rn-train: encode 'x': there is nothing to fit 'numeric(v)' on: --fit-where 'v > 5' is true for no row"
}

@test "a width that is not known yet" {
	houses
	rn-scan houses.csv | rn-encode 'onehot(color), raw(rooms)' --name x -o x.er
	for want in 'z * 2=[?]' 'Linear(5, 7)(z)=[7]' 'LayerNorm(5)(z)=[5]' 'Concat(z, [rooms])=[?]' \
		'z + Tensor(1, 5, init="ones")=[5]' 'rowsum(z)=[1]' 'view(5, 1)(z)=[5,1]' 'view(-1, 1)(z)=[?,1]' \
		'slice(0, 2)(z)=[2]' 'slice(1, -1)(z)=[?]' 'transpose(z)=[?,1]' 'Softmax()(z)=[?]' \
		'dot(z, z)=[1]' 'z @ Tensor(5, 3, init="ones")=[3]' 'transpose(z) @ Tensor(1, 1, 3, init="ones")=[?,3]' \
		'relu(z) - z / clamp(rowsum(z), 1, 9)=[?]'; do
		rn-map "${want%=*}" x.er --name y | rn-explain - >plan
		grep '^y ' plan | grep -qF "z ${want##*=}" || { cat plan; echo "$want"; return 1; }
	done
	rn-agg 'mean(z)' --by rooms x.er | rn-explain - | grep -q '; z \[?\]'
	rn-union x.er x.er | rn-explain - | grep -q '; z \[?\]'
	# What is wrong whatever the width is, is said at once; the rest when it is known.
	fails_with 2 rn-map 'q * z' x.er
	rn-map 'Linear(99, 2)(z)' x.er --name o | rn-loss cross-entropy --target rooms >loss.er
	fails_with 2 rn-train loss.er
	[[ $stderr == "rn-train: map 'o': Linear is made for 99 features and is applied to 5"* ]]
	# Logits of an unknown width: 5 are there, and the labels 0 to 4.
	rn-map 'z * Tensor(1, 1, 1.0)' x.er --name o | rn-loss cross-entropy --target rooms | rn-train -q --epochs 2
	rn-map 'z * Tensor(1, 1, 1.0)' x.er --name o | rn-loss mse --target price >loss.er
	fails_with 2 rn-train loss.er
	[[ $stderr == "rn-train: loss 'loss1': mse wants one value, shape [1], not an embedding of shape [5]" ]]
}

@test "a model applies what it fitted, and only that" {
	houses
	tower houses.csv -q -o m.rnm
	fails_with 2 rn-encode 'numeric(area)' houses.csv --model m.rnm
	says "rn-encode: the model has no stage that encodes 'numeric(area)' (it has 'x' ($KINDS))"
	fails_with 2 rn-encode "$KINDS" houses.csv --model m.rnm --name y
	says "rn-encode: the model has no stage 'y' that encodes '$KINDS' (it has 'x' ($KINDS))"
	rn-encode "$KINDS" houses.csv --model m.rnm -o a.er -q
	rn-encode "$KINDS" houses.csv --model m.rnm --name x --block-rows 7 -o b.er -q
	cmp <(rn-cat a.er) <(rn-cat b.er)
	# The stage inside the model's plan makes the same.
	rn-predict m.rnm --stage x -q -o p.er
	cmp <(rn-cat a.er) <(rn-cat p.er)
	# A category of another type is no category.
	sed 's/,red,\|,green,\|,blue,/,7,/' houses.csv >other.csv
	fails_with 2 rn-encode "$KINDS" other.csv --model m.rnm
	says "rn-encode: encode 'x': column 'color' is int64 here and was string in training"
}

@test "a run that goes on with changed data keeps what it fitted" {
	houses
	tower houses.csv -q -o m.rnm --checkpoint c.rnm --checkpoint-every 10
	rn-explain m.rnm --json >spec.json
	sed 's/^5,\([^,]*\),\([^,]*\),[^,]*/5,\1,\2,violet/' houses.csv >other.csv
	fails_with 2 rn-train spec.json -q --source house=other.csv --resume c.rnm
	[[ $stderr == *"the data of 'house' is not that of the checkpoint"* ]]
	rn-train spec.json -q --source house=other.csv --resume c.rnm --allow-changed -o r.rnm
	cmp <(rn-encode "$KINDS" houses.csv --model m.rnm -q | rn-cat --no-embedding) \
		<(rn-encode "$KINDS" houses.csv --model r.rnm -q | rn-cat --no-embedding)
	[ "$(rn-encode "$KINDS" houses.csv --model r.rnm -q | rn-info - | grep -c 'part   z')" = 1 ]
}

@test "what is wrong in the text of encoders is marked" {
	printf 'a,s,t\n1,x,2024-01-01\n' >t.csv
	wrong() {
		fails_with 2 rn-encode "$1" t.csv
		[[ $stderr == "rn-encode: $2"* ]] || { echo "$stderr"; return 1; }
	}
	wrong 'onhot(a)' "there is no encoder 'onhot'; did you mean 'onehot'?"
	wrong 'onehot' "expected '(': onehot(col, ...)"
	wrong 'onehot(a' "expected ',' or ')'"
	wrong 'onehot(a) numeric(a)' "expected ',' or the end"
	wrong 'onehot(a, mni=3)' "onehot has no option 'mni' (it has min, top)"
	wrong 'onehot(a, min=x)' "expected a whole number from 1 to"
	wrong 'numeric(a, scale=x)' 'scale: expected one of standard, minmax, robust, none'
	wrong 'numeric(a, log=x)' 'log: expected one of false, true'
	wrong 'index(a)' 'expected index(col, N)'
	wrong 'text(s, 0)' 'expected a whole number from 1 to'
	wrong 'text(s, 8, ngrams=2, chars=3)' 'ngrams are of words'
	wrong 'text(s, 8, words=blank)' 'words: expected one of letters, blanks'
	wrong 'text(s, 8, hash=md5)' 'hash: expected one of xxh64, crc32'
	wrong 'text(s, 8, empty=)' 'expected a value'
	wrong 'onehot(s, empty=x)' "onehot has no option 'empty' (it has min, top)"
	wrong 'category(s, 4, init=x)' "there is no initialiser 'x'"
	wrong 'cyclic(t, hours)' 'expected one of second, minute, hour'
	wrong 'cyclic(t, hour, hour)' "'hour' is there twice"
	wrong 'cyclic(a)' "cyclic wants timestamps (cyclic(col, period=P) is for numbers), and column 'a' is int64"
	wrong 'cyclic(t, period=3)' "cyclic wants numbers where a period is given, and column 't' is timestamp"
	wrong 'since(t)' 'expected since(col, ref)'
	wrong 'numeric(s)' "numeric wants numbers (time(col) is for timestamps, onehot(col) for strings), and column 's' is string"
	wrong 'time(a)' "time wants timestamps, and column 'a' is int64"
	wrong 'text(a, 8)' "text wants strings, and column 'a' is int64"
	wrong 'numeric(q)' "no column 'q'"
	wrong 'raw(a), raw(null=true, a)' "raw has no option 'null' (it has none)"
	fails_with 2 rn-encode 'raw(a)' t.csv --fit-where 'a > 1'
	[[ $stderr == *"--fit-where says which rows encoders are fitted on, and none of these is fitted"* ]]
	fails_with 2 rn-encode 'numeric(a)' t.csv --fit-where 'a'
	[[ $stderr == *"--fit-where: 'a' is int64, and a predicate must be bool"* ]]
}

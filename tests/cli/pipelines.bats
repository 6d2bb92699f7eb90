#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Programs as pipelines (rn-compile --to sh), and the options of rn-train by which runs of one
# command differ.

load lib

# A report without what is measured.
report() {
	sed -E 's/, "(ms_per_epoch|seconds_[a-z]+|peak_bytes)": [0-9.e-]+//g; s/"seconds_bind": [0-9.e-]+//'
}

# same_as_pipeline FILE [OPTION]...: FILE and its pipeline write the same report and files.
same_as_pipeline() {
	local file=$1
	shift
	rm -rf want got
	rn-train "$file" --json --output-dir want "$@" 2>want.err | report >want.json
	rn-compile "$file" --to sh -o m.sh
	bash m.sh --json --output-dir got "$@" 2>got.err | report >got.json
	[ -s want.json ]
	diff want.json got.json
	diff want.err got.err
	diff -r want got
}

# no_pipeline FILE WHY
no_pipeline() {
	fails_with 2 rn-compile "$1" --to sh
	says "rn-compile: $2: write it as a spec ('--to json') or as a program ('--to relnn')"
}

network() {
	points
	cat >m.relnn <<-'END'
		?source points = "points.csv" <key="id"> .
		H(i; ReLU()(Linear(2, 8)([a, b]))) :- points(i, a, b, _, _) .
		Out(i; Linear(8, 2)(z)) :- H(i; z) .
		Num(i; rowsum(z)) :- Out(i; z) .
		?fit <epochs=20, lr=0.02> Loss(; CrossEntropyLoss()(z, [y])) :- Out(i; z), points(i, _, _, y, "train") .
	END
}

@test "several metrics, targets and groups: the pipeline's report is the program's" {
	network
	cat >>m.relnn <<-'END'
		?val <metric="roc_auc", target="y", patience=9, every=2> Val(i, y; z) :- Out(i; z), points(i, _, _, y, "val") .
		?eval <name="test", metric="accuracy", target="y"> Test(i, y; z) :- Out(i; z), points(i, _, _, y, "test") .
		?eval <name="f1 of it's test", metric="f1", target="y"> F1(i, y; z) :- Out(i; z), points(i, _, _, y, "test") .
		?eval <name="far", metric="mae", target="a"> Far(i, a; z) :- Num(i; z), points(i, a) .
		?eval <name="first", metric="hits@1", target="y", group="s"> First(y, s; z) :- Out(i; z), points(i, _, _, y, s) .
	END
	same_as_pipeline m.relnn
	same_as_pipeline m.relnn --seed 3 --runs 2
	grep -q '"far": 0\.[0-9]*, "first": ' want.json
	grep -qF -- '--metric first=hits@1 --group first=s' m.sh
	grep -qF -- "--eval 'f1 of it'\\''s test'=" m.sh
	rn-compile m.relnn -o m.json
	same_as_pipeline m.json
}

@test "predictions of several names, columns, files and forms" {
	network
	cat >>m.relnn <<-'END'
		?pred P(i, [ArgMax(z)]) :- Out(i; z) .
		?pred <to="q.jsonl"> Q(i, sum: [z]; z) :- Num(i; z) .
		?eval <name="all", metric="accuracy", target="y"> All(i, y; z) :- Out(i; z), points(i, _, _, y, _) .
		?pred <as="a=b", to="r=1.tsv"> R(i; z) :- Out(i; z) .
		?pred <decode="none", name="s t"> S(i; z) :- Out(i; z) .
		?pred <embedding=False> T(i; z) :- Out(i; z) .
	END
	same_as_pipeline m.relnn
	[ "$(cd got && echo *)" = "P.csv T.csv q.jsonl r=1.tsv s t.csv" ]
	[ "$(head -n 1 'got/r=1.tsv')" = $'i\ta=b\tz0\tz1' ]
	[ "$(head -n 1 got/T.csv)" = i,prediction ]
	# Most have one value, and the others are told by name.
	sed -i '/^?pred <\(as\|decode\)/d' m.relnn
	same_as_pipeline m.relnn
	grep -qF -- '--no-embedding' m.sh
}

@test "one value for all runs is written once" {
	network
	cat >>m.relnn <<-'END'
		?val <metric="accuracy", target="y"> Val(i, y; z) :- Out(i; z), points(i, _, _, y, "val") .
		?eval <name="test", metric="accuracy", target="y"> Test(i, y; z) :- Out(i; z), points(i, _, _, y, "test") .
		?pred P(i, [ArgMax(z)]) :- Out(i; z) .
	END
	same_as_pipeline m.relnn
	[[ $(tail -n 1 m.sh) == '  --metric accuracy --target y --decode class --as prediction --no-embedding --epochs 20 --lr 0.02 "$@"' ]]
}

@test "a program without a fit: initial weights, given ones, and decoded columns" {
	network
	sed -i '/^?fit/d' m.relnn
	cat >>m.relnn <<-'END'
		?pred P(i, [ArgMax(z)]) :- Out(i; z) .
		?pred <to="n.tsv"> N(i; z) :- Num(i; z) .
		?pred Twice(i, v: [z]) :- Sum(i; z) .
		Sum(i; [a] * 2) :- points(i, a) .
		?pred Plain(i, y) :- points(i, _, _, y, "test") .
	END
	same_as_pipeline m.relnn --seed 5
	grep -q '^rn-train: warning: nothing trains' got.err
	grep -qF 'rn-train --untrained ' m.sh
	[ "$(wc -l <got/Plain.csv)" = 31 ]
	rn-train m.relnn -q --seed 9 --weights-out w --output-dir nine
	same_as_pipeline m.relnn --weights-in w
	diff nine/P.csv got/P.csv
	rn-train m.relnn -q --output-dir one
	run ! cmp -s nine/P.csv one/P.csv
	# A column alone, of nothing that is learned.
	sed -i '/^?pred P(/d; /^?pred <to/d' m.relnn
	same_as_pipeline m.relnn
	[ ! -s got.err ]
	grep -qF 'rn-train --untrained ' m.sh
	# Relations as they are need no rn-train.
	sed -i '/^?pred Twice/d' m.relnn
	rn-compile m.relnn --to sh -o m.sh
	run ! grep -q rn-train m.sh
	bash m.sh
	diff Plain.csv want/Plain.csv
}

@test "what a pipeline cannot say is refused, with what to use instead" {
	network
	echo '?fit <epochs=2> Again(; MSELoss()(z, [a])) :- Num(i; z), points(i, a) .' >>m.relnn
	no_pipeline m.relnn "a pipeline ends in one fit with at most one validation, and this plan has 2 and 0"
	network
	sed -i 's/^?fit/?eval <name="e", metric="accuracy", target="y"> E(i, y; z) :- Out(i; z), points(i, _, _, y, _) .\n&/' m.relnn
	no_pipeline m.relnn "in a pipeline all evals and predictions come after the fit, and this plan has one before it (eval)"
	network
	printf '%s\n' '?pred P(i, k: [ArgMax(z)]) :- Out(i; z) .' '?pred Q(k, n: count(*)) :- P(i, k) .' >>m.relnn
	no_pipeline m.relnn "a pipeline decodes predictions at its end, and this plan has decoded columns before it ('P/decode')"
	network
	echo '?pred <name="a=b", to="x.csv"> P(i; z) :- Out(i; z) .' >>m.relnn
	fails_with 2 rn-compile m.relnn --to sh
	says "rn-compile: a pipeline cannot call a run 'a=b': give it another name"
	sed -i '/^?/d' m.relnn
	echo '?source points = "points.csv" <key="id"> .' >>m.relnn
	fails_with 2 rn-compile m.relnn --to sh
	says "rn-compile: a pipeline ends in a run, and this plan has none: add a ?pred"
	printf '%s\n' '{"rn": 1, "sources": {"p": {"from": "points.csv"}}, "stages": [{"name": "x", "op": "encode", "in": "p", "expr": "raw(a)"}],' \
		'"run": [{"val": {"in": "x", "metric": "mae", "target": "a"}}]}' >e.json
	fails_with 2 rn-compile e.json --to sh
	says "rn-compile: a pipeline has a validation behind a fit, and this plan has no fit"
}

# ---- options -----------------------------------------------------------------------------------

# The model of lib.bash as streams.
streams() {
	points
	rn-scan points.csv --key id --name points |
		rn-encode 'raw(a, b)' --name x | rn-linear 2 --name out -o out.er
	rn-filter "split = 'train'" out.er | rn-loss cross-entropy --target y -o loss.er
	rn-filter "split = 'test'" out.er --name test -o test.er
}

@test "RUN= gives one run a setting, and the others keep what is said of all" {
	streams
	rn-train loss.er --epochs 5 --val out.er --eval a=test.er --eval b=test.er --eval c=out.er --json -q \
		--metric c=roc_auc --metric accuracy --target y --metric val=f1 --metric b=f1 >r.json
	rn-train loss.er --epochs 5 --val out.er --eval a=test.er --eval c=out.er --json -q \
		--metric f1 --target y >f1.json
	rn-train loss.er --epochs 5 --eval a=test.er --json -q --metric accuracy --target y >accuracy.json
	[ "$(member val <r.json)" = "$(member val <f1.json)" ]
	[ "$(member a <r.json)" = "$(member a <accuracy.json)" ]
	[ "$(member b <r.json)" = "$(member a <f1.json)" ]
	[ "$(member c <r.json)" != "$(member c <f1.json)" ]
}

@test "RUN= works on the runs of a spec" {
	points
	rn-train model.json -q --json >one.json
	rn-train model.json -q --json --metric test=f1 --to all=x.tsv --as all=class --no-embedding=all >two.json
	[ "$(member val <one.json)" = "$(member val <two.json)" ]
	[ "$(member test <one.json)" != "$(member test <two.json)" ]
	[ "$(head -n 1 x.tsv)" = $'id\ta\tb\ty\tsplit\tclass' ]
	rn-train model.json -q --to y.csv --embedding
	diff pred.csv y.csv
}

@test "RUN= of no run, and what is said twice" {
	streams
	fails_with 2 rn-train loss.er --eval test=test.er --metric accuracy --target y --metric tset=f1
	says "rn-train: --metric tset=f1: no run that has this setting is called 'tset'; did you mean 'test'?"
	fails_with 2 rn-train loss.er --pred test=test.er --metric test=f1
	says "rn-train: --metric test=f1: no run that has this setting is called 'test'"
	fails_with 2 rn-train model.json --as al=x
	says "rn-train: --as al=x: no run that has this setting is called 'al'; did you mean 'all'?"
	fails_with 2 rn-train model.json --no-embedding=none
	says "rn-train: --embedding none=false: no run that has this setting is called 'none'"
	fails_with 2 rn-train model.json --metric =f1
	says "rn-train: --metric =f1: no run that has this setting is called ''"
	fails_with 2 rn-train loss.er --decode class
	says "rn-train: --decode class: there is no run that has this setting"
	fails_with 2 rn-train loss.er --pred test=test.er --metric accuracy
	says "rn-train: --metric accuracy: there is no run that has this setting"
	fails_with 2 rn-train model.json --metric f1 --metric mae
	says "rn-train: --metric is given twice"
	fails_with 2 rn-train model.json --as all=x --as all=y
	says "rn-train: --as is given twice for 'all'"
	fails_with 2 rn-train model.json --embedding --no-embedding
	says "rn-train: --embedding is given twice"
	fails_with 2 rn-train model.json --no-embedding=
	says "rn-train: --no-embedding wants RUN, not ''"
	fails_with 2 rn-train loss.er --eval a=test.er --eval b=test.er --metric a=f1 --target y
	says "rn-train: --eval wants --metric as well"
	fails_with 2 rn-train loss.er --eval /tmp/a=b
	says "rn-train: --eval wants NAME=STREAM, not '/tmp/a=b'"
	fails_with 2 rn-train model.json --decode all=best
	[[ $stderr == "rn-train: pred: --decode wants auto, class, value, label or none, not 'best'" ]]
}

@test "--untrained has predictions and metrics, and nothing about a fit" {
	streams
	rn-train --untrained --pred p=out.er -q
	[ "$(wc -l <p.csv)" = 91 ]
	fails_with 2 rn-train --untrained
	says "rn-train: --untrained wants --pred NAME=STREAM or --eval NAME=STREAM"
	rn-train --untrained --eval a=test.er --metric accuracy --target y -q >metrics
	grep -Eq '^a [01]\.[0-9]{4}, [0-9.e-]+ s$' metrics
	fails_with 2 rn-train --untrained --pred p=out.er --val test.er --metric accuracy --target y
	says "rn-train: --val wants a fit, and --untrained has none"
	fails_with 2 rn-train --untrained --pred p=out.er --epochs 3
	says "rn-train: --epochs is about a fit, and --untrained has none"
	fails_with 2 rn-train --untrained model.json
	[[ $stderr == "rn-train: unexpected operand 'model.json'; usage: "* ]]
}

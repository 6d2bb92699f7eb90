#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Training from the command line: two spellings, checkpoints, signals, models.

load lib

bits() {
	"$@" --json | member bits
}

@test "a spec: summary, JSON, predictions, model" {
	points
	run -0 --separate-stderr rn-train model.json -o m.rnm
	[[ $output =~ ^test\ 0\.[0-9]{4},\ val\ [01]\.[0-9]{4},\ 40\ epochs\ \(best\ [0-9]+\),\ [0-9.e-]+\ ms\ each,\ [0-9.e-]+\ s,\ bits\ [0-9a-f]{16}$ ]]
	[ -z "$stderr" ]
	[ "$(head -n 1 pred.csv)" = id,a,b,y,split,prediction,z0,z1 ]
	[ "$(wc -l <pred.csv)" = 91 ]
	run -0 --separate-stderr rn-train model.json --json --tag example=plane --tag n=90
	for k in seed epochs best_epoch val test bits ms_per_epoch seconds_bind seconds_fit seconds_total \
		parameters peak_bytes device example n; do
		[[ $output == *"\"$k\": "* ]]
	done
	[[ $output == *'"example": "plane"'* ]]
	[[ $output == *'"n": 90'* ]]
	[ "${#lines[@]}" = 1 ]
	run -0 --separate-stderr rn-train model.json -q # quiet is about messages, not about the result
	[ -z "$stderr" ]
	[[ $output == "test 0."* ]]
}

@test "pipeline and JSON train to the same bits, and each becomes the other" {
	points
	train_pipeline --json -o p.rnm >p.out
	want=$(member bits <p.out)
	[ ${#want} = 16 ]
	[ "$(bits rn-train model.json)" = "$want" ]
	rn-explain p.rnm --json >again.json
	[ "$(bits rn-train again.json)" = "$want" ]
	[ "$(rn-explain --json p.rnm | bits rn-train -)" = "$want" ]
	rn-explain model.json --json >same.json
	[ "$(bits rn-train same.json)" = "$want" ]
	diff <(rn-explain model.json | grep -v '^fit\|^pred\|scan' | sed 's/  *=/ =/') \
		<(rn-explain p.rnm | grep -v '^fit\|^pred\|scan' | sed 's/  *=/ =/')
	diff <(cut -d , -f 1,6 pred.csv) <(cut -d , -f 1,6 all.csv)
}

@test "the same bits for threads, block sizes and placements" {
	points
	want=$(bits rn-train model.json)
	for o in '-t 1' '-t 2' '-t 4' '--placement staged' '--placement staged --stages 2 -t 2'; do
		# shellcheck disable=SC2086
		[ "$(bits rn-train model.json $o)" = "$want" ]
	done
	for o in '--block-rows 1' '--block-rows 13'; do
		# shellcheck disable=SC2086
		rn-scan points.csv --key id $o | rn-encode 'raw(a, b)' --name x $o -o x.er
		rn-linear 8 --name h x.er | rn-map 'Dropout(0.2)(ReLU(z))' --name drop |
			rn-linear 2 --name out -o out.er
		rn-filter "split = 'train'" out.er | rn-loss cross-entropy --target y >loss.er
		[ "$(bits rn-train loss.er --val <(rn-filter "split = 'val'" out.er) --metric accuracy --target y --epochs 40)" = "$want" ]
	done
}

@test "another seed gives other bits; --runs counts seeds up" {
	points
	a=$(bits rn-train model.json --seed 3)
	[ "$a" != "$(bits rn-train model.json --seed 4)" ]
	rn-train model.json --seed 3 --runs 3 --json >runs
	grep -q '"runs": 3, "metric": "accuracy", "mean": 0[.0-9]*, "std": 0[.0-9]*, "spread": {"val": {' runs
	[ "$(grep -o '"seed": [345], "epochs"' runs | sort -u | wc -l)" = 3 ]
	grep -q "\"bits\": \"$a\"" runs
	run -0 rn-train model.json --runs 2
	[[ $output == "test 0."*" +- 0."*", val "*", 2 runs of 40 epochs "* ]]
}

@test "options override a spec's runs" {
	points
	rn-train model.json --epochs 3 --json | grep -q '"epochs": 3,'
	rn-train model.json --set epochs=5 --json | grep -q '"epochs": 5,'
	[ "$(bits rn-train model.json --lr 0.1)" != "$(bits rn-train model.json)" ]
	[ "$(bits rn-train model.json --optimizer sgd --momentum 0.9)" != "$(bits rn-train model.json)" ]
	rn-train model.json --epochs 500 --lr 0.5 --patience 3 --json >out
	[ "$(member epochs <out)" -lt 500 ]
	rn-train model.json --metric f1_macro --json | grep -q '"test": 0\.'
	sed 's/^\([0-9]*\),/9\1,/' points.csv >other.csv
	rn-train model.json --source points=other.csv -q
	[ "$(sed -n 2p pred.csv | cut -d , -f 1)" = 90 ]
}

@test "--log has a JSON line for each epoch" {
	points
	rn-train model.json -q --log log --epochs 7
	[ "$(wc -l <log)" = 7 ]
	grep -q '^{"run":0,"fit":0,"epoch":7,"loss":[0-9.]*,"val":[0-9.]*,"ms":[0-9.]*}$' log
}

@test "--stats: what other programs tell, and what only training has" {
	points
	run -0 --separate-stderr rn-train model.json -o m.rnm --stats=json
	[[ $stderr == '{"program":"rn-train","deferred":false,"rows_in":90,"rows_out":90,'*'"blocks_out":'[1-9]*',"raw_bytes":'[1-9]*',"written_bytes":'[1-9]*'"spilled_bytes":0,'*'"seconds":'*',"epochs":40,"steps":40,"validations":40,"seconds_bind":'*',"seconds_fit":'*',"seconds_per_step":'*',"seconds_per_validation":'*',"peak_bytes":'[1-9]*'}' ]]
	run -0 --separate-stderr rn-train model.json --runs 2 --val-every 4 --epochs 8 --stats
	[[ $stderr == "rn-train: 90 rows in, 90 rows out"*", 0 bytes raw, 0 written, "*" s; 16 epochs, 16 steps of "*" ms, 4 validations of "*" ms, peak memory "*" bytes" ]]
	printf '?source points = "points.csv" .\n?pred P(id) :- points(id, y: 1) .\n' >q.relnn
	run -0 --separate-stderr rn-train q.relnn --stats=json
	[[ $stderr == '{"program":"rn-train","deferred":false,"rows_in":90,"rows_out":'[1-9]*'"epochs":0,"steps":0,"validations":0,'* ]]
}

@test "checkpoint and resume end in the same bits" {
	points
	want=$(bits rn-train model.json)
	for e in 1 17 39; do
		rn-train model.json -q --epochs 40 --checkpoint c.rnm --checkpoint-every $e
		rn-info c.rnm | grep -q '^c.rnm: checkpoint, format 1.0'
		[ "$(bits rn-train model.json --resume c.rnm)" = "$want" ]
	done
}

@test "a changed source is noticed by --resume, unless --allow-changed" {
	points
	rn-train model.json -q --checkpoint c.rnm --checkpoint-every 10
	sed -i 's/^1,/1001,/' points.csv
	fails_with 2 rn-train model.json -q --resume c.rnm
	[[ $stderr == "rn-train: "*"--allow-changed"* ]]
	rn-train model.json -q --resume c.rnm --allow-changed
}

# runs: the training does; where it has ended, what it said.
runs() {
	kill -0 "$child" 2>/dev/null || { cat err && return 1; }
}

# A training that takes long enough to be stopped, in the background: $child.  A shell
# has its background jobs ignore SIGINT, which env undoes.
slow() {
	sed -i 's/"hidden": 8, "epochs": 40/"hidden": 64, "epochs": 10000000/' model.json
	rm -f log
	env --default-signal=INT rn-train model.json --log log "$@" >out 2>err </dev/null &
	child=$!
	until [ -s log ]; do
		runs
		sleep 0.05
	done
}

@test "SIGTERM and SIGINT: a checkpoint at the epoch's end, the signal's status, exact resume" {
	for sig in TERM INT; do
		rm -f c.rnm
		points
		slow --checkpoint c.rnm
		kill -$sig $child
		rc=0
		wait $child || rc=$?
		[ $rc = $((128 + $(kill -l $sig))) ]
		grep -q "^rn-train: warning: stopped; go on with --resume 'c.rnm'$" err
		[ ! -s out ]
		n=$(wc -l <log)
		sed -i "s/\"epochs\": 10000000/\"epochs\": $((n + 20))/" model.json
		want=$(bits rn-train model.json)
		[ "$(bits rn-train model.json --resume c.rnm --allow-changed)" = "$want" ]
	done
}

@test "killed at any time and resumed: the same bits" {
	points
	slow --checkpoint c.rnm --checkpoint-every 20
	until [ -s c.rnm ]; do runs; sleep 0.05; done
	kill -9 $child
	wait $child || true
	n=$(wc -l <log)
	sed -i "s/\"epochs\": 10000000/\"epochs\": $((n + 50))/" model.json
	want=$(bits rn-train model.json)
	[ "$(bits rn-train model.json --resume c.rnm --allow-changed)" = "$want" ]
}

@test "without --checkpoint a signal ends it at once" {
	points
	slow
	kill -TERM $child
	rc=0
	wait $child || rc=$?
	[ $rc = 143 ]
	[ ! -s err ]
}

@test "predict and eval: the model's data, and other data" {
	points
	rn-train model.json -o m.rnm --json >out
	prints "test accuracy $(printf %.4f "$(member test <out)")" rn-eval m.rnm
	[ "$(rn-eval m.rnm --json | member test)" = "$(member test <out)" ]
	rn-predict m.rnm -o again.csv
	diff pred.csv again.csv
	diff pred.csv <(rn-predict m.rnm | rn-cat)
	rn-predict m.rnm -o again.jsonl
	[ "$(wc -l <again.jsonl)" = 90 ]
	rn-predict m.rnm | rn-filter 'y = prediction' | rn-agg --cols 'n=count(*)' | rn-cat >/dev/null
	head -n 11 points.csv >few.csv
	diff <(head -n 11 pred.csv) <(rn-predict m.rnm --source points=few.csv | rn-cat)
	mkdir away
	(cd away && rn-predict ../m.rnm | rn-cat) | diff pred.csv -
	fails_with 2 rn-predict m.rnm --stage nope
	[[ $stderr == "rn-predict: the model has no stage 'nope'"* ]]
	fails_with 2 rn-predict m.rnm --source nope=few.csv
}

@test "a model from a pipeline: sources that were piped must be given" {
	points
	rn-scan <points.csv --key id --name points | rn-encode 'raw(a, b)' | rn-linear 2 --name out -o out.er
	rn-train <(rn-loss cross-entropy --target y out.er) --pred all=out.er --epochs 5 -q -o m.rnm
	fails_with 2 rn-predict m.rnm
	says "rn-predict: the rows of source 'points' came through a pipe and are gone: give them with --source points=FILE"
	diff all.csv <(rn-predict m.rnm --source points=points.csv | rn-cat)
}

@test "--source on a pipeline computes anew what depends on it" {
	points
	rn-scan points.csv --key id | rn-encode 'raw(a, b)' | rn-linear 2 --name out -o out.er
	head -n 31 points.csv >few.csv
	rn-train <(rn-loss cross-entropy --target y out.er) --pred all=out.er --epochs 5 -q --source points=few.csv
	[ "$(wc -l <all.csv)" = 31 ]
	fails_with 2 rn-train <(rn-loss cross-entropy --target y out.er) --source nope=few.csv
	fails_with 2 rn-train <(rn-loss cross-entropy --target y out.er) --set a=1
	says "rn-train: --set is for the constants of a spec or a program; a pipeline has none"
}

@test "weights out and in, as .npy and from a model" {
	points
	rn-train model.json -q --weights-out w -o m.rnm
	[ "$(ls w)" = $'h.bias.npy\nh.weight.npy\nout.bias.npy\nout.weight.npy' ]
	a=$(bits rn-train model.json --weights-in w --epochs 1)
	[ "$a" = "$(bits rn-train model.json --weights-in m.rnm --epochs 1)" ]
	[ "$a" != "$(bits rn-train model.json --epochs 1)" ]
	prints $'z0,z1' bash -c 'rn-scan points.csv --row-id r | rn-head -n 8 | rn-project --cols r | rn-scan - --format er --emb w/out.weight.npy | rn-project --cols r | rn-cat | head -n 1 | cut -d , -f 2-'
}

@test "divergence: exit 5 and the first stage that left the finite numbers" {
	points
	fails_with 5 rn-train model.json --optimizer sgd --lr 1e30 --epochs 30
	[[ $stderr == "rn-train: "*"'h'"* ]] || [[ $stderr == "rn-train: "*"'out'"* ]] || [[ $stderr == "rn-train: "*"'drop'"* ]]
}

@test "progress on a terminal only" {
	points
	run -0 --separate-stderr rn-train model.json --epochs 2000
	[ -z "$stderr" ]
	run script -qec "rn-train model.json --epochs 60000" typescript
	[ "$status" = 0 ]
	[[ $output == *"epoch "*"/60000  loss "*" rows/s  "*" s left"* ]]
	run script -qec "rn-train -q model.json --epochs 60000" typescript
	[[ $output == *"test "* && $output != *" left"* ]]
}

@test "explain: a spec, a stream, a model; schemas and rows" {
	points
	run -0 --separate-stderr rn-explain model.json
	[[ $output == *'h      = linear(x) 8  -> (id int64, a float64, b float64, y int64, split string; z [8])'* ]]
	[[ $output == *$'\nfit(loss) --epochs 40\n'* ]]
	[[ $output == *$'\npred(out) --name all --to pred.csv' ]]
	rn-explain model.json --set hidden=5 | grep -q '= linear(x) 5 '
	rm points.csv
	run -0 --separate-stderr rn-explain model.json
	[[ $stderr == "rn-explain: warning: no schemas: cannot open 'points.csv'"* ]]
	[[ $output == *'h      = linear(x) 8'* ]]
}

@test "the JSON Schema of specs" {
	rn-train --schema >s
	grep -q '"\$schema"' s
	grep -q '"optimizer"' s
	grep -q '"cross-entropy"' s
	grep -q '"uniqueItems": *true' s
	fails_with 2 rn-train --schema model.json
}

@test "misuse of rn-train" {
	points
	rn-train model.json -q -o m.rnm
	fails_with 2 rn-train m.rnm
	[[ $stderr == "rn-train: 'm.rnm' is a trained model: "* ]]
	fails_with 2 rn-train model.json --val m.rnm
	says "rn-train: --val is for pipelines: the runs of a spec are in its \"run\" list"
	fails_with 2 rn-train points.csv
	fails_with 2 rn-train model.json --tag x
	says "rn-train: --tag wants KEY=VALUE, not 'x'"
	fails_with 2 rn-train model.json --runs 0
	says "rn-train: --runs must be 1 to 1000000000, not 0"
	fails_with 2 rn-train model.json --checkpoint-every 5
	says "rn-train: --checkpoint-every wants --checkpoint FILE"
	fails_with 2 rn-train model.json --lr -1
	[[ $stderr == "rn-train: "*"lr must be"* ]]
	fails_with 2 rn-train model.json -o - --json
	rn-scan points.csv --key id | rn-encode 'raw(a, b)' | rn-linear 2 --name out -o out.er
	fails_with 2 rn-train out.er
	says "rn-train: 'out.er' is not a loss: end the pipeline with rn-loss"
	rn-loss cross-entropy --target y out.er -o loss.er
	fails_with 2 rn-train loss.er --val out.er --metric accuracy
	says "rn-train: --val wants --target as well"
	rn-train model.json -o - | rn-info | grep -q ': model'
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Losses that are written out, schedules, clipping, per-value weights, normalisation over rows,
# negatives and ranking metrics, through the programs.

load lib

# pairs: labels 0, 1, 2 beside two features and a target of two values.
pairs() {
	printf 'id,a,b,y,u,v\n1,1,0,0,.1,.2\n2,0,1,1,.3,.1\n3,1,1,2,.5,.4\n4,-1,0,0,.2,0\n5,0,-1,1,0,.1\n'
}

@test "a loss of value: as the stage cross-entropy" {
	pairs >p.csv
	rn-scan p.csv --emb a,b | rn-linear 3 --name h -o h.er
	rn-loss cross-entropy --target y h.er | rn-train --epochs 20 --log one --weights-out w1 -q >/dev/null
	rn-map --name h2 'CrossEntropyLoss()(z, [y])' h.er | rn-loss value |
		rn-train --epochs 20 --log two --weights-out w2 -q >/dev/null
	cmp w1/h.weight.npy w2/h.weight.npy
	cmp w1/h.bias.npy w2/h.bias.npy
	grep -o '"loss":[^,}]*' one >a
	grep -o '"loss":[^,}]*' two >b
	[ "$(wc -l <a)" = 20 ]
	cmp a b
}

@test "a loss of value: metrics of classes and of values" {
	pairs >p.csv
	rn-scan p.csv --emb a,b | rn-linear 3 --name h -o h.er
	rn-map --name l 'CrossEntropyLoss()(z, [y])' h.er | rn-loss value |
		rn-train --epochs 300 --lr 0.1 --eval train=h.er --metric accuracy --target y --json -q >r
	[[ $(member train <r) == 0.6 ]]
	rn-map --name l 'MSELoss()(Linear(3, 2, name="o")(z), [u, v])' h.er | rn-loss value |
		rn-train --epochs 3 -q >/dev/null
}

@test "a label that is no class is an error of the data, unless it is ignored" {
	pairs | sed 's/^3,1,1,2/3,1,1,7/' >p.csv
	rn-scan p.csv --emb a,b | rn-linear 3 --name h -o h.er
	for loss in 'CrossEntropyLoss()(z, [y])' 'CrossEntropyLoss(label_smoothing=0.1)(z, [y])' \
		'NLLLoss()(LogSoftmax(z), [y])'; do
		rn-map --name l "2 * $loss" h.er | rn-loss value -o l.er
		fails_with 3 rn-train --epochs 2 l.er
		[[ $stderr == "rn-train: map 'l': "*": row 2 has the label 7, and the 3 classes of the prediction are 0 to 2 ("* ]]
		rn-map --name l "2 * ${loss/Loss(/Loss(ignore_index=7, }" h.er | rn-loss value |
			rn-train --epochs 2 -q >/dev/null
	done
}

@test "a target that is no class and is made from embeddings ends a training, and the stage is named" {
	pairs | sed 's/^3,1,1,2/3,1,1,7/' >p.csv
	rn-scan p.csv --emb a,b | rn-linear 3 --name h | rn-map --name l 'CrossEntropyLoss()(z, abs([y]))' |
		rn-loss value -o l.er
	fails_with 5 rn-train --epochs 2 l.er
	says "rn-train: training diverged at epoch 1: stage 'l' (map) gave a non-finite value first"
}

@test "a loss of value takes no target, the others want one" {
	pairs >p.csv
	fails_with 2 rn-loss value --target y p.csv
	says "rn-loss: value takes no --target: the embedding is the loss already"
	fails_with 2 rn-loss mse p.csv
	says "rn-loss: mse wants a --target column"
	rn-scan p.csv --emb a,b -o p.er
	fails_with 2 rn-loss value p.er
	says "rn-loss: value wants one value a row, shape [1], not an embedding of shape [2]"
}

@test "fitted encoders in brackets: a stage of their own" {
	printf 'id,c,x,t,w,y\n1,red,1,2020-01-01T10:00:00Z,0,0\n2,blue,2,2020-02-01T11:00:00Z,1,1\n' >a.csv
	printf '3,red,4,2020-03-03T12:00:00Z,2,1\n4,green,7,2020-04-01T00:00:00Z,1,0\n' >>a.csv
	cat >m.relnn <<-'EOF'
		?source A = "a.csv" <key="id"> .
		H(id, y; Linear(12, 2)(Concat([Index(3)(w)], [x, OneHot(c), Category(2)(c)], [Cyclic(hour)(t)]))) :-
			A(id, c, x, t, w, y) .
		B(y; sum([Index(3)(w)])) :- A(id, c, x, t, w, y) .
		?fit <epochs=30> L(; CrossEntropyLoss()(z, [y])) :- H(id, y; z) .
		?pred P(y; z) :- B(y; z) .
		?pred Q(y; z) :- H(id, y; z) .
	EOF
	rn-train m.relnn --output-dir one -q >/dev/null
	rn-compile m.relnn -o m.json
	grep -q '"expr": "raw(x), OneHot(c), Category(2)(c)", "as": "enc1"' m.json
	rn-train m.json --output-dir two -q >/dev/null
	cmp one/P.csv two/P.csv
	cmp one/Q.csv two/Q.csv
	# The same in the shell, where --as keeps what is there.
	rn-scan a.csv --emb x | rn-encode 'raw(w)' --as e | rn-map 'Concat(e, z)' | rn-cat --no-header >got
	[ "$(cut -d, -f 6,7 <got | paste -sd' ')" = "0,1 1,2 2,4 1,7" ]
}

# A network with batch normalisation, dropout, a schedule and clipping.
normed() {
	pairs >p.csv
	rn-scan p.csv --emb a,b | rn-map --name n 'BatchNorm1d(4)(Linear(2, 4)(z))' |
		rn-map --name d 'Dropout(0.3)(Tanh(z))' | rn-linear 3 --name h -o h.er
	rn-loss cross-entropy --target y h.er -o l.er
}

bits() {
	"$@" --json -q | member bits
}

FIT=(--epochs 20 --lr 0.05 --schedule cosine --warmup 3 --clip 0.5)

@test "running statistics, schedule and clipping: staged = fused, and a resumed run ends in the same bits" {
	normed
	want=$(bits rn-train l.er "${FIT[@]}")
	for o in '-t 2' '--placement staged' '--placement staged --stages 2 -t 2'; do
		read -ra words <<<"$o"
		[ "$(bits rn-train l.er "${FIT[@]}" "${words[@]}")" = "$want" ]
	done
	# The last checkpoint is of epoch 14.
	rn-train l.er "${FIT[@]}" --checkpoint c.rnm --checkpoint-every 7 -q >/dev/null
	[ "$(bits rn-train l.er "${FIT[@]}" --resume c.rnm)" = "$want" ]
	[ "$(bits rn-train l.er "${FIT[@]}" --schedule step --period 5)" != "$want" ]
}

@test "batch normalisation: running statistics are kept by the model and used outside training" {
	normed
	rn-train l.er "${FIT[@]}" -o m.rnm --weights-out w --json -q >r
	[ "$(member parameters <r)" = 35 ] # and not the 8 running statistics
	ls w | grep -q 'running_mean'
	rn-scan p.csv --emb a,b | rn-map --name n 'BatchNorm1d(4)(Linear(2, 4)(z))' --model m.rnm |
		rn-cat --no-header >all
	head -n 2 p.csv | rn-scan - --format csv --emb a,b |
		rn-map --name n 'BatchNorm1d(4)(Linear(2, 4)(z))' --model m.rnm | rn-cat --no-header >one
	cmp <(head -n 1 all) one
}

@test "schedules and clipping: what is wrong" {
	normed
	fails_with 2 rn-train l.er --schedule linear
	[[ $stderr == *"constant, step, exponential"* || $stderr == *"constant|step|exponential|cosine"* ]]
	fails_with 2 rn-train l.er --clip -1
	says "rn-train: clip must not be below 0, not -1"
	fails_with 2 rn-train l.er --warmup -1
}

@test "a weight matrix per value" {
	printf 's,t,r,y\n1,1,a,0\n2,1,b,1\n3,2,a,0\n4,3,c,1\n2,3,a,1\n' >e.csv
	rn-scan e.csv --emb s,t | rn-linear 2 --per r --bases 2 --name h | rn-loss cross-entropy --target y |
		rn-train --epochs 5 -o m.rnm --weights-out w -q >/dev/null
	[ "$(rn-info m.rnm | grep -o 'h.coef: 3 rows\|h.basis: 2 rows\|h.bias: 2 rows' | wc -l)" = 3 ]
	# In an expression it is the same layer.
	rn-scan e.csv --emb s,t | rn-map --name h 'Linear(2, 2, per=r, bases=2)(z)' |
		rn-loss cross-entropy --target y | rn-train --epochs 5 --weights-out v -q >/dev/null
	cmp w/h.coef.npy v/h.coef.npy
	# Rows in another order, and a value that training had not.
	printf 's,t,r\n4,3,c\n2,1,none\n1,1,a\n' >f.csv
	rn-scan f.csv --emb s,t | rn-linear 2 --per r --bases 2 --name h --model m.rnm 2>err | rn-cat --no-header >got
	rn-scan e.csv --emb s,t | rn-linear 2 --per r --bases 2 --name h --model m.rnm | rn-cat --no-header >all
	[ "$(sed -n 1p got | cut -d, -f 2-)" = "$(sed -n 4p all | cut -d, -f 3-)" ]
	[ "$(sed -n 3p got | cut -d, -f 2-)" = "$(sed -n 1p all | cut -d, -f 3-)" ]
	grep -q "warning: h: 1 of 3 rows have a value of 'r' that was not there in training; their product is 0" err
	fails_with 2 rn-linear 2 --bases 2 e.csv
	says "rn-linear: --bases are of the matrices --per COL"
}

@test "?pred P(x, [ArgMax(z)]) and [z]: columns, named as the head says" {
	pairs >p.csv
	cat >d.relnn <<-'EOF'
		?source A = "p.csv" <key="id"> .
		H(id, y; Linear(1, 3)([a])) :- A(id, a: a, y: y) .
		V(id; slice(0, 1)(z)) :- H(id, y; z) .
		?fit <epochs=30> L(; CrossEntropyLoss()(z, [y])) :- H(id, y; z) .
		?pred P(id, [ArgMax(z)]) :- H(id, y; z) .
		?pred Q(id, best: [ArgMax()(z)]) :- H(id, y; z) .
		?pred R(id, [z]) :- V(id; z) .
		?pred S(id; z) :- V(id; z) .
	EOF
	rn-train d.relnn -q >/dev/null
	[ "$(head -n 1 P.csv) $(head -n 1 Q.csv) $(head -n 1 R.csv) $(head -n 1 S.csv)" = \
		'id,prediction id,best id,prediction id,z' ]
	cmp <(cut -d, -f 2 P.csv | tail -n +2) <(cut -d, -f 2 Q.csv | tail -n +2)
	echo '?pred W(id, [z]) :- H(id, y; z) .' >>d.relnn
	fails_with 2 rn-train d.relnn -q
	[[ $stderr == *"column 'prediction' is one number, and the embedding has 3"* ]]
}

# losses LOG: of each epoch
losses() {
	grep -o '"loss":[^,}]*' "$1" | cut -d: -f 2
}

# line RUN...: a program that fits a line, with further statements.
line() {
	pairs >p.csv
	printf '%s\n' '?source A = "p.csv" <key="id"> .' 'H(id, y; Linear(1, 1)([a])) :- A(id, a: a, y: y) .' "$@" >l.relnn
}

@test "a spec whose val run has no fit is refused" {
	pairs >p.csv
	printf '{"rn": 1, "sources": {"p": {"from": "p.csv", "emb": "a"}}, "run": [%s, %s]}' \
		'{"val": {"in": "p", "metric": "mae", "target": "id"}}' '{"pred": {"name": "q", "in": "p"}}' >s.json
	fails_with 2 rn-train s.json
	says "rn-train: val of 'p': there is nothing to train: the plan has no fit run, which a val run is of"
	[ ! -e q.csv ]
}

@test "a label that is none is told before the first epoch" {
	points
	sed -i 's/,[01],val/,2,val/' points.csv
	sed -i 's/"out": 2}/"out": 1}/; s/"kind": "cross-entropy"/"kind": "bce"/; /"eval"/d' model.json
	fails_with 3 rn-train model.json --log log -q
	[[ $stderr == *"val of 'val': column 'y' has 2 in row "*", but a binary label is 0 or 1" ]]
	[ ! -s log ]
}

@test "r2 is what scikit-learn defines" {
	line '?fit <epochs=40, lr=0.05> L(; MSELoss()(z, [y])) :- H(id, y; z) .' \
		'?eval <name="all", metric="r2", target="y"> E(id, y; z) :- H(id, y; z) .' \
		'?eval <name="one", metric="r2", target="y"> F(id, y; z) :- H(id, y; z), y == 1 .' \
		'?pred P(id, y; z) :- H(id, y; z) .'
	rn-train l.relnn --json >out 2>err
	awk -F, -v r="$(member all <out)" 'NR > 1 { y[NR] = $2; p[NR] = $NF; m += $2 / 5 }
		END { for (i in y) { a += (y[i] - p[i]) ^ 2; t += (y[i] - m) ^ 2 }
			d = 1 - a / t - r; exit !(NR == 6 && d < 1e-5 && d > -1e-5) }' P.csv
	grep -q '"one": null' out
	[[ $(<err) == *"r2 is not defined: all labels are equal"* ]]
}

@test "a fit of a sum, of the largest and of the mean" {
	for agg in '' mean sum max; do
		line "?fit <epochs=5, lr=0.1, optimizer=\"sgd\"> L(; $agg(MSELoss()(z, [y]))) :- H(id, y; z) ."
		rn-train l.relnn --log "log$agg" -q --weights-out "w$agg" >/dev/null
	done
	cmp w/H.weight.npy wmean/H.weight.npy
	# The first loss of a sum is five times the mean; so a fifth of the learning rate does the same.
	awk -v s="$(losses logsum | head -n 1)" -v m="$(losses logmean | head -n 1)" \
		'BEGIN { d = s / m - 5; exit !(d < 1e-5 && d > -1e-5) }'
	line '?fit <epochs=5, lr=0.02, optimizer="sgd"> L(; sum(MSELoss()(z, [y]))) :- H(id, y; z) .'
	rn-train l.relnn --log fifth -q >/dev/null
	awk -v s="$(losses fifth | tail -n 1)" -v m="$(losses logmean | tail -n 1)" \
		'BEGIN { d = s / m - 5; exit !(d < 1e-4 && d > -1e-4) }'
	awk -v s="$(losses logmax | head -n 1)" -v m="$(losses logmean | head -n 1)" 'BEGIN { exit !(s > m && s < 5 * m) }'
}

@test "?fit (Loss): a rule, an earlier fit's loss; the rule is a relation all the same" {
	line '?fit <epochs=9, lr=0.1> Loss(; MSELoss()(z, [y])) :- H(id, y; z) .'
	want=$(rn-train l.relnn --json -q | member bits)
	line 'Loss(; MSELoss()(z, [y])) :- H(id, y; z) .' '?pred Before(; z) :- Loss(; z) .' \
		'?fit <epochs=9, lr=0.1> (Loss) .' '?pred After(; z) :- Loss(; z) .'
	[ "$(rn-train l.relnn --json -q | member bits)" = "$want" ]
	awk -v a="$(tail -n 1 After.csv)" -v b="$(tail -n 1 Before.csv)" 'BEGIN { exit !(a < b && a > 0) }'
	[ "$(head -n 1 After.csv)" = z ] # a figure over all rows is no row's prediction
	line '?fit <epochs=9, lr=0.1> Loss(; MSELoss()(z, [y])) :- H(id, y; z) .' '?fit <epochs=9, lr=0.1> (Loss) .'
	two=$(rn-train l.relnn --json -q | member bits)
	line 'Loss(; MSELoss()(z, [y])) :- H(id, y; z) .' '?fit <epochs=9, lr=0.1> (Loss) .' '?fit <epochs=9, lr=0.1> (Loss) .'
	[ "$(rn-train l.relnn --json -q | member bits)" = "$two" ]
	[ "$two" != "$want" ]
	# And in the other spellings.
	rn-compile l.relnn -o l.json
	[ "$(rn-train l.json --json -q | member bits)" = "$two" ]
}

@test "without a fit a prediction has initial values, or those of --weights-in, and says so" {
	line '?pred P(id; z) :- H(id, y; z) .'
	rn-train l.relnn 2>err
	[[ $(<err) == "rn-train: warning: nothing trains 'H.weight' and the other parameters: predictions are made with initial values"* ]]
	mv P.csv first.csv
	line '?pred P(id; z) :- H(id, y; z) .' '?fit <epochs=2> L(; MSELoss()(z, [y])) :- H(id, y; z) .'
	rn-train l.relnn -q --weights-out w >/dev/null
	cmp <(cut -d, -f 1,3 P.csv) first.csv
	line '?pred P(id; z) :- H(id, y; z) .'
	rn-train l.relnn --weights-in w 2>err
	[ ! -s err ]
	run ! cmp -s P.csv first.csv
	# They are a model, too.
	rn-train l.relnn --weights-in w -o m.rnm --weights-out v
	cmp w/H.weight.npy v/H.weight.npy
	rn-predict m.rnm -o again.csv
	diff again.csv P.csv
	# Where there is a fit, what it leaves out is an error before it begins.
	line '?fit <epochs=2> L(; MSELoss()(z, [y])) :- H(id, y; z) .' 'G(id; Linear(1, 1, name="G")([a])) :- A(id, a: a) .' \
		'?pred Q(id) :- A(id) .' '?pred P(id; z) :- G(id; z) .'
	rm -f Q.csv
	fails_with 2 rn-train l.relnn --log log
	[[ $stderr == *"pred 'P': "*"parameter 'G.weight' was never trained"* ]]
	[ ! -e Q.csv ]
	run ! grep -q epoch log
}

@test "without a fit tags are reported, and options about fits refused" {
	local run='?eval <name="e", metric="mae", target="y"> (H) .'
	line "$run" '?pred P(id; z) :- H(id, y; z) .'
	rn-train l.relnn --json --tag a=b --tag n=2 >out 2>err
	grep -q '"a": "b"' out
	grep -q '"n": 2' out
	[[ $(<err) == *": predictions and metrics are made with initial values"* ]]
	line "$run"
	rn-train l.relnn >out 2>err
	[[ $(<err) == *": metrics are computed with initial values"* ]]
	fails_with 2 rn-train l.relnn --tag e=1
	says "rn-train: an eval cannot be called 'e': the report has that member already"
	for option in '--runs 2' '--checkpoint c.rnm' '--log log' '--log-every 2' '--resume c.rnm' '--retry 1 --placement staged'; do
		fails_with 2 rn-train l.relnn $option
		option=${option%% *}
		says "rn-train: $option is about a fit, and 'l.relnn' has none"
	done
	[ ! -e log ]
	[ ! -e c.rnm ]
	fails_with 2 rn-train --untrained --log log --pred p=none.er
	says "rn-train: --log is about a fit, and --untrained has none"
}

@test "a prediction on standard output is alone there" {
	line '?fit <epochs=2> L(; MSELoss()(z, [y])) :- H(id, y; z) .' '?pred <to="-"> P(id; z) :- H(id, y; z) .'
	rn-train l.relnn --output-dir o >got
	[ "$(head -n 1 got) $(wc -l <got)" = "id,prediction,z 6" ]
	[ ! -e o/- ]
	fails_with 2 rn-train l.relnn --json
	says 'rn-train: a prediction to "-" and --json both write to standard output'
	fails_with 2 rn-train l.relnn -o -
	[[ $stderr == *'both write to standard output'* || $stderr == *terminal* ]]
}

@test "?pred P(x; ArgMax()(z)): the class's number, and beside it what it is called" {
	pairs | awk -F, -v OFS=, 'NR > 1 { $4 = substr("neo", $4 + 1, 1) } 1' >q.csv
	for y in p q; do
		pairs >p.csv
		cat >a.relnn <<-EOF
			?source A = "$y.csv" <key="id"> .
			H(id, y; Linear(2, 3)([a, b])) :- A(id, a: a, b: b, y: y) .
			?fit <epochs=60, lr=0.1> L(; CrossEntropyLoss()(z, [y])) :- H(id, y; z) .
			?pred P(id; ArgMax()(z)) :- H(id, y; z) .
			?pred Q(id, [ArgMax(z)]) :- H(id, y; z) .
		EOF
		rn-train a.relnn -q >/dev/null
		cut -d, -f 1,2 P.csv >"$y.got"
		cmp <(tail -n +2 "$y.got") <(tail -n +2 Q.csv)
	done
	[ "$(head -n 1 p.got) $(head -n 1 q.got)" = "id,z id,prediction" ] # 0, 1, 2 are called so
	[ "$(cut -d, -f 2 q.got | sort -u | paste -sd ' ')" = "e n o prediction" ]
}

@test "rn-negative: pairs that are not known, whatever the spelling" {
	seq 0 9 | sed '1i v' >nodes.csv
	{ echo u,v; for u in 1 2 3; do for v in 0 1 2 3; do echo "$u,$v"; done; done; } >edges.csv
	rn-negative edges.csv --candidates nodes.csv --col v --per 2 --label y | rn-cat --no-header >pairs
	[ "$(wc -l <pairs)" = 36 ]
	[ "$(grep -c ',1$' pairs)" = 12 ]
	# No negative is an edge, all are candidates.
	grep ',0$' pairs >drawn
	[ "$(wc -l <drawn)" = 24 ]
	run ! grep -qxFf edges.csv <(cut -d, -f 1,2 drawn)
	run ! grep -qvxFf nodes.csv <(cut -d, -f 2 drawn)
	rn-negative edges.csv --candidates nodes.csv --col v --per 2 --label y --seed 9 --block-rows 5 |
		rn-cat --no-header | cmp - pairs
	rn-negative edges.csv --candidates nodes.csv --col v --per 2 --label y --draw 2 |
		rn-cat --no-header >other
	[ "$(wc -l <other)" = 36 ]
	run ! cmp -s other pairs
	# With 4 to 8 known, too, only 9 is left.
	{ echo u,v; for u in 1 2 3; do seq -f "$u,%g" 4 8; done; } >more.csv
	rn-negative edges.csv --candidates nodes.csv --known more.csv --col v | rn-cat --no-header |
		grep ',0$' | cut -d, -f 2 | sort -u >left
	[ "$(cat left)" = 9 ]
	# None is left: no copies, and a warning.
	for u in 1 2 3; do echo "$u,9" >>more.csv; done
	rn-negative edges.csv --candidates nodes.csv --known more.csv --col v 2>err | rn-cat --no-header >all
	[ "$(wc -l <all)" = 12 ]
	[[ $(<err) == *"12 of 12 rows have no negative: they are known pairs with every candidate" ]]
	fails_with 2 rn-negative edges.csv --candidates nodes.csv --col w
	fails_with 2 rn-negative edges.csv --candidates nodes.csv --col v --label u
	says "rn-negative: there is a column 'u' already: name the label with --label"
	fails_with 2 rn-negative edges.csv --candidates nodes.csv --col v --per 0
	says "rn-negative: per must be between 1 and 1048576, not 0"
}

@test "links: negatives, a dot product, hits and mrr by source" {
	seq 0 11 | sed '1i id' >nodes.csv
	{ echo u,v; for u in $(seq 0 11); do echo "$u,$(((u + 1) % 12))"; echo "$u,$(((u + 11) % 12))"; done; } >edges.csv
	cat >m.relnn <<-'EOF'
		?source nodes = "nodes.csv" <key="id"> .
		?source edges = "edges.csv" .
		?stage pairs = negative <col="v", per=2, label="y"> (edges, candidates=nodes) .
		E(n; Embedding(12, 4, name="e")([n])) :- nodes(n) .
		S(u, v, y; rowsum(a * b)) :- pairs(u, v, y), E(u; a), E(v; b) .
		?fit <epochs=60, lr=0.1> L(; BCEWithLogitsLoss()(view(1)(z), [y])) :- S(u, v, y; z) .
		?eval <name="hits", metric="hits@2", target="y", group="u"> T(u, y; z) :- S(u, v, y; z) .
	EOF
	rn-train m.relnn --json -q >r || { cat r; grep -n stage "$RN_ROOT/docs/language.md" | head; return 1; }
	awk -v h="$(member hits <r)" 'BEGIN { exit !(h > 0.5 && h <= 1) }'
}

# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# What the command-line tests share.  Every test runs in an empty folder of its
# own, with the programs under test first in PATH.

# shellcheck disable=SC2154 # status, output and stderr are set by run

bats_require_minimum_version 1.5.0

RN_ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
RN_BIN=${RN_BIN:-$RN_ROOT/build/release/bin}
export RN_ROOT RN_BIN PATH=$RN_BIN:$PATH
unset RN_SHM

# All programs, and those that write a stream.
mapfile -t PROGRAMS < <(cd "$RN_BIN" && printf '%s\n' rn-*)
# shellcheck disable=SC2034
STREAM_PROGRAMS=(rn-scan rn-filter rn-project rn-join rn-agg rn-union rn-sort rn-map rn-linear rn-embed
	rn-encode rn-loss rn-negative)
export PROGRAMS

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
}

# pipeline 'a | b': fails if any part does.
pipeline() {
	bash -o pipefail -c "$1"
}

# fails_with N COMMAND...: exits with exactly N, which is no crash; $output and $stderr are set.
fails_with() {
	local want=$1
	shift
	run --separate-stderr "$@"
	if [ "$status" != "$want" ]; then
		echo "exit status $status instead of $want: $*"
		echo "stderr: $stderr"
		return 1
	fi
	[ "$status" -lt 126 ]
}

# says 'TEXT': the whole of standard error of the last command.
says() {
	if [ "$stderr" != "$1" ]; then
		printf 'stderr is  %s\ninstead of %s\n' "$stderr" "$1"
		return 1
	fi
}

# limit KB: what follows in this subshell has so much address space; sanitizers need much of their own.
limit() {
	[ "${RN_VARIANT:-release}" != release ] || ulimit -v "$1"
}

# too_many EXAMPLE: ThreadSanitizer takes tens of minutes over what this one counts before it trains;
# dhn-sr25 is the same program over fewer graphs.
too_many() {
	[ "${RN_VARIANT:-release}" = tsan ] && [[ $1 == dhn-csl || $1 == dhn-exp ]] || return 1
	echo "# not under ThreadSanitizer: $1" >&3
}

# prints 'TEXT' COMMAND...: exits 0 and writes exactly this text (a last newline apart).
prints() {
	local want=$1
	shift
	run --separate-stderr "$@"
	if [ "$status" != 0 ] || [ "$output" != "$want" ]; then
		printf 'exit status %s\nstdout is  %s\ninstead of %s\nstderr: %s\n' "$status" "$output" \
			"$want" "$stderr"
		return 1
	fi
}

# same_stream A B: equal schemas and rows.
same_stream() {
	diff <(rn-cat "$1") <(rn-cat "$2") && diff <(schema "$1") <(schema "$2")
}

schema() {
	rn-info "$1" | grep -E '^  (column|part) '
}

# Tables that several tests use.
tables() {
	printf 'id,club,x,year\n1,a,0.5,2019\n2,b,,2020\n3,a,2,2021\n' >p.csv
	printf 'src,dst\n1,2\n2,3\n3,1\n1,3\n9,1\n' >e.csv
	rn-scan p.csv --key id -o p.er
	rn-scan e.csv -o e.er
}

# Two classes in the plane, with a split; what a small network learns in no time.
points() {
	awk 'BEGIN {
		srand(7); print "id,a,b,y,split"
		for (i = 0; i < 90; i++) {
			a = int(rand() * 2000 - 1000) / 1000; b = int(rand() * 2000 - 1000) / 1000
			print i "," a "," b "," (a + b > 0) "," (i % 3 == 0 ? "train" : i % 3 == 1 ? "val" : "test")
		}
	}' >points.csv
	cat >model.json <<-'END'
		{"rn": 1,
		 "constants": {"hidden": 8, "epochs": 40},
		 "sources": {"points": {"from": "points.csv", "key": ["id"]}},
		 "stages": [
		  {"name": "x", "op": "encode", "in": "points", "expr": "raw(a, b)"},
		  {"name": "h", "op": "linear", "in": "x", "out": "${hidden}"},
		  {"name": "drop", "op": "map", "in": "h", "expr": "Dropout(0.2)(ReLU(z))"},
		  {"name": "out", "op": "linear", "in": "drop", "out": 2},
		  {"name": "train", "op": "filter", "in": "out", "expr": "split = 'train'"},
		  {"name": "val", "op": "filter", "in": "out", "expr": "split = 'val'"},
		  {"name": "test", "op": "filter", "in": "out", "expr": "split = 'test'"},
		  {"name": "loss", "op": "loss", "in": "train", "kind": "cross-entropy", "target": "y"}],
		 "run": [
		  {"fit": {"loss": "loss", "epochs": "${epochs}"}},
		  {"val": {"in": "val", "metric": "accuracy", "target": "y"}},
		  {"eval": {"name": "test", "in": "test", "metric": "accuracy", "target": "y"}},
		  {"pred": {"name": "all", "in": "out", "to": "pred.csv"}}]}
	END
}

# The value of a member of the JSON object on standard input.
member() {
	sed -n "s/.*\"$1\": \"\{0,1\}\([^,\"}]*\).*/\1/p"
}

# The same model as a pipeline; further options for rn-train as arguments.
train_pipeline() {
	rn-scan points.csv --key id |
		rn-encode 'raw(a, b)' --name x |
		rn-linear 8 --name h |
		rn-map 'Dropout(0.2)(ReLU(z))' --name drop |
		rn-linear 2 --name out -o out.er
	rn-train <(rn-filter "split = 'train'" out.er --name train | rn-loss cross-entropy --target y --name loss) \
		--val <(rn-filter "split = 'val'" out.er --name val) \
		--eval test=<(rn-filter "split = 'test'" out.er --name test) \
		--pred all=out.er --metric accuracy --target y --epochs 40 "$@"
}

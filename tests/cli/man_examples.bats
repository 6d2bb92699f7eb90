#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The examples of the manual pages and of --help run.

load lib

setup_file() {
	mkdir "$BATS_FILE_TMPDIR/data"
	cd "$BATS_FILE_TMPDIR/data" || return 1
	awk 'BEGIN { print "paper_id,label,split,year"
		for (i = 0; i < 12; i++) print i "," i % 3 "," (i < 6 ? "train" : i < 9 ? "val" : "test") "," 2014 + i }' >paper.csv
	awk 'BEGIN { print "src,dst"; for (i = 0; i < 12; i++) print i "," (i * 5 + 1) % 12 "\n" i "," (i + 3) % 12 }' >cites.csv
	awk 'BEGIN { print "paper_id,word_id"; for (i = 0; i < 40; i++) print i % 12 "," (i * 7) % 20 }' >has_word.csv
	cp paper.csv new.csv
	awk 'BEGIN { print "paper_id,title"; for (i = 0; i < 12; i++) print i ",On " i }' >names.csv
	printf 'x,y\n3,4\n1,0\n' >points.csv
	printf 'id,price,amount\n1,2.5,4\n2,1,3\n' >orders.csv
	printf 'item,t,n\n1,2024-03-01T10:00:00Z,5\n1,2024-03-01T12:00:00Z,2\n2,2024-03-01T09:00:00Z,1\n' >trades.csv
	printf 'item,t,ask\n1,2024-03-01T09:30:00Z,2.5\n1,2024-03-01T11:00:00Z,2.75\n' >quotes.csv
	printf 'user_id,age\n7,30\n9,40\n' >users.csv
	printf 'area,rooms,district\n80,3,11\n50,2,0\n' >houses.csv
	printf 'day,n\n1,5\n' >jan.csv
	printf 'day,n\n2,6\n' >feb.csv
	printf 'word,y\na,0\nb,1\na,0\n' >words.csv
	cat >model.json <<-'END'
		{"rn": 1,
		 "sources": {"paper": {"from": "paper.csv", "key": ["paper_id"]}, "has_word": {"from": "has_word.csv"}},
		 "stages": [
		  {"name": "word", "op": "encode", "in": "has_word", "expr": "index(word_id, 20)"},
		  {"name": "x", "op": "agg", "in": "word", "expr": "sum(z)", "by": ["paper_id"], "keys": "paper"},
		  {"name": "h1", "op": "linear", "in": "x", "out": 16},
		  {"name": "a1", "op": "map", "in": "h1", "expr": "Dropout(0.5)(ReLU(z))"},
		  {"name": "out", "op": "linear", "in": "a1", "out": 3},
		  {"name": "all", "op": "join", "in": ["out", "paper"], "on": ["paper_id"], "expr": "out"},
		  {"name": "train", "op": "filter", "in": "all", "expr": "split = 'train'"},
		  {"name": "val", "op": "filter", "in": "all", "expr": "split = 'val'"},
		  {"name": "test", "op": "filter", "in": "all", "expr": "split = 'test'"},
		  {"name": "loss", "op": "loss", "in": "train", "kind": "cross-entropy", "target": "label"}],
		 "run": [
		  {"fit": {"loss": "loss", "epochs": 60}},
		  {"val": {"in": "val", "metric": "accuracy", "target": "label"}},
		  {"eval": {"name": "test", "in": "test", "metric": "accuracy", "target": "label"}},
		  {"pred": {"name": "all", "in": "out", "to": "pred.csv"}}]}
	END
	cat >model.relnn <<-'END'
		?source Paper = "paper.csv" <key="paper_id"> .
		H(p; ReLU()(Linear(1, 16)([year] / 1000))) :- Paper(p, year: year) .
		Out(p; Linear(16, 3)(z)) :- H(p; z) .
		?fit <epochs=50> Loss(; CrossEntropyLoss()(z, [c])) :- Out(p; z), Paper(p, c, "train") .
		?pred Class(p, [ArgMax(z)]) :- Out(p; z) .
	END
	rn-scan paper.csv --key paper_id -o papers.er
	rn-scan cites.csv --emb ones:1 -o adj.er
	rn-scan cites.csv -o cites.er
	rn-project papers.er --cols src=paper_id,dst=paper_id -o self.er
	rn-train model.json -q -o gcn.rnm
	rn-scan has_word.csv | rn-encode 'index(word_id, 20)' |
		rn-agg 'sum(z)' --by paper_id --keys papers.er --name x -o x.er
	rn-linear 16 --name h1 --model gcn.rnm x.er -o h1.er
	rn-scan words.csv -o words.er
	rn-embed 16 --by word words.er --name word | rn-linear 2 --name o |
		rn-loss cross-entropy --target y | rn-train --epochs 2 -q -o m.rnm
	rn-linear 3 --name logits h1.er | rn-project --cols id=paper_id -o logits.er
	rn-project papers.er --cols id=paper_id,label -o train.er
}

# run_script LINES...: all of it in a shell of its own, in a copy of the data.  Without
# pipefail: rn-head may leave before its producer ends, and an ABORT frame carries a failure
# to the end of the pipeline.
run_script() {
	rm -rf work
	cp -r "$BATS_FILE_TMPDIR/data" work
	printf '%s\n' "$@" >script
	if ! (cd work && timeout 60 bash -eu ../script >../stdout 2>../stderr </dev/null); then
		echo "this failed:"
		cat script stderr
		return 1
	fi
}

# Literal blocks of a page's EXAMPLES, one script for the whole page.
page_examples() {
	awk '/^\.Sh /{ on = $0 == ".Sh EXAMPLES" }
		on && /^\.Bd -literal/ { code = 1; next } on && /^\.Ed/ { code = 0 }
		code { gsub(/\\e/, "\\"); print }' "$1"
}

@test "examples of the pages" {
	for page in "$RN_ROOT"/cmd/*.[17]; do
		mapfile -t lines < <(page_examples "$page")
		[ ${#lines[@]} -gt 0 ]
		run_script "${lines[@]}"
	done
}

@test "examples of --help" {
	for p in "${PROGRAMS[@]}"; do
		mapfile -t lines < <("$p" --help | sed -n '/^examples:/,/^see also/{ /^  /p }' | sed 's/^  //; /^\.\.\. |/d')
		[ ${#lines[@]} -gt 0 ]
		for line in "${lines[@]}"; do
			run_script "$line"
		done
	done
}

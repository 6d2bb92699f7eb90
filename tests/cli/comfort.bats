#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What is for people: tables on a terminal, rn-info's numbers, progress, completion.

load lib

# on_terminal COLUMNS COMMAND: what the command writes to a terminal of that width.
on_terminal() {
	script -qec "stty cols $1; $2" /dev/null </dev/null | tr -d '\r'
}

# Values of all kinds, and some that a terminal should not see.
odd() {
	printf 'id,name,x,note,t\n' >w.csv
	printf '1,ab,0.5,"a\nb\033[31mred",2020-01-01\n22,日本語,,"",2021-02-03 04:05:06\n' >>w.csv
	printf -- '-3,NULL,1e-9,,2021-02-03\n4,e\xcc\x81t\xc3\xa9,12345.6789,long %s,\n' \
		"$(printf 'long %.0s' $(seq 30))" >>w.csv
	rn-scan w.csv -o w.er
}

@test "rn-cat --format table: aligned, NULL told from an empty string, no control characters" {
	tables
	prints $'id  club     x  year
──  ────  ────  ────
 1  a      0.5  2019
 2  b     NULL  2020
 3  a        2  2021
3 rows' rn-cat --format table p.er
	odd
	rn-cat --format table w.er >out
	grep -q '^ 1  ab             0.5  a␊b␛\[31mred ' out
	grep -q '^22  日本語        NULL  ""  *2021-02-03T04:05:06Z$' out
	grep -q '^-3  "NULL"        1e-9  NULL ' out
	[ "$(grep -c "$(printf '\033')" out)" = 0 ]
	[ "$(wc -l <out)" = 7 ]
	prints $'1  a   0.5  2019\n2  b  NULL  2020\n3  a     2  2021\n3 rows' \
		rn-cat --no-header --format table p.er
	fails_with 2 rn-cat --format table --delimiter ';' p.er
	says "rn-cat: --delimiter is not for a table"
}

@test "a table of no rows, of no columns, and of blocks" {
	printf 'a,b\n' | rn-scan - -o n.er
	prints $'a  b\n─  ─\n0 rows' rn-cat --format table n.er
	seq 3000 | rn-scan - --no-header --block-rows 7 -o m.er
	rn-cat --format table m.er >out
	[ "$(wc -l <out)" = 3003 ]
	[ "$(tail -1 out)" = "3000 rows" ]
	[ "$(sed -n 3p out)" = "   1" ]
	# The rows that say how wide a column is are the first thousand.
	(seq 1 1000 && echo 1234567) | rn-scan - --no-header -o l.er
	rn-cat --format table l.er | sed -n '3p;1003p' >out
	diff out - <<<$'   1\n1234567'
}

@test "embeddings in short" {
	printf 'a,b,c,d,e\n1,2,3,4,5.5\n' | rn-scan - --emb a,b,c,d,e -q -o d.er
	rn-cat --format table d.er | sed -n '1p;3,$p' >out
	diff out - <<<$'z\n[1 2 3 … ×5]\n1 row'
	printf 'i\n3\n' | rn-scan - | rn-encode 'index(i, 9)' -o s.er
	rn-cat --format table s.er | sed -n '1p;3,$p' >out
	diff out - <<<$'i  z\n3  {3:1; 1 of 9}\n1 row'
	prints $'i\n─\n3\n1 row' rn-cat --format table --no-embedding s.er
}

@test "on a terminal rn-cat and rn-head print a table that fits, elsewhere CSV" {
	odd
	export NO_COLOR=1 TERM=xterm
	on_terminal 60 'rn-cat w.er' >out
	head -1 out | grep -q '^id  name '
	grep -q '…' out
	[ "$(tail -1 out)" = "4 rows" ]
	[ "$(grep -c "$(printf '\033')" out)" = 0 ]
	# No line is wider than the terminal; wide characters count twice.
	while IFS= read -r line; do
		wide=${line//[^日本語]/}
		[ $((${#line} + ${#wide})) -le 61 ]
	done <out
	on_terminal 16 'rn-head -n 1 w.er' >out
	grep -q '^1 row; not shown: .*note, t$' out
	on_terminal 60 'rn-cat --format csv w.er' | head -1 | grep -qx 'id,name,x,note,t'
	on_terminal 60 'rn-cat w.er -o f.csv' >out
	[ ! -s out ]
	[ "$(head -1 f.csv)" = id,name,x,note,t ]
	prints id,name,x,note,t bash -c 'rn-cat w.er | head -1'
}

@test "colours: on a terminal, and not where NO_COLOR or TERM=dumb says so" {
	tables
	esc=$(printf '\033')
	unset NO_COLOR
	TERM=xterm on_terminal 60 'rn-cat p.er' | grep -q "$esc\[1mid$esc\[0m"
	TERM=xterm on_terminal 60 'rn-cat p.er' | grep -q "$esc\[2mNULL$esc\[0m"
	[ "$(NO_COLOR=1 TERM=xterm on_terminal 60 'rn-cat p.er; rn-info p.er' | grep -c "$esc")" = 0 ]
	[ "$(TERM=dumb on_terminal 60 'rn-cat p.er; rn-info p.er' | grep -c "$esc")" = 0 ]
	[ "$(TERM=xterm rn-cat --format table p.er | grep -c "$esc")" = 0 ]
}

@test "text is the same on any number of threads, and in pieces as whole" {
	awk 'BEGIN { srand(3); print "i,f,s"
		for (k = 0; k < 20000; k++) print k * 7919 % 1000003 "," rand() * 1000 "," \
			(k % 7 ? "text " k : "\"quo\"\"te, " k "\nline\"") }' >t.csv
	rn-scan t.csv --emb f -q -o t.er
	for f in csv tsv jsonl; do
		rn-cat -t 1 --format $f t.er >one
		rn-cat -t 3 --format $f t.er | cmp one -
		rn-cat -t 2 --format $f <(rn-head -n 20000 --block-rows 3 t.er) | cmp one -
	done
	rn-cat t.er | rn-scan - --emb z -q --name t -o u.er
	same_stream t.er u.er
}

@test "floats come back from their text, with the fewest digits" {
	printf 'v\n0.1\n0.30000000000000004\n1e22\n1e23\n5e-324\n1.7976931348623157e308\n123456.789\n1e-5\n1e-6\n9007199254740993.5\n2.5e-8\n5.684341886080802e-14\n' >f.csv
	rn-scan f.csv | rn-cat >out
	diff out - <<-'END'
		v
		0.1
		0.30000000000000004
		1e22
		1e23
		5e-324
		1.7976931348623157e308
		123456.789
		0.00001
		1e-6
		9007199254740994
		2.5e-8
		5.684341886080802e-14
	END
}

@test "rn-info tells NULLs, distinct values, ranges, means and what is frequent" {
	tables
	rn-info p.er >out
	grep -qx '  column id                   int64, key: 3 distinct, 1 to 3, mean 2' out
	grep -qx "  column club                 string: 2 distinct, 'a' to 'b', most often 'a' 2×" out
	grep -qx '  column x                    float64: 2 distinct, 1 NULL, 0.5 to 2, mean 1.25' out
	rn-info --no-values p.er >out
	grep -qx '  column x                    float64' out
	rn-info --json p.er >out
	grep -q '{"name": "club", "type": "string", "nulls": 0, "distinct": 2, "exact": true, "min": "a", "max": "b", "top": \[{"value": "a", "count": 2}\]}' out
	# The same of a table, of a stream in other blocks, and on any number of threads.
	for c in 'rn-info -t 1 --json p.er' 'rn-info -t 3 --json p.er' 'rn-info --json p.csv' \
		'rn-head --block-rows 1 p.er | rn-info --json'; do
		bash -c "$c" | grep -o '"columns": .*"parts"' | sed 's/, "key": true//' >b
		[ -e a ] || cp b a
		cmp a b
	done
	printf 'a\n' | rn-scan - | rn-info | grep -qx '  column a                    string: 0 distinct'
}

@test "rn-info counts beyond its limit: an estimate, marked, and the frequent value" {
	awk 'BEGIN { print "u,h"; for (i = 0; i < 200000; i++) print i "," (i % 3 ? i : 7) }' >t.csv
	rn-info --json t.csv >out
	grep -q '"exact": false' out
	grep -q '"top": \[{"value": 7, "count": 66668}\]' out
	n=$(grep -o '"name": "u"[^}]*' out | sed 's/.*"distinct": \([0-9]*\).*/\1/')
	[ "$n" -gt 194000 ]
	[ "$n" -lt 206000 ]
	rn-info t.csv | grep -q 'column u  *int64: ~'
}

@test "rn-info of embeddings: lengths, what is stored, what is not finite" {
	printf 'a,b\n3,4\n0,1\n' | rn-scan - --emb a,b -q -o d.er
	rn-info d.er | grep -qx '  part   z                    \[2\]: norm 1 to 5, mean 3, 0 not finite'
	rn-map 'log(z)' d.er | rn-info | grep -q 'part .*: norm 1.76883 to 1.76883, mean 1.76883, 1 not finite$'
	printf 'i\n3\n5\n' | rn-scan - | rn-encode 'index(i, 8)' -o s.er
	rn-info s.er | grep -qx '  part   z                    \[8\], sparse: 12.5% stored, norm 1 to 1, mean 1, 0 not finite'
	rn-info --json s.er | grep -q '"density": 0.125, "nonfinite": 0, "norm": {"min": 1.0, "mean": 1.0, "max": 1.0}'
}

@test "rn-info on a terminal: aligned tables, without control characters" {
	odd
	NO_COLOR=1 TERM=xterm on_terminal 100 'rn-info w.er' >out
	grep -q '^  column  type  *NULLs  distinct ' out
	grep -q '^  id      int64  *0  *4 ' out
	[ "$(grep -c "$(printf '\033')" out)" = 0 ]
	# What does not fit beside the others follows below, behind the column's name.
	printf 'id,cat,t\n1,a,2020-01-01\n2,b,2021-01-01\n3,a,2021-01-01\n' >g.csv
	for width in 80 40 30; do
		NO_COLOR=1 TERM=xterm on_terminal $width 'rn-info g.csv' >out
		for name in type NULLs distinct least greatest mean 'most often'; do
			grep -q "^  column .*$name" out
		done
		grep -q '^  id .* 2 *$' out
		grep -q '^  cat .*a 2×$' out
		[ "$(grep -c 2020-01-01T00:00:00Z out)" = 1 ]
		[ "$(wc -L <out)" -le $width ]
	done
	{ echo id,s; echo "1,$(printf 'x%.0s' {1..90})"; echo 2,b; } >g.csv
	NO_COLOR=1 TERM=xterm on_terminal 60 'rn-info g.csv' >out
	grep -q '  x\{27\}…' out
	printf 'a\033[31mb\nx\n' | rn-scan - -o c.er
	rn-info c.er >out
	[ "$(grep -c "$(printf '\033')" out)" = 0 ]
	grep -q 'column a␛\[31mb ' out
}

@test "a model and its history, as JSON" {
	points
	rn-train model.json -q -o m.rnm
	rn-info m.rnm --json >out
	grep -q '"history": ' out
	grep -q '"is": {"role": "parameter", "name": "h.weight"' out
	rn-info m.rnm | grep -q '^parameter 0, h.weight: 2 rows'
}

@test "progress: a line on a terminal that goes away, and only there" {
	(echo a,b && yes 12,0.5 | head -n 400000) >t.csv
	mkfifo f
	# The rest of the input comes when a second has passed.
	(cat t.csv && sleep 1.3 && tail -n +2 t.csv && sleep 0.3 && tail -n +2 t.csv) >f &
	TERM=xterm script -qec "rn-scan - -o t.er <f" typescript >/dev/null </dev/null
	grep -q 'rn-scan: .*B/s.* rows' typescript
	# It is erased, and nothing comes after that.
	tr '\r' '\n' <typescript | grep -v '^Script done' | grep . | tail -1 | grep -qx "$(printf '\033')\[K"
	(cat t.csv && sleep 1.3 && tail -n +2 t.csv && sleep 0.3 && tail -n +2 t.csv) >f &
	TERM=xterm script -qec "rn-scan - -q -o t.er <f" typescript >/dev/null </dev/null
	[ "$(grep -c ' rows' typescript)" = 0 ]
	# Of a stream, too, how much was read (of a file also the share).
	awk 'BEGIN { print "a,b"; srand(3); for (i = 0; i < 200000; i++) print rand() "," rand() }' |
		rn-scan -z none -o t.er
	(head -c 2000000 t.er && sleep 1.3 && tail -c +2000001 t.er) >f &
	TERM=xterm script -qec "rn-info f >/dev/null" typescript >/dev/null </dev/null
	grep -q 'rn-info: .* MB  .*B/s.* k rows' typescript
	(cat t.csv && sleep 1.3 && tail -n +2 t.csv) >f &
	run --separate-stderr bash -c 'rn-scan - -o t.er <f'
	[ "$status" = 0 ]
	[ -z "$stderr" ]
}

# ---- completion ------------------------------------------------------------------------------

# completes 'WORDS' WORD...: what bash would offer for the last word.
completes() {
	local want=$1
	shift
	(
		# shellcheck disable=SC1091
		source "$RN_ROOT/completion/rn.bash"
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
		_rn "$1" "${*: -1}" "${*: -2:1}"
		diff <(printf '%s\n' "${COMPREPLY[@]}") <(tr ' ' '\n' <<<"$want")
	)
}

@test "completion in bash: options, values, operands, and files else" {
	completes '--format --force' rn-cat --fo
	completes 'auto csv tsv jsonl npy table' rn-cat --format ''
	completes 'csv' rn-cat x.er --format c
	completes 'jsonl' rn-cat --format = j
	completes '--format=jsonl' rn-cat --format=j
	completes '--no-header --no-embedding --no-history --no-rewrite --no-optimize' rn-cat --no-
	completes 'none' rn-filter -z n
	completes 'cross-entropy' rn-loss cr
	completes '' rn-cat --output ''
	completes '' rn-cat some
	for p in "${PROGRAMS[@]}"; do
		completes '--version' "$p" --vers
		bash -c "source '$RN_ROOT/completion/rn.bash'; complete -p $p" | grep -q -- '-F _rn '
	done
}

@test "completion in fish" {
	command -v fish >/dev/null || skip "fish is not installed"
	mkdir c
	for p in rn-cat rn-loss; do cp "$RN_ROOT/completion/rn.fish" c/$p.fish; done
	offers() {
		HOME=$PWD fish --no-config -c "set -p fish_complete_path $PWD/c; complete -C '$1'" | cut -f 1
	}
	diff <(offers 'rn-cat --form') - <<<--format
	diff <(offers 'rn-cat --format c') - <<<csv
	diff <(offers 'rn-cat --no-h' | sort) - <<<$'--no-header\n--no-history'
	diff <(offers 'rn-loss cr') - <<<cross-entropy
}

@test "completion in zsh" {
	command -v zsh >/dev/null || skip "zsh is not installed"
	cat >z.zsh <<-'END'
		zmodload zsh/zpty || exit 77
		offers() {
			local out line
			zpty z zsh -f -i
			zpty -w z "PS1='>'; fpath=($RN_ROOT/completion \$fpath); autoload -U compinit; compinit -u -D"
			zpty -w z "setopt no_beep; bindkey '^I' complete-word; bindkey '^X' kill-whole-line; echo rea''dy"
			zpty -r -m z out '*ready*'
			zpty -w -n z "$1"$'\t'"   ; echo do''ne"$'\n'
			zpty -r -m z out '*done*'
			zpty -d z
			print -r -- "$out"
		}
		offers 'true rn; : && rn-cat --help --format=c'
		offers ': && rn-cat --help; rn-loss --help cross'
	END
	export RN_ROOT
	timeout 60 zsh -f z.zsh >out || [ $? != 77 ] || skip "zsh has no zpty"
	grep -q 'format=csv' out
	grep -q 'cross-entropy' out
}

@test "make install brings programs, pages and completion, and uninstall takes all of it" {
	local share=d/usr/share p cuda=0
	[ ! -e "$RN_BIN/../lib/librn_cuda.so" ] || cuda=1
	# What is built is installed: `-o all` keeps make from building it anew.
	in_tree() {
		MAKEFLAGS='' make -s -C "$RN_ROOT" -o all "$1" CUDA=$cuda BUILD="$(dirname "$RN_BIN")" DESTDIR="$PWD/d" PREFIX=/usr
	}

	in_tree install
	for p in "$RN_BIN"/rn-*; do
		cmp "$p" "d/usr/bin/${p##*/}"
		p=${p##*/}
		cmp "$RN_ROOT/cmd/$p.1" "$share/man/man1/$p.1"
		cmp "$RN_ROOT/completion/rn.bash" "$share/bash-completion/completions/$p"
		cmp "$RN_ROOT/completion/rn.fish" "$share/fish/vendor_completions.d/$p.fish"
	done
	cmp "$RN_ROOT/completion/_rn" "$share/zsh/site-functions/_rn"
	cmp "$RN_ROOT/cmd/rn.7" "$share/man/man7/rn.7"
	for p in "$RN_ROOT"/formats/*.5; do cmp "$p" "$share/man/man5/${p##*/}"; done
	d/usr/bin/rn-cat --version
	in_tree uninstall
	[ -z "$(find d ! -type d)" ]
}

@test "rn-head in a pipeline: its wrong usage is what the next program reports" {
	printf 'a\n1\n' >x.csv
	for wrong in '-n 12x' '-n -1' '--zzz' '--random 1 -n 5'; do
		# shellcheck disable=SC2086 # several words
		want=$(rn-head $wrong x.csv 2>&1 >/dev/null | sed 's/^rn-head: //')
		[ -n "$want" ]
		# shellcheck disable=SC2086
		got=$(rn-head $wrong x.csv 2>/dev/null | rn-cat 2>&1 || :)
		[ "$got" = "rn-cat: standard input: $want" ]
	done
}

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
	check syntax.txt 25
}

@test "names: unknown ones, with a suggestion; arities; what is bound nowhere" {
	check names.txt 25
}

@test "templates, sets and functions" {
	check templates.txt 20
}

@test "types, shapes and settings" {
	check types.txt 20
}

@test "several errors in one run, in the order of the program" {
	check several.txt 3
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Bounded memory: what is above --mem goes to temporary files, and the output is the
# same.  The last tests, on gigabytes, run with RN_LONG=1 alone.

load lib

# Two tables of some 20,000 and 9,000 rows, with NULLs, duplicates and embeddings.
sides() {
	awk 'BEGIN {
		srand(5); print "k,s,x,t,e"
		for (i = 0; i < 20000; i++) {
			k = int(rand() * 3000); if (rand() < 0.03) k = ""
			printf "%s,name %d,%.3f,%d,%.2f\n", k, rand() * 900, rand() * 100 - 50, rand() * 500, rand()
		}
	}' >l.csv
	awk 'BEGIN {
		srand(6); print "k,s,y,t,e"
		for (i = 0; i < 9000; i++)
			printf "%s,%s,%.3f,%d,%.2f\n", rand() < 0.3 ? 7 : int(rand() * 3500), rand() < 0.05 ? "" : "n" int(rand() * 50), rand() * 9, rand() * 500, rand()
	}' >r.csv
	rn-scan l.csv --emb e --name l -o l.er -q --block-rows 700
	rn-scan r.csv --emb e --name r -o r.er -q
	export TMPDIR=$BATS_TEST_TMPDIR/spill
	mkdir -p "$TMPDIR"
}

# same_bytes FILE PROGRAM ARGUMENT...: the output is FILE, byte for byte.
same_bytes() {
	local file=$1
	shift
	"$@" --no-history -q -o again.er && cmp "$file" again.er && return
	echo "other bytes: $*"
	return 1
}

# spills PROGRAM ARGUMENT...: the same bytes with little memory, and temporary data, as with
# all that there is, for any threads and blocks.
spills() {
	local program=$1 mem=${MEM:-512K}
	shift
	"$program" "$@" --no-history -q --threads 1 -o whole.er || return 1
	run -0 --separate-stderr "$program" "$@" --no-history --mem "$mem" --threads 1 --stats=json -o parts.er
	if [[ $stderr == *'"spilled_bytes":0,'* ]]; then
		echo "$program $* did not spill: $stderr"
		return 1
	fi
	cmp whole.er parts.er || return 1
	same_bytes whole.er "$program" "$@" --threads 2 || return 1
	same_bytes whole.er "$program" "$@" --mem 900K --threads 2 || return 1
	same_bytes whole.er "$program" "$@" --mem 1G --threads 1 || return 1
	"$program" "$@" --no-history -q --block-rows 100 --compress none -o small.er || return 1
	same_bytes small.er "$program" "$@" --mem 600K --threads 3 --block-rows 100 --compress none || return 1
	cmp <(rn-cat whole.er) <(rn-cat small.er)
}

# peak FILE COMMAND...: run it; its peak memory in KB goes to FILE.
peak() {
	local file=$1
	shift
	if [ ! -x "$BATS_RUN_TMPDIR/peak" ]; then
		${CC:-cc} -O2 -x c -o "$BATS_RUN_TMPDIR/peak.$BASHPID" - <<-'END'
			#include <stdio.h>
			#include <sys/resource.h>
			#include <sys/wait.h>
			#include <unistd.h>
			int main(int argc, char **argv)
			{
				struct rusage u;
				int status;
				pid_t p = fork();

				if (!p) {
					execvp(argv[2], argv + 2);
					_exit(127);
				}
				close(0);
				close(1);
				wait4(p, &status, 0, &u);
				FILE *f = fopen(argv[1], "w");
				fprintf(f, "%ld\n", u.ru_maxrss);
				fclose(f);
				return WIFEXITED(status) ? WEXITSTATUS(status) : 99 + argc * 0;
			}
		END
		mv "$BATS_RUN_TMPDIR/peak.$BASHPID" "$BATS_RUN_TMPDIR/peak"
	fi
	"$BATS_RUN_TMPDIR/peak" "$file" "$@"
}

# below MB FILE...: peaks.  Sanitizers take several times the memory: then they are told only.
below() {
	local most=$(($1 * 1024))
	shift
	for f in "$@"; do
		echo "# $f: $(($(cat "$f") / 1024)) MB" >&3
		[ "${RN_VARIANT:-release}" != release ] || [ "$(cat "$f")" -lt $most ]
	done
}

@test "joins of all kinds that spill" {
	sides
	for how in inner left full semi anti; do
		spills rn-join l.er r.er --on k --how $how
		spills rn-join l.er r.er --on k --how $how --and 'l.t < r.t'
	done
	spills rn-join r.er l.er --on k --asof t --how left
	spills rn-join l.er r.er --on k --expr 'l * r + 1'
	spills rn-join l.er r.er --on s --how full
	rn-join l.er r.er --on k --how left -q | rn-cat >want
	rn-join l.er r.csv --on k --how left --mem 512K -q | rn-cat | cut -d, -f1-4 | cmp - <(cut -d, -f1-4 want)
}

@test "what finds no partner is counted over all parts" {
	sides
	for how in inner left full semi anti; do
		for and in 'l.t < r.t' 'true'; do
			run -0 --separate-stderr rn-join l.er r.er --on k --how $how --and "$and" -v -o x.er
			grep 'find no partner' <<<"$stderr" >whole
			run -0 --separate-stderr rn-join l.er r.er --on k --how $how --and "$and" -v --mem 512K -o x.er
			grep 'find no partner' <<<"$stderr" | diff whole -
		done
		fails_with 3 rn-join l.er r.er --on k --how $how --strict -o x.er
		want=$stderr
		fails_with 3 rn-join l.er r.er --on k --how $how --strict --mem 512K -o x.er
		says "$want"
	done
}

@test "joins of several inputs, and cross joins, go through in pieces" {
	sides
	rn-agg r.er --by k --cols 'n=count(*)' | rn-filter 'n > 2' -o b.er
	rn-agg r.er --by s --cols 'm=max(y)' -o c.er
	same_bytes_of rn-join b=b.er b2=b.er b3=b.er --on k --how left --and 'b.n <= b3.n'
	same_bytes_of rn-join b=b.er b2=b.er b3=b.er --on k --how left --and 'b.n <= b3.n' --block-rows 50
	rn-join a=c.er b=c.er --and 'a.m < b.m' --no-history -q -o whole.er
	same_bytes whole.er rn-join a=c.er b=c.er --and 'a.m < b.m' --mem 64K
}

@test "aggregates that spill" {
	sides
	spills rn-agg l.er --by k --cols 'n=count(*),a=avg(x),v=var(x),f=first(s by t),m=median(t)'
	spills rn-agg 'sum(z * [t])' l.er --by s
	spills rn-agg 'max(z)' l.er --by k,s --cols 'd=count(distinct x)'
	spills rn-agg l.er --by k
	spills rn-agg 'mean(z)' l.er --cols 'v=stddev(x),n=count(x)'
	spills rn-agg 'sum(z)' l.er --by k --keys r.er
	spills rn-agg l.er --by k --cols "$(printf '`row %d`=count(*),' {0..150})\`row 0'\`=sum(t)"
	# One key of r has 2,700 rows and more.
	rn-union r.er r.er r.er -o r3.er
	spills rn-agg 'sum(z)' r3.er --by k --cols 'a=avg(y),v=var(y),hi=max(s)'
	spills rn-agg r3.er --by k --cols 'm=median(y),q=quantile(y * 2, 0.9),d=count(distinct s),n=count(distinct y)'
	fails_with 4 rn-agg 'sum(softmax(z; k))' r3.er --by k --mem 256K -o x.er
	[[ $stderr == "rn-agg: "*"'sum(softmax(z; k))' needs all rows of a group at once, and the group of k=7 has some "*": raise it" ]]
	[ ! -e x.er ]
}

@test "aggregates over the keys of another relation, of which one has more rows than fit" {
	sides
	# Of r's rows a third has k=7; the keys: that twice, some that no row has, NULL, and of
	# another type.
	printf '%s\n' k,note 9999,a 7,b ,c 7,d 12,e 123456,f 3400,g >keys.csv
	rn-scan keys.csv -q -o keys.er
	sed '1!s/^\([0-9]\+\),/\1.0,/' keys.csv >float.csv
	rn-scan float.csv --types k=float64 -q -o float.er
	rn-union r.er r.er r.er -q -o r3.er
	local all='n=count(*),v=count(y),a=avg(y),s=sum(t),d=stddev(y),lo=min(y),hi=max(s),f=first(s),l=last(s by t),u=count(distinct t),m=median(y)'
	for keys in keys.er float.er; do
		MEM=128K spills rn-agg 'sum(z)' r3.er --by k --keys $keys --cols "$all"
		MEM=128K spills rn-agg 'mean(z * [t])' r3.er --by k --keys $keys
		MEM=128K spills rn-agg 'max(z)' r3.er --by k --keys $keys
	done
	rn-cat whole.er | cut -d, -f1 | cmp - <(printf 'k\n9999\n7\n\n12\n123456\n3400\n')
	# No row has a key of theirs.
	rn-filter 'k > 9000 and k < 200000' keys.er -q -o none.er
	MEM=128K spills rn-agg 'mean(z)' r3.er --by k --keys none.er --cols "$all"
	# The rows that are dropped are counted as in memory.
	for mem in 128K 1G; do
		run -0 --separate-stderr rn-agg r3.er --by k --keys keys.er -v --mem $mem -o x.er
		grep -o '[0-9]* rows dropped: .*' <<<"$stderr" >said.$mem
		fails_with 3 rn-agg r3.er --by k --keys keys.er --strict --mem $mem -o y.er
		[ ! -e y.er ]
	done
	cmp said.128K said.1G
	fails_with 4 rn-agg 'sum(softmax(z))' r3.er --by k --keys keys.er --mem 128K -o y.er
	[[ $stderr == "rn-agg: "*"'sum(softmax(z))' needs all rows of a group at once, and the group of k=7 has some "*": raise it" ]]
	export TMPDIR=$BATS_TEST_TMPDIR
	seq 600000 | awk '{ print ($1 % 100 ? 7 : $1) "," $1 }' | rn-scan --no-header -q -o many.er
	rn-project many.er --cols c0 -q -o c0.er
	rn-agg many.er --by c0 --keys c0.er --cols 'n=count(*),a=avg(c1)' --no-history -q -o whole.er
	peak used rn-agg many.er --by c0 --keys c0.er --cols 'n=count(*),a=avg(c1)' --mem 4M --no-history -q -o x.er
	below 32 used
	cmp whole.er x.er
}

@test "sums and means of sparse embeddings of a group larger than memory, in bounded memory" {
	sides
	# 20,000 rows of 40 features: of each some 500 values, in which the order of adding shows.
	rn-project l.er --cols 'g = case when k % 3 = 0 then 1 else k end, t, x, f = t % 40' -q | rn-encode 'index(f, 50)' -q | rn-map 'z * [x] * 0.1' --block-rows 700 -q -o sparse.er
	printf '%s\n' g 1 99999 2 '' | rn-scan -q -o keys.er
	for how in sum mean; do
		same_bytes_of rn-agg "$how(z)" sparse.er
		MEM=64K spills rn-agg "$how(z)" sparse.er --by g --cols 'n=count(*),v=var(x)'
		MEM=64K spills rn-agg "$how(z)" sparse.er --by g --keys keys.er
	done
	rn-info whole.er | grep -q 'part *z *\[50\], sparse'
	export TMPDIR=$BATS_TEST_TMPDIR
	seq 600000 | rn-scan --no-header -q | rn-project --cols 'f = c0 * 7919 % 1000, x = 1.0 / c0' -q | rn-encode 'index(f, 1000)' -q | rn-map 'z * [x]' -q -o big.er
	rn-agg 'sum(z)' big.er --no-history -q -o whole.er
	peak used rn-agg 'sum(z)' big.er --mem 4M --no-history -q -o x.er
	below 32 used
	cmp whole.er x.er
	# As many sums as that are refused.
	seq 600000 | rn-scan --no-header -q | rn-encode 'index(c0, 700000)' -q -o wide.er
	fails_with 4 rn-agg 'sum(z)' wide.er --mem 4M -o y.er
	[[ $stderr == "rn-agg: the sums of sparse embeddings have some "*" values, more than fit into --mem 4M: raise it" ]]
	[ ! -e y.er ]
}

@test "distinct values and quantiles of a group larger than memory, in bounded memory" {
	export TMPDIR=$BATS_TEST_TMPDIR
	seq 400000 | rn-scan --no-header -o n.er -q
	all=(--cols 'd=count(distinct c0), m=median(c0), q=quantile(c0 * 2, 0.1), l=count(distinct c0 % 7), v=var(c0), e=median(case when c0 < 0 then c0 end)')
	rn-agg n.er "${all[@]}" --no-history -q -o whole.er
	for mem in 1M 4M 16M; do
		same_bytes whole.er rn-agg n.er "${all[@]}" --mem $mem
	done
	prints $'d,m,q,l,v,e\n400000,200000.5,80001.8,7,13333366666.666666,' rn-cat whole.er
	peak used rn-agg n.er "${all[@]}" --mem 4M -o x.er
	below 24 used
	cmp <(rn-cat x.er) <(rn-cat whole.er)
}

@test "as-of joins whose one key is larger than memory" {
	sides
	awk 'BEGIN { srand(8); print "k,t,w"; for (i = 0; i < 30000; i++) printf "%s,%s,%d\n", rand() < 0.01 ? "" : rand() < 0.9 ? 1 : int(rand() * 300), rand() < 0.01 ? "" : int(rand() * 5000), i }' >one.csv
	rn-scan one.csv --emb w --name one -o one.er -q
	for how in inner left; do
		for more in '' --asof-equal; do
			# shellcheck disable=SC2086
			spills rn-join l=one.er r=one.er --on k --asof t --how $how $more
			# shellcheck disable=SC2086
			same_bytes_of rn-join l=one.er r=one.er --asof t --how $how $more
			# shellcheck disable=SC2086
			same_bytes_of rn-join l=one.er r=one.er --on k,t --asof t --how $how $more
		done
	done
	same_bytes_of rn-join l=one.er r=one.er --on k --asof t --expr 'l * r + 1'
	export TMPDIR=$BATS_TEST_TMPDIR
	peak used rn-join l=one.er r=one.er --asof t --mem 1M -o x.er
	below 24 used
	for mem in 1M 1G; do
		rn-join l=one.er r=one.er --on k --asof t -v --mem $mem -o x.er 2>&1 | grep 'find no partner\|NULL key' >said.$mem || true
	done
	cmp said.1M said.1G
}

# times ROWS: so many right rows far.er at times of their own, and left ones near.er between them,
# both in no order; with few values u and s.
times() {
	awk -v n="$1" 'BEGIN { srand(9); print "t,u,s"; for (i = 0; i < n; i++) printf "%d,%d,s%d\n", i * 7919 % n * 10 + 3, rand() * 4, rand() * 2 }' |
		rn-scan - --name far -q -o far.er
	awk -v n="$1" 'BEGIN { srand(3); print "t,u,s"; for (i = 0; i < 2 * n; i++) printf "%d,%.1f,s%d\n", rand() * n * 10, rand() * 4, rand() * 2 }' |
		rn-scan - --name near -q -o near.er
}

@test "the rows of an as-of join that does not fit are passed once" {
	sides
	times 10000
	for how in inner left; do
		for more in '' --asof-equal; do
			for by in '--asof t' '--asof u' '--asof u=t' '--on s --asof t' '--on s,u --asof t' '--on u --asof t'; do
				# shellcheck disable=SC2086
				rn-join near.er far.er $by --how $how $more --no-history -q -o whole.er
				# shellcheck disable=SC2086
				same_bytes whole.er rn-join near.er far.er $by --how $how $more --mem 64K
			done
		done
	done
	spilled() {
		rn-join near.er far.er --asof t --mem 64K --stats=json -q -o x.er 2>&1 | sed 's/.*"spilled_bytes":\([0-9]*\).*/\1/'
	}
	once=$(spilled)
	times 40000
	four=$(spilled)
	echo "$once $four"
	((once > 0 && four < 7 * once))
}

@test "first rows that do not fit are chosen in temporary files, and are the same rows in the same order" {
	sides
	seq 300000 | rn-scan --no-header --emb c0 --row-id i -o n.er -q
	for n in 0 10 70000 299999 400000; do
		same_bytes_of rn-head n.er -n $n --order 'i % 1000 desc, i'
	done
	spills rn-head l.er -n 15000 --order 's, x desc'
	for ask in '-n 7' '-n 7 --order s' '-n 3000 --order x,t' '--random 5' '--random 3000 --seed 4'; do
		for by in k s,k t; do
			# shellcheck disable=SC2086
			spills rn-head l.er --by $by $ask
		done
	done
	spills rn-head l.er --by k -n 8 --order 's desc, x desc, t'
	spills rn-head l.er --random 15000
	same_bytes_of rn-head l.er --random 5
	# A declared key stays where the rows keep their order.
	rn-scan l.csv --emb e --row-id i --key i --name l -o keyed.er -q
	spills rn-head keyed.er --random 15000
	rn-info parts.er | grep -q 'key.*i'
	spills rn-head keyed.er -n 15000 --order x
	! rn-info parts.er | grep -q 'key.*i' || false
	rn-scan l.csv --row-id i --name l -q | rn-encode 'index(t, 500)' --name l -q -o sparse.er
	spills rn-head sparse.er --by k -n 5 --order 'i desc'
	[ -z "$(ls -A "$TMPDIR")" ]
}

@test "first rows of many groups, of few, and at random are chosen in bounded memory" {
	export TMPDIR=$BATS_TEST_TMPDIR
	seq 300000 | rn-scan --no-header --emb c0 --row-id i -q | rn-project --cols 'i, half = i % 2' -q -o n.er
	in_bounds() {
		rn-head n.er "$@" --no-history -q -o whole.er
		peak used rn-head n.er "$@" --mem 4M --no-history -q -o x.er
		below 24 used
		cmp x.er whole.er
	}
	in_bounds -n 250000 --order 'i desc'
	in_bounds -n 1 --by i
	in_bounds -n 100000 --by half
	in_bounds -n 100000 --by half --order 'i desc'
	in_bounds --random 200000
	in_bounds --random 100
}

@test "a full disk while first rows are chosen is exit 1, and nothing is left behind" {
	sides
	mkdir out
	run --separate-stderr bash -c 'ulimit -f 100; rn-head l.er --by k,x -n 2 --mem 256K -o out/x.er'
	[ "$status" = 1 ]
	grep -q "^rn-head: cannot write temporary data in '$TMPDIR': [0-9.]* [KM]B are there, and .* [0-9.]* [KM]B are needed (set TMPDIR to a folder with more room, or raise --mem): File too large$" <<<"$stderr"
	[ -z "$(ls -A out)" ]
	[ -z "$(ls -A "$TMPDIR")" ]
}

@test "a key that does not fit into memory is checked in temporary files" {
	export TMPDIR=$BATS_TEST_TMPDIR
	awk 'BEGIN { print "a,b"; for (i = 1; i <= 1000000; i++) print i * 7919 % 1000003 ",s" i % 1000 }' >k.csv
	MEM=4M spills rn-scan k.csv --key a,b
	peak used rn-scan k.csv --key a,b --mem 4M -o x.er
	below 48 used
	{ cat k.csv; sed -n '200001p;7p' k.csv; } >twice.csv
	for key in a a,b; do
		for mem in 1G 4M; do
			fails_with 3 rn-scan twice.csv --key $key --mem $mem -o y.er
			says "rn-scan: $PWD/twice.csv: the key is not unique: row 1000000 repeats $(sed -n 7p k.csv |
				awk -F, -v key=$key '{ print "a=" $1 (key == "a" ? "" : ", b=" $2) }') (rows count from 0)"
			[ ! -e y.er ]
		done
	done
	{ cat k.csv; echo ',s1'; } >null.csv
	fails_with 3 rn-scan null.csv --key a,b --mem 4M -o y.er
	says "rn-scan: $PWD/null.csv: key column 'a' is NULL in 1 rows"
}

@test "matrices pass in bounded memory, in and out" {
	export TMPDIR=$BATS_TEST_TMPDIR
	seq 0 199999 >n.csv
	rn-scan n.csv --no-header --emb ones:64 -q | rn-map 'z * [c0]' --block-rows 4000 -q -o wide.er
	peak out rn-cat wide.er --format npy --mem 4M -o wide.npy
	[ "$(stat -c %s wide.npy)" = $((200000 * 64 * 4 + 128)) ]
	rn-cat wide.er --format npy --mem 4M | cmp - wide.npy
	peak pipe rn-cat wide.er --format npy --mem 4M -o >(cat >pipe.npy)
	peak in rn-scan n.csv --no-header --emb wide.npy --mem 4M --name wide --block-rows 2000 -q -o again.er
	below 40 out pipe in
	rn-cat again.er --format npy | cmp - wide.npy
	rn-cat wide.er --format npy >there.npy
	cmp there.npy wide.npy
	{ echo kept; rn-cat wide.er --format npy; } >>kept.npy
	cmp <(tail -c +6 kept.npy) wide.npy
	head -n 199999 n.csv >less.csv
	fails_with 3 rn-scan less.csv --no-header --emb wide.npy -o x.er
	[[ $stderr == *'less.csv has 199999 rows and wide.npy has 200000' ]]
	{ cat n.csv; echo 7; } >more.csv
	fails_with 3 rn-scan more.csv --no-header --emb wide.npy -o x.er
	{ cat wide.npy; echo; } >long.npy
	fails_with 3 rn-scan n.csv --no-header --emb long.npy -o x.er
	[[ $stderr == *"there is more after its last value"* ]]
	[ ! -e x.er ]
}

@test "an explosion in a part of the rows is told as that" {
	yes 1 | head -n 100000 | rn-scan --no-header -o a.er -q
	fails_with 4 rn-join l=a.er r=a.er --on c0 -o x.er
	says "rn-join: joining 100000 with 100000 rows gives 10000000000 rows, more than 4294967294; c0=1 alone gives 10000000000 (100000 left with 100000 right rows)"
	fails_with 4 rn-join l=a.er r=a.er --on c0 --mem 4M -o x.er
	[[ $stderr == "rn-join: a part of the rows alone is too much: joining "* ]]
	[ ! -e x.er ]
}

@test "sorts that spill are stable, NULLs first" {
	sides
	spills rn-sort l.er --by k
	spills rn-sort l.er --by 'k desc, s'
	spills rn-sort l.er --by 's, x desc'
	spills rn-sort l.er --by 't % 2'
	rn-sort l.er --by k --mem 256K | rn-cat | sed -n 2p | grep -q '^,'
}

# same_bytes_of PROGRAM ARGUMENT...: with little memory as with all, whether or not it spills.
same_bytes_of() {
	"$@" --no-history -q --threads 1 -o whole.er &&
		same_bytes whole.er "$@" --mem 512K --threads 2 && same_bytes whole.er "$@" --mem 64M --threads 1
}

# random_table SEED NAME ROWS KEYS: NAME.er, whose columns, NULLs and embedding are the seed's.
random_table() {
	awk -v seed="$1" -v name="$2" -v rows="$3" -v keys="$4" 'function null(p) { return rand() < p } BEGIN {
		srand(seed * 7 + length(name) + rows)
		split("x b g u", more); n = 0
		head = "k,s,t,v,e"
		for (c = 1; c <= 4; c++) if (rand() < 0.5) { has[c] = 1; head = head "," name more[c] }
		nk = rand() < 0.5 ? 0 : 0.1; ns = rand() < 0.5 ? 0 : 0.3; nx = rand() < 0.5 ? 0 : 0.02
		print head
		for (i = 0; i < rows; i++) {
			line = (null(nk) ? "" : int(rand() * keys)) "," (null(ns) ? "" : rand() < 0.6 ? "name " int(rand() * 300) : "only " i) \
				"," int(rand() * 500) "," int(rand() * 9) "," int(rand() * 50)
			if (has[1]) line = line "," (null(nx) ? "" : sprintf("%.3f", rand() * 9 - 3))
			if (has[2]) line = line "," (null(nx) ? "" : rand() < 0.7 ? "true" : "false")
			if (has[3]) line = line "," (null(ns) ? "" : sprintf("2021-03-%02dT%02d:00:00", 1 + rand() * 28, rand() * 24))
			if (has[4]) line = line ",u" i
			print line
		}
	}' >"$2.csv"
	case $(($1 % 3)) in
	0) rn-scan "$2.csv" --emb e --name "$2" -q --block-rows 500 -o "$2.er" ;;
	1) rn-scan "$2.csv" --name "$2" -q | rn-encode 'index(e, 50)' --name "$2" --block-rows 500 -o "$2.er" ;;
	*) rn-scan "$2.csv" --name "$2" -q --block-rows 500 -o "$2.er" ;;
	esac
}

@test "random tables: what spills is the same stream, byte for byte" {
	local MEM=128K
	export TMPDIR=$BATS_TEST_TMPDIR/spill
	mkdir -p "$TMPDIR"
	for seed in ${RN_SEEDS:-1 2 3}; do
		echo "seed $seed"
		random_table "$seed" l $((5000 + seed * 1777 % 9000)) 2000
		random_table "$seed" r $((3000 + seed * 977 % 6000)) 2500
		for how in inner left full semi anti; do
			spills rn-join l.er r.er --on k --how $how
			spills rn-join l.er r.er --on k --how $how --and 'l.t < r.t and l.v > 0'
		done
		spills rn-join l.er r.er --on k,s --how left
		spills rn-join r.er l.er --on s --asof t --how left
		spills rn-sort l.er --by v
		spills rn-sort l.er --by k,v
		spills rn-sort r.er --by 's desc, t % 7'
		spills rn-agg l.er --by s --cols 'n=count(*),a=avg(v),v=var(t),f=first(k by t),l=last(s)'
		spills rn-agg l.er --by s,k
		same_bytes_of rn-union l.er b=l.er
		[ $((seed % 3)) = 2 ] || spills rn-agg 'sum(z)' r.er --by t,s
		[ $((seed % 3)) = 2 ] || spills rn-agg 'mean(z)' r.er --by s,k --cols 'n=count(k)'
	done
	[ -z "$(ls -A "$TMPDIR")" ]
}

@test "-v says what spilled, --stats how much" {
	sides
	run -0 --separate-stderr rn-sort l.er --by x --mem 256K -v -o x.er
	[[ $stderr == *"data above --mem go to a temporary file in '$TMPDIR'"*"sorted in "*" pieces, "*" bytes of temporary data"* ]]
	run -0 --separate-stderr rn-sort l.er --by x --mem 256K --stats -o x.er
	[[ $stderr == "rn-sort: 20000 rows in, 20000 rows out "*" in temporary files, "* ]]
	run -0 --separate-stderr rn-sort l.er --by x --stats=json -o x.er
	[[ $stderr == *'"spilled_bytes":0,'* ]]
	[ -z "$(ls -A "$TMPDIR")" ]
}

@test "a join of many inputs that do not fit is refused, and says what to do" {
	sides
	fails_with 4 rn-join a=l.er b=r.er c=r.er --on k --mem 256K -o x.er
	[[ $stderr == "rn-join: the inputs after the first take "*": join two inputs, and the result with the next, or raise --mem" ]]
	[ ! -e x.er ]
}

@test "an input that is needed as a whole and does not fit is refused" {
	seq 200000 | awk '{ print $1 "," $1 * 7 % 1000 }' | rn-scan --no-header -q -o e.er
	seq 1000 | rn-scan --no-header -q -o n.er
	fails_with 4 rn-negative e.er --candidates n.er --col c0 --mem 1M -o x.er
	[[ $stderr == "rn-negative: the input is needed as a whole, and its first "*" rows take more than --mem 1M: raise it" ]]
	[ ! -e x.er ]
	rn-negative e.er --candidates n.er --col c0 --mem 64M -q -o x.er
	rn-info x.er | grep -q '400000 rows'
}

@test "a full disk is exit 1 with the folder and the sizes, and nothing is left behind" {
	sides
	want="rn-sort: cannot write temporary data in '$TMPDIR': [0-9.]* [KM]B are there, and \(about\|more than\) [0-9.]* [KM]B are needed (set TMPDIR to a folder with more room, or raise --mem): "
	mkdir out
	room=128
	[ "${RN_VARIANT:-release}" != tsan ] || room=640 # of these 512 are ThreadSanitizer's own
	if mount -t tmpfs -o size=${room}k none "$TMPDIR" 2>/dev/null; then
		run --separate-stderr rn-sort l.er --by x --mem 256K -o out/x.er
		[ -z "$(ls -A "$TMPDIR")" ]
		umount "$TMPDIR"
		told=$(sed 's/.* and about \([0-9.]*\) KB are needed.*/\1/' <<<"$stderr")
		[ "$status" = 1 ]
		grep -q "^${want}No space left on device$" <<<"$stderr"
		# What it needs, within a fifth.
		rn-sort l.er --by x --mem 256K --stats=json -o x.er 2>stats
		awk -v told="$told" 'match($0, /"spilled_bytes":[0-9]+/) { n = substr($0, RSTART + 16, RLENGTH - 16) / 1000
			exit !(n > told / 1.2 && n < told * 1.2) }' stats
		[ -z "$(ls -A out)" ]
	else
		echo "# no tmpfs can be mounted: a file that may not grow stands for a full disk" >&3
	fi
	run --separate-stderr bash -c 'ulimit -f 100; rn-sort l.er --by x --mem 256K -o out/x.er'
	[ "$status" = 1 ]
	grep -q "^${want}File too large$" <<<"$stderr"
	[ -z "$(ls -A out)" ]
	[ -z "$(ls -A "$TMPDIR")" ]
	# Downstream prints the root cause.
	run --separate-stderr bash -c '(ulimit -f 100; rn-sort l.er --by x --mem 256K 2>/dev/null) | rn-filter "x > 0" | rn-cat'
	[ "$status" = 3 ]
	grep -q "rn-cat: .*cannot write temporary data in " <<<"$stderr"
	TMPDIR=/nonexistent fails_with 1 rn-sort l.er --by x --mem 256K -o out/x.er
	says "rn-sort: more data than --mem allows, and no temporary file can be made in '/nonexistent' (set TMPDIR, or raise --mem): No such file or directory"
}

@test "the room that a join needs is told by its inputs as they lie in temporary data, not as files" {
	sides
	# Files that compress well: they are a small part of that.
	awk 'BEGIN { print "k,u,v,w"; for (i = 0; i < 60000; i++) printf "%d,%d,%s,%d.5\n", i * 7919 % 50000, i % 3, "the same text", i % 7 }' >big.csv
	rn-scan big.csv --compress zstd:9 -q -o big.er
	spilled() {
		"$@" --mem 512K --stats=json -q -o x.er 2>&1 | sed 's/.*"spilled_bytes":\([0-9]*\).*/\1/'
	}
	one=$(spilled rn-sort big.er --by k)
	for how in inner full semi; do
		all=$(spilled rn-join a=big.er b=big.er --on k --how $how)
		run --separate-stderr bash -c "ulimit -f 300; rn-join a=big.er b=big.er --on k --how $how --mem 512K -o y.er"
		[ "$status" = 1 ]
		[[ $stderr == *" are there, and more than "*" are needed "* ]]
		# More than one input as rows of a sort (nothing of the other may have been read yet), less
		# than all that is written on the way; and the files are less than that.
		sed 's/.* more than \([0-9.]*\) \([KM]\)B are needed.*/\1 \2/' <<<"$stderr" | awk -v one="$one" -v all="$all" '{
			told = $1 * ($2 == "M" ? 1e6 : 1e3); print one, told, all; exit !(told > one && told < all) }'
		((2 * $(stat -c %s big.er) < one))
	done
	[ ! -e y.er ]
	[ -z "$(ls -A "$TMPDIR")" ]
}

@test "a program that is killed leaves no temporary data" {
	sides
	mkfifo f
	rn-sort f --by x --mem 256K -o x.er &
	p=$!
	exec 9>f
	cat l.er >&9
	for _ in $(seq 100); do
		find /proc/$p/fd -lname "$TMPDIR*" 2>/dev/null | grep -q . && break
		sleep 0.05
	done
	find /proc/$p/fd -lname "$TMPDIR*" | grep -q .
	kill -9 $p
	exec 9>&-
	wait $p || true
	[ -z "$(ls -A "$TMPDIR")" ]
	[ ! -e x.er ]
}

@test "diamonds whose arms spill do not hang" {
	sides
	mkfifo f g
	timeout 60 bash -c "tee f <l.er | rn-sort --by x --mem 300K -z none >g & rn-join l=f r=g --on k,x --how semi --mem 300K | rn-cat" |
		cmp - <(rn-join l.er r=l.er --on k,x --how semi | rn-cat)
	timeout 60 bash -c "tee f <l.er | rn-filter 'x > 0' -z none >g & rn-union f g --mem 300K | rn-cat" |
		cmp - <(rn-union l.er <(rn-filter 'x > 0' l.er) | rn-cat)
}

@test "what only adds to a plan carries its relations in bounded memory" {
	sides
	rn-linear 3 l.er --name a -o a.er
	rn-linear 3 l.er --name a --mem 256K -o b.er
	cmp <(rn-info a.er | grep rows) <(rn-info b.er | grep rows)
	run -0 --separate-stderr rn-join a.er r.er --on k --mem 256K --stats=json -o j.er
	[[ $stderr == *'"deferred":true,"rows_in":29000,"rows_out":29000,'* ]]
}

# ---- gigabytes ----------------------------------------------------------------------------

long() {
	[ "${RN_LONG:-}" = 1 ] || skip "gigabytes: RN_LONG=1"
	${CC:-cc} -O2 -o make_table "$RN_ROOT/bench/make_table.c"
	export TMPDIR=$BATS_TEST_TMPDIR
	peak /dev/null true
}

@test "4 GB of CSV through four programs, each under 200 MB" {
	long
	./make_table 180000000 >big.csv
	[ "$(stat -c %s big.csv)" -gt 4000000000 ]
	peak scan rn-scan big.csv | peak filter rn-filter 'weight < 0.01' |
		peak project rn-project --cols 'a=src+dst, w=weight' | peak cat rn-cat >out.csv
	below 200 scan filter project cat
	awk -F, 'NR > 1 && $3 < 0.01 { n++; s += $1 + $2 } END { print n, s }' big.csv >want
	awk -F, 'NR > 1 { n++; s += $1 } END { print n, s }' out.csv | diff - want
}

@test "a join of 20 M with 1 M rows, and of 1 M with 20 M, under --mem 1G" {
	long
	./make_table 20000000 >l.csv
	rn-scan l.csv -o l.er
	seq 0 999999 | awk 'BEGIN { print "id,v" } { print $1 "," $1 * 7 % 1000 }' | rn-scan -o r.er
	peak one rn-join l.er r.er --on dst=id --mem 1G -z none -o one.er
	peak two rn-join r.er l.er --on id=dst --mem 400M -z none -o two.er
	below 1000 one
	below 400 two
	want=$(rn-project l.er --cols 'v = dst * 7 % 1000' | rn-agg --cols 'n=count(*),s=sum(v)' | rn-cat)
	[ "$(rn-agg one.er --cols 'n=count(*),s=sum(v)' | rn-cat)" = "$want" ]
	[ "$(rn-agg two.er --cols 'n=count(*),s=sum(v)' | rn-cat)" = "$want" ]
}

@test "a group-by of 50 M rows under --mem 1G" {
	long
	./make_table 50000000 | rn-scan -o l.er
	peak all rn-agg l.er --by dst --cols 'n=count(*),s=sum(src),a=avg(weight)' --mem 1G -o g.er
	below 1000 all
	[ "$(rn-agg g.er --cols 'n=sum(n),s=sum(s)' | rn-cat)" = "$(rn-agg l.er --cols 'n=count(*),s=sum(src)' | rn-cat)" ]
	peak sorted rn-sort l.er --by dst --mem 1G -o s.er
	below 1000 sorted
	rn-agg s.er --cols 'n=count(*)' | rn-cat | grep -qx 50000000
}

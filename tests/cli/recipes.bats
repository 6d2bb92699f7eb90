#!/usr/bin/env bats
# The README's recipes with other programs, each as it stands.  A program that is not installed
# is a test that is skipped, visibly.

load lib
load server

teardown() {
	stop_server
	[ ! -e sshd.pid ] || kill "$(cat sshd.pid)"
}

# The section's blocks are known by the bold words before them: block NAME [N] is the Nth of NAME.
block() {
	awk -v name="$1" -v want="${2:-1}" '
		/^## / { here = /other programs/ }
		here && /^\*\*/ { n = split($0, word, "[*]+"); title = word[2]; seen = 0 }
		here && /^```sh/ { seen++; on = index(title, name) == 1 && seen == want; next }
		/^```/ { on = 0 }
		on' "$RN_ROOT/README.md"
}

# Runs a block, whose output is $output.
recipe() {
	block "$@" >recipe.sh
	[ -s recipe.sh ]
	run --separate-stderr bash -euo pipefail recipe.sh
	[ "$status" = 0 ] || {
		printf 'status %s\n%s\n' "$status" "$stderr"
		return 1
	}
}

papers() {
	cat >papers.csv <<-'END'
		id,title,year
		1,"Attention, please",2017
		2,"A ""relational"" model",1970
		3,Pages,1998
		4,Graphs,2017
	END
	rn-scan papers.csv --key id -o want.er
}

# DuckDB may be the one of the benchmark's environment (pip install duckdb-cli).
needs() {
	local p
	PATH=$PATH:$RN_ROOT/.venv/bin
	for p in "$@"; do
		command -v "$p" >/dev/null || skip "$p is not installed"
	done
}

@test "every recipe of the README is run here" {
	[ "$(awk '/^## / { here = /other programs/ } here && /^```sh/' "$RN_ROOT/README.md" | wc -l)" = 7 ]
	local name
	for name in psql sqlite3 DuckDB jq 'GNU parallel' ssh; do
		[ -n "$(block "$name")" ]
		[ "$(grep -c "^	recipe '*$name" "$BATS_TEST_FILENAME")" -ge 1 ]
	done
	[ -n "$(block DuckDB 2)" ]
}

@test "recipe: psql and PostgreSQL" {
	start_server || skip "no PostgreSQL server is installed"
	papers
	export PGHOST=$PGROOT PGUSER=rn PGDATABASE=postgres PATH=$PGBIN:$PATH
	psql -Xqc 'CREATE TABLE papers(id bigint, title text, year bigint)'
	psql -Xqc 'COPY papers FROM STDIN CSV HEADER' <papers.csv
	recipe psql
	[[ $output == *$'year,n\n1970,1\n1998,1\n2017,2'* ]]
	[ "$(psql -XAtqc 'SELECT count(*), count(DISTINCT title) FROM papers')" = '8|4' ]
	[ "$(psql -XAtqc 'SELECT string_agg(title, $$;$$ ORDER BY id) FROM recent')" = 'Attention, please;Graphs' ]
	same_stream want.er papers.er
}

@test "recipe: sqlite3" {
	needs sqlite3
	papers
	recipe sqlite3
	[ "$output" = $'id,title\n1,"Attention, please"\n4,Graphs' ]
	same_stream want.er papers.er
	[ "$(sqlite3 papers.db 'SELECT count(*) FROM again JOIN papers USING (title)')" = 4 ]
}

@test "recipe: DuckDB and Parquet" {
	needs duckdb
	papers
	cp want.er papers.er
	recipe DuckDB
	[[ $output == *2017*2* ]]
	[ -s papers.parquet ]
	same_stream want.er papers.er
}

@test "recipe: Arrow by DuckDB" {
	needs duckdb
	duckdb -c 'LOAD nanoarrow' >/dev/null 2>&1 || skip "DuckDB's extension nanoarrow is not installed"
	papers
	cp want.er papers.er
	recipe DuckDB 2
	diff <(rn-cat want.er) <(rn-cat papers.er)
}

@test "recipe: jq" {
	needs jq
	papers
	cp want.er papers.er
	recipe jq
	[ "$output" = $'Attention, please\nGraphs\n4' ]
	prints $'id,decade\n1,2010\n2,1970\n3,1990\n4,2010' pipeline 'rn-project --cols id,decade decades.er | rn-cat'
}

@test "recipe: GNU parallel" {
	needs parallel jq
	parallel --version 2>/dev/null | grep -q 'GNU parallel' || skip "parallel is another program than GNU parallel"
	papers
	head -n 3 papers.csv >part1.csv
	(head -n 1 papers.csv && tail -n 2 papers.csv) >part2.csv
	points
	recipe 'GNU parallel'
	[[ $output == [123] ]]
	diff <(rn-cat want.er) <(rn-cat parts.er)
}

# A server of our own on a port of the loopback, for the user who runs the tests.
start_sshd() {
	local sshd=${SSHD:-/usr/sbin/sshd} port
	[ -x "$sshd" ] && command -v ssh ssh-keygen >/dev/null || return 1
	if [ "$(id -u)" = 0 ]; then
		mkdir -p /run/sshd
		id sshd >/dev/null 2>&1 || return 1
	fi
	ssh-keygen -q -t ed25519 -N '' -f host_key
	ssh-keygen -q -t ed25519 -N '' -f user_key
	for port in $(shuf -i 20000-60000 -n 5); do
		cat >sshd_config <<-END
			Port $port
			ListenAddress 127.0.0.1
			HostKey $PWD/host_key
			AuthorizedKeysFile $PWD/user_key.pub
			StrictModes no
			UsePAM no
			PidFile $PWD/sshd.pid
			SetEnv PATH=$PATH
		END
		cat >ssh_config <<-END
			Host host
				HostName 127.0.0.1
				Port $port
				IdentityFile $PWD/user_key
				UserKnownHostsFile $PWD/known_hosts
				StrictHostKeyChecking no
				LogLevel ERROR
		END
		"$sshd" -f "$PWD/sshd_config" -E "$PWD/sshd.log" || continue
		mkdir bin
		printf '#!/bin/sh\ncommand=$2\nshift 2\nexec %s -F %s host "cd %s && $command $*"\n' \
			"$(command -v ssh)" "$PWD/ssh_config" "$PWD" >bin/ssh
		chmod +x bin/ssh
		bin/ssh host true && return 0
	done
	return 1
}

@test "recipe: ssh" {
	papers
	if start_sshd; then
		echo '# ssh: through sshd on the loopback' >&3
	else # what ssh does with its arguments: one text, to a shell
		echo '# ssh: no sshd is installed; a shell of this machine stands for the host' >&3
		mkdir -p bin
		printf '#!/bin/sh\nshift\nexec sh -c "$*"\n' >bin/ssh
		chmod +x bin/ssh
	fi
	export PATH=$PWD/bin:$PATH
	recipe ssh
	[ "$output" = 'year,n
1970,1
1998,1
2017,2
id,title,year
2,"A ""relational"" model",1970
3,Pages,1998
1,"Attention, please",2017
4,Graphs,2017' ]
	prints $'id\n1\n4' pipeline 'rn-project --cols id recent.er | rn-cat'
	# The host's failure is ours: the rows did not all arrive.
	printf 'id,title,year\n1,a,2001\n2,b\n' >papers.csv
	fails_with 3 rn-filter 'year > 2000' -o bad.er < <(ssh host rn-scan papers.csv 2>/dev/null)
	[ ! -e bad.er ]
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Blocks between two programs through shared memory: the same rows as without, wherever the
# bytes go in between; and nothing left, nothing short, nothing hanging when a stage dies.
# RN_LONG=1 kills 2,000 pipelines instead of 50.

load lib

# 100,000 rows in blocks of 1,000, more than a pipe holds: the writer meets its reader.
big() {
	awk 'BEGIN { print "id,x,y,s"
		for (i = 0; i < 100000; i++)
			print i "," i * 7919 % 10007 / 9973 "," i * 7907 % 10009 / 9967 ",s" i % 977 }' >big.csv
	rn-scan big.csv --block-rows 1000 -o big.er
	rn-cat big.er >want.csv
}

# The writer of all these: a file of blocks, and what it says.
head_all() {
	rn-head -n 100000 big.er --block-rows 1000 -v "$@" 2>way
}

# shared: the last writer says that blocks were shared; inline 'WHY': that none was, and why.
shared() {
	grep -Eq 'output: a pipe, not compressed, [1-9][0-9]* of [0-9]+ blocks through shared memory' way || {
		cat way
		return 1
	}
}
inline() {
	grep -Fq "output: a pipe, not compressed, no shared memory ($1)" way || {
		cat way
		return 1
	}
}

@test "a pipeline is the same with shared memory and without" {
	big
	pipeline "$(declare -f head_all); head_all | rn-filter 'id % 2 = 0' -v 2>second | rn-cat >a.csv"
	shared
	grep -Fq 'through shared memory' second
	RN_SHM=0 pipeline "$(declare -f head_all); head_all | rn-filter 'id % 2 = 0' -v 2>second | rn-cat >b.csv"
	inline RN_SHM=0
	grep -Fq '(RN_SHM=0)' second
	cmp a.csv b.csv
	[ "$(wc -l <a.csv)" = 50001 ]
}

@test "either side may turn it off" {
	big
	pipeline "$(declare -f head_all); RN_SHM=0 head_all | rn-cat | cmp - want.csv"
	inline RN_SHM=0
	pipeline "$(declare -f head_all); head_all | RN_SHM=0 rn-cat | cmp - want.csv"
	inline 'no program took the offer'
}

@test "cat, tee, a file, a pager: what stands in between gets everything" {
	big
	pipeline "$(declare -f head_all); head_all | cat | rn-cat | cmp - want.csv"
	inline 'no program took the offer'
	pipeline "$(declare -f head_all); head_all | tee copy.er | rn-cat | cmp - want.csv"
	inline 'no program took the offer'
	rn-cat copy.er | cmp - want.csv
	rn-cat <copy.er | cmp - want.csv
	# shellcheck disable=SC2002 # a pipe
	cat copy.er | rn-cat | cmp - want.csv
	head_all -o file.er
	grep -Fq 'output: a file, compressed with zstd:1' way
	rn-cat file.er | cmp - want.csv
}

@test "a FIFO and process substitution are pipes as well" {
	big
	mkfifo fifo
	rn-cat fifo >got.csv &
	head_all -o fifo
	wait $!
	shared
	cmp got.csv want.csv
	rn-cat <(head_all) | cmp - want.csv
	shared
	rn-join a=<(head_all --no-history) b=<(rn-head -n 100000 big.er --block-rows 500 -v 2>way2) --on id |
		rn-info --no-values - | grep -q ': 100000 rows in'
	inline --no-history
	grep -Fq 'through shared memory' way2
}

@test "a socket gets compressed blocks" {
	big
	cat >between.pl <<-'END'
		use Socket;
		socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0) or die;
		if (!fork) { open STDOUT, ">&", $a; close $b; exec 'rn-head', '-n', '100000', '-v', 'big.er' }
		close $a;
		open STDIN, "<&", $b;
		exec 'rn-cat';
	END
	perl between.pl 2>way | cmp - want.csv
	grep -Fq 'output: a socket, compressed with zstd:1' way
}

@test "--stats tells the way, and what was compressed" {
	big
	pipeline "rn-head -n 100000 big.er --block-rows 1000 --stats=json 2>way | rn-cat | cmp - want.csv"
	grep -Eq '"shared_blocks":[1-9][0-9]*,"shared_bytes":[1-9][0-9]*,' way
	grep -Fq '"transport":"shared memory","compress":"none","zstd_from":0,"zstd_to":0,' way
	rn-head -n 100000 big.er --stats=json -o file.er 2>way
	grep -Fq '"shared_blocks":0,"shared_bytes":0,' way
	grep -Eq '"transport":"file","compress":"zstd:1","zstd_from":[1-9][0-9]*,"zstd_to":[1-9]' way
	rn-cat big.er --stats=json -o file.csv 2>way
	grep -Fq '"transport":null,' way
}

@test "another user namespace: inline" {
	unshare -U true 2>/dev/null || skip "no user namespaces here"
	big
	pipeline "$(declare -f head_all); head_all | unshare -U rn-cat | cmp - want.csv"
	inline 'no program took the offer'
	pipeline "unshare -U rn-head -n 100000 big.er -v 2>way | rn-cat | cmp - want.csv"
	inline 'no program took the offer'
}

@test "another pid namespace: inline, with its own /proc or without" {
	unshare -p -f true 2>/dev/null || skip "no pid namespaces here"
	big
	pipeline "$(declare -f head_all); head_all | unshare -p -f rn-cat | cmp - want.csv"
	inline 'no program took the offer'
	pipeline "$(declare -f head_all); head_all | unshare -p -f --mount-proc rn-cat | cmp - want.csv"
	inline 'no program took the offer'
	pipeline "unshare -p -f rn-head -n 100000 big.er -v 2>way | rn-cat | cmp - want.csv"
	inline 'this system, or a limit, has none'
	# Both in one that came without its own /proc: no numbers to go by.
	unshare -p -f bash -c 'rn-head -n 100000 big.er -v 2>way | rn-cat | cmp - want.csv'
	inline 'this system, or a limit, has none'
	# Both in one that has: theirs.
	unshare -p -f --mount-proc bash -c 'rn-head -n 100000 --block-rows 1000 big.er -v 2>way | rn-cat | cmp - want.csv'
	shared
}

@test "without /proc: inline" {
	unshare -m umount -l /proc 2>/dev/null || skip "no mount namespaces here"
	big
	unshare -m bash -c 'umount -l /proc; rn-head -n 100000 big.er -v 2>way | rn-cat | cmp - want.csv'
	inline 'this system, or a limit, has none'
}

@test "another user on either side: inline" {
	[ "$(id -u)" = 0 ] || skip "only root can be another user"
	nobody='setpriv --reuid 65534 --regid 65534 --clear-groups'
	$nobody rn-cat --version >version || skip "the programs are out of that user's reach"
	big
	pipeline "$(declare -f head_all); head_all | $nobody rn-cat | cmp - want.csv"
	inline 'no program took the offer'
	pipeline "$nobody rn-head -n 100000 -v <big.er 2>way | rn-cat | cmp - want.csv"
	inline 'no program took the offer'
	# Both of them: theirs.
	$nobody bash -c 'rn-head -n 100000 --block-rows 1000 -v | rn-cat' <big.er 2>way | cmp - want.csv
	shared
}

teardown() {
	[ -z "${dir:-}" ] || rm -r "$dir"
}

@test "a process that shows nothing of itself: inline" {
	[ "$(id -u)" = 0 ] || skip "only root can hide a program from another user"
	nobody='setpriv --reuid 65534 --regid 65534 --clear-groups'
	$nobody rn-cat --version >version || skip "the programs are out of that user's reach"
	big
	# Who runs a program that it cannot read may not look into /proc/PID, not even its own user.
	dir=$(mktemp -d /tmp/rn-shm.XXXXXX)
	install -m 0711 "$RN_BIN/rn-head" "$RN_BIN/rn-cat" "$dir"
	chmod 0711 "$dir"
	$nobody "$dir/rn-cat" --version >version || skip "such a program cannot be run"
	$nobody bash -c "$dir/rn-head -n 100000 -v | rn-cat" <big.er 2>way | cmp - want.csv && cp way first
	$nobody bash -c "rn-head -n 100000 -v | $dir/rn-cat" <big.er 2>way | cmp - want.csv && cp way second
	cp first way
	inline 'no program took the offer'
	cp second way
	inline 'who took the offer does not read this pipe as our user'
	[ "$(cat first second | grep -vc '^rn-head: ')" = 0 ]
}

@test "socat in between, as ssh would be: inline" {
	command -v socat >/dev/null || skip "no socat here"
	big
	pipeline "$(declare -f head_all); head_all | socat -u - - | rn-cat | cmp - want.csv"
	inline 'no program took the offer'
	pipeline "head_all() { rn-head -n 100000 big.er --block-rows 1000 -v; }; head_all 2>way | socat -u - EXEC:'rn-cat -o got.csv'"
	inline 'no program took the offer'
	cmp got.csv want.csv
}

@test "limits: small files, few descriptors" {
	big
	bash -c 'ulimit -f 1; rn-head -n 100000 big.er -v 2> >(cat >way) | cat >/dev/null'
	bash -c 'ulimit -f 1; rn-head -n 100000 big.er -v 2> >(cat >way) | rn-cat | cat' | cmp - want.csv
	for n in 6 7 8 10; do
		bash -c "rn-head -n 100000 big.er | (ulimit -n $n; rn-cat)" | cmp - want.csv
		bash -c "(ulimit -n $n; exec rn-head -n 100000) <big.er | rn-cat" | cmp - want.csv
	done
}

@test "a reader that has enough ends the writer, also where another process holds the pipe" {
	big
	timeout 30 bash -c "rn-scan big.csv --block-rows 1000 | (rn-head -n 5 >first.er; cat >rest); echo \${PIPESTATUS[0]}" >status
	[[ $(cat status) == 0 || $(cat status) == 141 ]]
	[ "$(rn-cat first.er | wc -l)" = 6 ]
	# What is left for others may lie in memory that they do not have.
	fails_with 3 bash -c "cat rest | rn-cat"
}

# ends BLOCKS ROWS: a writer of blocks of so many rows ends by SIGPIPE within two seconds when its
# reader has ROWS rows and exits, although another process holds the pipe and reads nothing.
ends() {
	local writer rc=0
	rm -f pipe
	mkfifo pipe
	exec 9<>pipe
	rn-union --block-rows "$1" big.er big.er big.er big.er big.er big.er big.er big.er >pipe 9>&- 3>&- &
	writer=$!
	rn-head -n "$2" <pipe >/dev/null 9>&-
	for _ in $(seq 100); do
		[ -e "/proc/$writer" ] || break
		sleep 0.02
	done
	kill -9 "$writer" 2>/dev/null || true
	wait "$writer" || rc=$?
	exec 9>&-
	[ "$rc" = 141 ] || { echo "blocks of $1 rows, $2 read: status $rc"; return 1; }
}

@test "a reader that exits ends its writer although another process holds the pipe: any blocks, the first, too" {
	big
	for _ in 1 2 3; do
		ends 8 2000
		ends 100 1
		ends 1000 5000
	done
	# One that has what it wants before the writer has seen it.
	for _ in $(seq 20); do ends 65536 1; done
}

@test "the same program twice in a pipeline, and three deep" {
	big
	pipeline "rn-cat big.er | rn-scan - | rn-sort --by y,id | rn-filter 'id >= 0' | rn-filter 'id >= 0' |
		rn-sort --by id | rn-cat" | cmp - want.csv
}

# Pipelines of three, one of them killed at a random moment.
@test "kill -9 of any stage at any moment: no short relation, no hang, nothing left" {
	big
	cat >kill.pl <<-'END'
		use strict; use warnings;
		use Time::HiRes qw(usleep time);
		my ($seed, $runs) = @ARGV;
		my @stages = (['rn-head', '-n', '100000', '--block-rows', '300', 'big.er'],
			['rn-filter', 'id >= 0', '--block-rows', '300'], ['rn-cat', '-o', 'out.csv']);
		my ($killed, $whole) = (0, 0);

		sub start {
			my ($i, $in, $out) = @_;
			my $pid = fork // die;
			return $pid if $pid;
			open STDIN, '<&', $in or die if $in;
			open STDOUT, '>&', $out or die if $out;
			open STDERR, '>', "err.$i" or die;
			exec @{$stages[$i]} or die;
		}
		# Start the three, kill one after a while (or none), wait: their statuses.
		sub run {
			my ($victim, $us) = @_;
			unlink 'out.csv';
			pipe(my $r1, my $w1) or die;
			pipe(my $r2, my $w2) or die;
			my @pid = (start(0, undef, $w1), start(1, $r1, $w2), start(2, $r2, undef));
			close $_ for $r1, $w1, $r2, $w2;
			if (defined $victim) { usleep($us); kill 9, $pid[$victim] }
			my @status;
			local $SIG{ALRM} = sub { kill 9, @pid; die "hangs: seed $seed\n" };
			alarm 30;
			for (@pid) { waitpid $_, 0; push @status, $? }
			alarm 0;
			return @status;
		}
		sub text { local $/; open my $f, '<', $_[0] or return ''; my $t = <$f>; $t // '' }

		srand $seed;
		my $want = text('want.csv');
		my $start = time;
		my @first = run();
		die "@first\n" if grep { $_ } @first or text('out.csv') ne $want;
		my $long = (time - $start) * 1e6;
		for my $n (1 .. $runs) {
			my ($victim, $us) = (int rand 3, int rand 1.1 * $long);
			my @s = run($victim, $us);
			my $where = "seed $seed, run $n: stage $victim after $us us: @s: ";
			my $done = -e 'out.csv' ? 1 : 0;
			# It may be killed between the rename and its exit: then it is all there.
			die $where . "an output of a failed program\n" if $done && $s[2] && $s[2] != 9;
			die $where . "no output\n" if !$done && !$s[2];
			die $where . "a short relation\n" if $done && text('out.csv') ne $want;
			$whole += $done;
			next if $s[$victim] != 9; # it had done its work
			$killed++;
			for my $i (0 .. 2) {
				next if $i == $victim || !$s[$i];
				next if $i < $victim && ($s[$i] == 13 || $s[$i] >> 8 == 3);
				die $where . "stage $i, " . text("err.$i") . "\n"
					if $s[$i] != 3 << 8 || text("err.$i") !~ /truncated/;
			}
		}
		print "seed $seed: $runs runs, $killed killed, $whole whole\n";
		die "none was killed\n" if !$killed;
	END
	runs=50
	[ -z "${RN_LONG-}" ] || runs=2000
	seed=${RN_SEED:-$RANDOM}
	echo "# seed $seed" >&3
	perl kill.pl "$seed" "$runs" >killed
	sed 's/^/# /' killed >&3
	# Whatever is still there of this folder: processes, and their memory.
	for p in /proc/[0-9]*; do
		if [ "$(readlink "$p/cwd")" = "$PWD" ]; then
			case $(tr '\0' ' ' <"$p/cmdline") in rn-*) echo "left: $p" && return 1 ;; esac
			find "$p/fd" -lname '/memfd:rn*' 2>/dev/null | grep . && return 1
		fi
	done
	find /dev/shm -name 'rn*' -newer want.csv ! -name 'rn-ops-*' | grep . && return 1
	true
}

#!/usr/bin/env bats
# PostgreSQL: against a real server, which is started here on a socket of its own.

load lib
load server

setup_file() {
	start_server || return 0
	export DB="postgresql://rn@/postgres?host=$PGROOT" # what is behind it, table=NAME, begins with &
	sql "CREATE ROLE locked LOGIN PASSWORD 's3cret'; GRANT ALL ON SCHEMA public TO locked"
}

teardown_file() {
	stop_server
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	[ -n "${DB-}" ] || skip "no PostgreSQL server is installed"
}

sql() {
	"$PGBIN/psql" -XqAt -v ON_ERROR_STOP=1 -h "$PGROOT" -U rn postgres -c "$1"
}

@test "PostgreSQL: every type in" {
	sql "CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN count AS int CHECK (value > 0);
	CREATE TABLE types(b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, n10 numeric(10),
		n2 numeric(10, 2), s text, v varchar(5), c char(3), u uuid, j json, jb jsonb, m mood, d date,
		ts timestamp, tz timestamptz, k count, nm name, o oid, q \"char\");
	INSERT INTO types VALUES (true, 1, -2, 9223372036854775807, 0.5, 0.1, 0.1, 1234567890, 12.34, 'hé\"x', 'abc',
		'a', '01234567-89ab-cdef-0123-456789abcdef', '{\"a\": 1}', '{\"b\":2}', 'sad', '2024-01-02',
		'2024-01-02 03:04:05.5', '2024-01-02 03:04:05.5+02', 3, 'nm', 4000000000, 'q');
	INSERT INTO types(b) VALUES (null);
	INSERT INTO types VALUES (false, -32768, 2147483647, -9223372036854775808, 'nan', '-inf', 'nan', -10000, -0.01,
		'', '', '', 'ffffffff-ffff-ffff-0000-456789abcdef', 'null', '[]', 'ok', '1969-12-31',
		'0001-01-01 00:00:00 BC', '2026-12-31', 4, '', 0, 'r')"
	prints 'b,i2,i4,i8,f4,f8,n,n10,n2,s,v,c,u,j,jb,m,d,ts,tz,k,nm,o,q
true,1,-2,9223372036854775807,0.5,0.1,0.1,1234567890,12.34,"hé""x",abc,a  ,01234567-89ab-cdef-0123-456789abcdef,"{""a"": 1}","{""b"": 2}",sad,2024-01-02T00:00:00Z,2024-01-02T03:04:05.5Z,2024-01-02T01:04:05.5Z,3,nm,4000000000,q
,,,,,,,,,,,,,,,,,,,,,,
false,-32768,2147483647,-9223372036854775808,,-inf,,-10000,-0.01,"","",   ,ffffffff-ffff-ffff-0000-456789abcdef,null,[],ok,1969-12-31T00:00:00Z,0000-01-01T00:00:00Z,2026-12-31T00:00:00Z,4,"",0,r' \
		pipeline "rn-scan '$DB&table=types' | rn-cat"
	rn-scan "$DB&table=types" -o t.er
	[ "$(rn-info --schema t.er | tr -d '\n {}" ' | sed 's/^columns://; s/,key:.*//')" = \
		"b:bool,i2:int64,i4:int64,i8:int64,f4:float64,f8:float64,n:float64,n10:int64,n2:float64,s:string,v:string,c:string,u:string,j:string,jb:string,m:string,d:timestamp,ts:timestamp,tz:timestamp,k:int64,nm:string,o:int64,q:string" ]
	rn-info t.er | grep -q '^relation 0, types: 3 rows'
	prints $'a,b,c,d,e,f\n1,1e30,1e-300,inf,-1.2345678901234568e29,100000000' pipeline "rn-scan '$DB' --query \"
		SELECT 1::numeric(19) a, 1e30::numeric b, 1e-300::numeric c, 'infinity'::numeric d,
		-123456789012345678901234567890.5::numeric e, 100000000::numeric(9) f\" | rn-cat"
}

@test "PostgreSQL: a table out and in is the same, embeddings too" {
	printf 'id,x,b,s,t\n3,0.5,true,"a ""b""",2024-01-02T03:04:05.5Z\n1,,,,\n2,1e300,false,"",1969-12-31\n' >x.csv
	rn-scan x.csv --key id -o x.er
	rn-cat x.er --to "$DB&table=x"
	rn-scan "$DB&table=x" --key id -o y.er
	same_stream x.er y.er
	[ "$(sql "SELECT string_agg(format_type(atttypid, null), ',' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = 'x'::regclass AND attnum > 0")" = 'bigint,double precision,boolean,text,timestamp with time zone' ]
	[ "$(sql "SELECT count(*) FROM pg_index WHERE indrelid = 'x'::regclass AND indisunique")" = 1 ]
	printf 'id,a,b\n1,0.5,2\n2,-0.1,1e30\n' >e.csv
	rn-scan e.csv --emb a,b -o e.er
	rn-cat e.er --to "$DB&table=e"
	[ "$(sql 'SELECT z FROM e WHERE id = 2')" = '{-0.1,1e+30}' ]
	rn-scan "$DB&table=e" -o f.er
	same_stream e.er f.er
	sql "CREATE TABLE m(id int, w float8[], v float4[]); INSERT INTO m VALUES (1, null, '{{1,2,3},{4,5,6}}'),
		(2, '{0.1,null}', '{{7,8,9},{0,1,nan}}')"
	rn-scan "$DB&table=m" -o m.er 2>err
	grep -q 'warning: .* 2 NULLs are embedded as 0' err
	rn-info m.er | grep -q 'part   v  *\[2,3\]'
	prints $'id,w0,w1,v0,v1,v2,v3,v4,v5\n1,0,0,1,2,3,4,5,6\n2,0.1,0,7,8,9,0,1,nan' rn-cat m.er
	rn-cat m.er --to "$DB&table=m2"
	rn-scan "$DB&table=m2" -o n.er
	same_stream m.er n.er
	prints $'id,z0,z1\n1,0,0\n2,0.1,0' pipeline "rn-scan -q '$DB&table=m' --emb w | rn-cat"
	rn-scan e.csv | rn-encode 'index(id, 5)' -o s.er # sparse
	rn-cat s.er --to "$DB&table=s"
	[ "$(sql 'SELECT z FROM s WHERE id = 2')" = 2:1 ]
}

@test "PostgreSQL: queries, operands and specs" {
	sql "CREATE TABLE q(id int, v bigint); INSERT INTO q SELECT i, i::bigint * i FROM generate_series(1, 70000) i"
	prints $'id\n3\n4' pipeline "rn-scan '$DB' --query 'SELECT id FROM q WHERE id IN (3, 4) ORDER BY id; ' | rn-cat"
	prints $'n\n70000' pipeline "rn-scan '$DB' --query 'SELECT count(*) AS n FROM q -- all' | rn-cat"
	prints $'id\n70000' pipeline "rn-filter 'v = 4900000000' '$DB&table=q' | rn-project --cols id | rn-cat"
	[ "$(rn-project --cols id "$DB&table=q" | rn-cat --no-header | cksum)" = "$(seq 70000 | cksum)" ]
	[ "$(rn-scan "$DB&table=q" --block-rows 1000 | rn-info | grep -c 'in 70 blocks')" = 1 ]
	points
	rn-train model.json -q --json | member bits >want
	rn-cat points.csv --to "$DB&table=points"
	sed "s|\"points.csv\"|\"$DB\&table=points\"|" model.json >pg.json
	grep -q table=points pg.json
	rn-train pg.json -q --json | member bits | diff want -
	rn-scan "$DB&table=points" --key id -o p.er # a source has a fingerprint
	rn-scan points.csv --key id -o c.er
	same_stream p.er c.er
}

@test "PostgreSQL: an existing table is kept, --append adds, a failure leaves nothing" {
	printf 'id,v\n1,2\n' >x.csv
	rn-cat x.csv --to "$DB&table=kept"
	fails_with 2 rn-cat x.csv --to "$DB&table=kept"
	says "rn-cat: '$DB' has a table 'kept' already (--append adds to it)"
	rn-cat x.csv --to "$DB&table=kept" --append
	[ "$(sql 'SELECT count(*) FROM kept')" = 2 ]
	{
		cat x.csv
		seq 70000 | sed 's/$/,1/'
		echo 1
	} >bad.csv
	fails_with 3 rn-cat - --to "$DB&table=gone" < <(rn-scan <bad.csv 2>/dev/null)
	fails_with 3 rn-cat - --to "$DB&table=kept" --append < <(rn-scan <bad.csv 2>/dev/null)
	[ "$(sql "SELECT to_regclass('gone') IS NULL, (SELECT count(*) FROM kept)")" = 't|2' ]
	rn-scan x.csv --key id | rn-cat --to "$DB&table=keyed"
	fails_with 1 rn-cat x.csv --to "$DB&table=keyed" --append
	says "rn-cat: '$DB': PostgreSQL: duplicate key value violates unique constraint \"keyed_id_key\" (23505); Key (id)=(1) already exists."
	fails_with 2 rn-cat x.csv --to "$DB"
	fails_with 2 rn-cat x.csv --to "$DB&table=y" -o y
	fails_with 2 rn-cat x.csv --to "$DB&schema=none&table=y"
	says "rn-cat: '$DB': PostgreSQL: schema \"none\" does not exist (3F000)"
	fails_with 3 rn-cat --to "$DB&table=old" < <(printf 't\n-290000-01-01\n' | rn-scan --types t=timestamp)
	[ "$(sql "SELECT to_regclass('old') IS NULL")" = t ]
}

@test "PostgreSQL: --append casts to the types of the table, and refuses what does not fit" {
	sql "CREATE TABLE other(extra int DEFAULT 7, t date, id smallint, x numeric(5, 2), s varchar(3), u uuid, e float8[])"
	cat >x.csv <<-'END'
		id,x,s,t,u,a,b
		1,0.5,abc,2024-01-01T10:00:00Z,01234567-89ab-cdef-0123-456789abcdef,1,2
		2,,"",,,3,4
	END
	rn-scan x.csv --emb a,b --name e |
		rn-map z --name e -o x.er
	rn-info x.er | grep -q 'part   z'
	sql 'ALTER TABLE other RENAME e TO z'
	rn-cat x.er --to "$DB&table=other" --append
	[ "$(sql 'SELECT * FROM other')" = '7|2024-01-01|1|0.50|abc|01234567-89ab-cdef-0123-456789abcdef|{1,2}
7||2||||{3,4}' ]
	append() {
		printf "$1" | rn-scan | rn-cat --to "$DB&table=other" --append
	}
	fails_with 3 append 'id\n40000\n'
	says "rn-cat: '$DB': PostgreSQL: smallint out of range (22003)"
	fails_with 3 append 's\nabcd\n'
	fails_with 3 append 'u\nabcd\n'
	fails_with 2 append 'id\n1.5\n'
	says "rn-cat: '$DB': column 'id' is smallint in table 'other', which does not hold a float64 (rn-project can cast it)"
	fails_with 2 append 'none\n1.5\n'
	says "rn-cat: '$DB': PostgreSQL: column \"none\" does not exist (42703)"
	[ "$(sql 'SELECT count(*) FROM other')" = 2 ]
}

@test "PostgreSQL: what cannot be read says so, and what to do" {
	sql 'DROP SCHEMA IF EXISTS a CASCADE; CREATE SCHEMA a; CREATE TABLE a."t 1"(i int); INSERT INTO a."t 1" VALUES (5)'
	local at="'$DB'"
	prints $'i\n5' pipeline "rn-scan '$DB&schema=a&table=t%201' | rn-cat"
	prints $'i\n5' pipeline "rn-scan '$DB&options=-csearch_path%3Da' | rn-cat" # the only one
	fails_with 2 rn-scan "$DB&options=-csearch_path%3Da&table=x" -o x.er
	says "rn-scan: '$DB&options=-csearch_path%3Da' has no table 'x': there is 't 1'"
	fails_with 2 rn-scan "$DB&options=-csearch_path%3Da&table=a.t" -o x.er
	says "rn-scan: '$DB&options=-csearch_path%3Da' has no table 'a.t': there is 't 1'; a schema is named by &schema=NAME"
	fails_with 2 rn-scan "$DB&options=-csearch_path%3Dnone" -o x.er
	says "rn-scan: '$DB&options=-csearch_path%3Dnone': name a table (…?table=NAME) or give a --query: there is none"
	while IFS='|' read -r code query message; do
		fails_with "$code" rn-scan "$DB" --query "$query" -o x.er
		says "rn-scan: $at: $message"
	done <<-'END'
		2|SELEKT 1|PostgreSQL: syntax error at or near "SELEKT" (42601)
		2|SELECT 1; SELECT 2|PostgreSQL: cannot insert multiple commands into a prepared statement (42601)
		2|SELECT * FROM none|PostgreSQL: relation "none" does not exist (42P01)
		2|DELETE FROM a."t 1" RETURNING i|PostgreSQL: cannot execute DELETE in a read-only transaction (25006)
		2|SELECT 1 AS a, 2 AS a|two columns are called 'a' (name them with AS)
		2|SELECT|the query gives no columns
		2|SELECT '\x00'::bytea AS x|column 'x' is bytea, which is no text: encode(x, 'hex') in a --query makes it one
		2|SELECT interval '1 day' AS i|column 'i' is interval, which has no place here: i::text in a --query makes it a string
		2|SELECT '{1}'::int[] AS i|column 'i' is integer[], which has no place here: i::text in a --query makes it a string
		3|SELECT 1/(3-i) AS i FROM generate_series(1, 5) i|PostgreSQL: division by zero (22012)
		3|SELECT 'infinity'::date AS d|row 1: column 'd' is infinity, and a timestamp is not: nullif(…, 'infinity') in a --query makes it NULL
		3|SELECT '5874897-01-01'::date AS d|row 1: column 'd' is later than any timestamp
		3|VALUES ('{1,2}'::real[]), ('{1}')|row 2: column 'column1' is an array of another length than in the rows before
		3|SELECT '{}'::real[] AS e|row 1: column 'e' is an empty array
		2|SELECT null::real[] AS e|column 'e' is an array, and none of its first 1 rows says of what length: leave it out of a --query
	END
	fails_with 2 rn-scan "$DB" --query ' ; '
	says 'rn-scan: --query is empty'
	fails_with 2 rn-scan "$DB&table=types" --query 'SELECT 1'
	fails_with 2 rn-scan "$DB&table=types" --types b=int64
	fails_with 2 rn-scan "$DB&schema=a"
	fails_with 2 rn-scan "$DB&table="
	fails_with 2 rn-scan 'postgresql://a b/c'
	fails_with 2 rn-scan 'postgresql://a:b/c@d/e'
	fails_with 2 rn-scan 'postgresql://a:b%c@d/e'
	[ ! -e x.er ]
	printf 'a\n1\n' >x.csv
	fails_with 2 rn-scan x.csv --query 'SELECT 1' -o x.er
}

@test "PostgreSQL: no server, no library, and a server that goes away" {
	mkdir none lib
	fails_with 1 rn-scan "postgresql:///x?host=$PWD/none&table=t" -o x.er
	[[ $stderr == *"none/.s.PGSQL.5432\" failed: No such file or directory; Is the server running"* ]]
	fails_with 1 rn-scan 'postgresql://127.0.0.1:1/x?table=t' -o x.er
	[[ $stderr == *'Connection refused'* ]]
	fails_with 1 rn-scan "postgresql://rn@/none?host=$PGROOT&table=t" -o x.er
	[[ $stderr == *'database "none" does not exist' ]]
	: >lib/libpq.so.5
	fails_with 1 env LD_LIBRARY_PATH="$PWD/lib" rn-scan "$DB&table=types" -o x.er
	says "rn-scan: PostgreSQL's client library is not installed (libpq.so.5, of the package libpq5)"
	local die='SELECT i, CASE WHEN i = 150000 THEN pg_terminate_backend(pg_backend_pid()) END AS b FROM generate_series(1, 200000) i'
	fails_with 1 rn-scan "$DB" --query "$die" -o x.er
	says "rn-scan: '$DB': PostgreSQL: terminating connection due to administrator command (57P01)"
	fails_with 3 rn-info - < <(rn-scan "$DB" --query "$die" 2>/dev/null)
	[[ $stderr == *'administrator command (57P01)' ]]
	[ ! -e x.er ]
}

# Programs that the server runs for us; waits until there is none.
none_active() {
	local i
	for i in $(seq 100); do
		[ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rn'")" != 0 ] || return 0
		sleep 0.1
	done
	return 1
}

@test "PostgreSQL: who has enough stops the server" {
	local endless='SELECT generate_series(1, 2000000000) AS i'
	prints $'i\n1' bash -c "rn-scan '$DB' --query '$endless' | rn-head -n 1 | rn-cat"
	none_active
	sql 'CREATE VIEW endless AS SELECT generate_series(1, 2000000000) AS i'
	prints $'i\n1' pipeline "rn-head -n 1 '$DB&table=endless' | rn-cat"
	[ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rn'")" = 0 ]
	# No row ever comes: the server notices that nobody waits any more.
	timeout -s KILL 1 rn-scan "$DB" --query 'SELECT pg_sleep(100)::text AS x' -o x.er || [ $? = 137 ]
	none_active
}

@test "PostgreSQL: rows in bounded memory" {
	[ "${RN_VARIANT:-release}" = release ] || skip "the sanitizers take memory of their own"
	(
		ulimit -v 700000
		rn-scan -t 1 "$DB" --query "SELECT i, repeat('x', 2000) AS s FROM generate_series(1, 500000) i" |
			rn-project --cols i -o i.er
		rn-cat i.er --to "$DB&table=wide"
	)
	[ "$(sql 'SELECT count(*), sum(i) FROM wide')" = '500000|125000250000' ]
}

@test "PostgreSQL: a password is nowhere but on its way to the server" {
	points
	rn-cat points.csv --to "$DB&table=secrets"
	sql 'GRANT SELECT ON secrets TO locked'
	local uri shown="postgresql://locked@/postgres?host=$PGROOT"
	fails_with 1 rn-scan "$shown&table=secrets" -o x.er
	[[ $stderr == *'no password supplied' ]]
	fails_with 1 rn-scan "postgresql://locked:wr0ng@/postgres?host=$PGROOT&table=secrets" -o x.er
	[[ $stderr == *'password authentication failed for user "locked"' && $stderr != *wr0ng* ]]
	for uri in "postgresql://locked:s3cret@/postgres?host=$PGROOT" "$shown&password=s3cret" \
		"postgres://locked:s3cret@/postgres?host=$PGROOT&application_name=x"; do
		rm -f ./*.er
		rn-scan "$uri&table=secrets" --key id --emb a,b -z none -o a.er
		rn-info a.er | grep -qF "secrets = scan '"
		rn-info a.er | grep -q "rn-scan postgres.*table=secrets"
		rn-scan "$uri" --query 'SELECT id, a FROM secrets' --no-history -z none -o b.er
		rn-filter 'id > 3' "$uri&table=secrets" -z none -o c.er
		rn-filter 'id > 3' "$uri&table=secrets" -z none --no-history -o d.er
		rn-join "$uri&table=secrets" "b=$uri&table=secrets" --on id -z none -o e.er
		rn-head -n 3 "$uri&table=secrets" -z none -o f.er
		rn-linear 2 --name l a.er -z none -o l.er
		sed "s|\"points.csv\"|\"${uri//&/\\&}\&table=secrets\"|" model.json >m.json
		grep -q s3cret m.json
		rn-train m.json --epochs 3 -q --json -o m.rnm --log log.jsonl >json
		[ -s m.rnm ]
		[ -s log.jsonl ]
		rn-explain m.json >explained
		rn-explain --json m.json >plan.json
		rn-explain m.rnm >>explained
		grep -q "from.*table=secrets" plan.json
		fails_with 2 rn-scan "$uri&table=secretz" -o x.er
		[[ $stderr == "rn-scan: '$(sed 's/:s3cret//; s/&password=s3cret//' <<<"$uri")' has no table 'secretz': there "* ]]
		{
			rn-scan "$uri&tabel=x" | rn-cat || true
			rn-scan "$uri&table=secrets" --row-id id | rn-cat || true
			rn-scan "$uri&table=secrets" --emb none | rn-cat || true
			rn-scan "$uri&table=secrets" --file-col x | rn-cat || true
			rn-scan "$uri&table=secrets" --types a=int64 | rn-cat || true
			rn-scan "$uri&table=types" -vv | rn-cat || true
			rn-cat points.csv --to "$uri&table=secrets" || true
			rn-head x "$uri&table=secrets" || true
			rn-info "$uri&table=secrets" -vv || true
			rn-predict m.rnm --source "points=$uri&table=none" || true
			rn-cat "x$uri" || true
		} >out 2>messages
		[ "$(wc -l <messages)" -gt 8 ]
		rm m.json
		run grep -rlFa s3cret .
		echo "$output"
		[ "$status" = 1 ]
	done
	# So a model's source wants it anew.
	fails_with 1 rn-predict m.rnm -o p.er
	PGPASSWORD=s3cret rn-predict m.rnm -o p.er
	PGPASSWORD=s3cret rn-scan "$shown&table=secrets" --key id --emb a,b -o p.er
	same_stream a.er p.er
}

@test "PostgreSQL: a server that is killed" {
	rn-scan "$DB" --query "SELECT i, CASE WHEN i = 100000 THEN pg_sleep(60)::text END AS s FROM generate_series(1, 200000) i" \
		-o x.er 2>err &
	local scan=$! pid='' i
	for i in $(seq 100); do
		pid=$(sql "SELECT pid FROM pg_stat_activity WHERE application_name = 'rn' AND wait_event = 'PgSleep'")
		[ -z "$pid" ] || break
		sleep 0.1
	done
	kill -9 "$pid"
	i=0
	wait "$scan" || i=$?
	[ "$i" = 1 ]
	grep -q 'PostgreSQL: server closed the connection unexpectedly' err
	[ ! -e x.er ]
}

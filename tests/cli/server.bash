# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# A PostgreSQL server for tests: on a socket in a folder of its own in /tmp, without TCP.
#
#   start_server          fails where none is installed; sets PGBIN and PGROOT; user rn may all
#   stop_server           and removes the folder

# Databases do not run as root: as the first of these that there is.
as_server() {
	local user
	if [ "$(id -u)" != 0 ]; then
		"$@"
		return
	fi
	for user in postgres nobody; do
		if id "$user" >/dev/null 2>&1; then
			runuser -u "$user" -- "$@"
			return
		fi
	done
	return 1
}

server_bin() {
	local dir
	for dir in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV) "$(dirname "$(command -v initdb || echo /none/x)")"; do
		if [ -x "$dir/initdb" ] && [ -x "$dir/pg_ctl" ] && [ -x "$dir/psql" ]; then
			echo "$dir"
			return
		fi
	done
	return 1
}

start_server() {
	local v
	for v in $(compgen -e PG); do unset "$v"; done
	PGBIN=$(server_bin) && as_server true || return 1
	# Not below a folder of bats, which the server's user may not enter; and a socket's name
	# is short.
	PGROOT=$(mktemp -d /tmp/rn-pg.XXXXXX)
	export PGBIN PGROOT
	chmod 755 "$PGROOT"
	[ "$(id -u)" != 0 ] || chown "$(as_server id -u)" "$PGROOT"
	(
		cd "$PGROOT" || exit 1
		as_server "$PGBIN/initdb" -D "$PGROOT/data" -U rn -A trust -E UTF8 --locale=C --no-sync >initdb.log &&
			sed -i '1i local all locked scram-sha-256' data/pg_hba.conf &&
			as_server "$PGBIN/pg_ctl" -D "$PGROOT/data" -w -l "$PGROOT/log" \
				-o "-k '$PGROOT' -c listen_addresses= -F" start >/dev/null 3>&- 4>&-
	)
}

stop_server() {
	[ -n "${PGROOT-}" ] || return 0
	(cd "$PGROOT" && as_server "$PGBIN/pg_ctl" -D "$PGROOT/data" -m immediate stop >/dev/null) || true
	rm -rf "$PGROOT"
}

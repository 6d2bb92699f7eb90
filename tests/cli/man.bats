#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The manual pages agree with the programs.

load lib

# Names of the options that a page's OPTIONS section describes.
documented() {
	awk '/^\.Sh /{ on = $0 == ".Sh OPTIONS" } on && /^\.It /' "$1" |
		grep -oE 'Fl -[a-z0-9-]+' | sed 's/^Fl -//' | sort
}

# Those that a program has, as its page should have them: a flag that is on is
# described by what turns it off.
declared() {
	"$1" --dump-options | awk -F '\t' -v whose="$2" 'index($4, whose) == 1 {
		name = substr($1, 3)
		print ($3 == "" && $5 == "true" ? "no-" : "") name }' | sort
}

letters() {
	awk '/^\.Sh /{ on = $0 == ".Sh OPTIONS" } on && /^\.It /' "$1" |
		sed -nE 's/^\.It Fl ([a-zA-Z]) , Fl -([a-z-]+).*/-\1 --\2/p' | sort
}

@test "every program has a page, every page a program" {
	diff <(printf '%s\n' "${PROGRAMS[@]}") <(cd "$RN_ROOT/cmd" && printf '%s\n' rn-*.1 | sed 's/\.1$//')
}

@test "a page lists its program's own options, rn(7) the common ones" {
	for p in "${PROGRAMS[@]}"; do
		diff <(declared "$p" own) <(documented "$RN_ROOT/cmd/$p.1")
		diff <("$p" --dump-options | awk -F '\t' '$4 == "own" && $2 { print $2, $1 }' | sort) \
			<(letters "$RN_ROOT/cmd/$p.1")
	done
	diff <(declared rn-linear common) <(documented "$RN_ROOT/cmd/rn.7")
	diff <(rn-linear --dump-options | awk -F '\t' '$4 == "common" && $2 { print $2, $1 }' | sort) \
		<(letters "$RN_ROOT/cmd/rn.7")
}

@test "the pages are good mdoc" {
	command -v mandoc >/dev/null || skip "mandoc is not installed"
	mandoc -T lint -W warning "$RN_ROOT"/cmd/*.[17] "$RN_ROOT"/formats/*.5
}

@test "groff has nothing to say about the pages" {
	command -v groff >/dev/null || skip "groff is not installed"
	for page in "$RN_ROOT"/cmd/*.[17] "$RN_ROOT"/formats/*.5; do
		run --separate-stderr groff -man -Tutf8 -ww "$page"
		[ -z "$stderr" ]
	done
	groff -man -Tascii -P-c "$RN_ROOT/cmd/rn.7" >rn.txt
	grep -qF '%Y %y %m %b %B %d' rn.txt
	grep -qF 'length(s), lower(s), upper(s), reverse(s)' rn.txt
}

@test "a page has the sections that all pages have, and refers to pages that exist" {
	for p in "${PROGRAMS[@]}"; do
		diff <(grep '^\.Sh ' "$RN_ROOT/cmd/$p.1") - <<-'END'
			.Sh NAME
			.Sh SYNOPSIS
			.Sh DESCRIPTION
			.Sh OPTIONS
			.Sh EXIT STATUS
			.Sh EXAMPLES
			.Sh SEE ALSO
		END
		grep -h '^\.Xr ' "$RN_ROOT/cmd/$p.1" "$RN_ROOT/cmd/rn.7"
	done | sed -E 's/^\.Xr ([^ ]+) ([0-9]).*/\1.\2/' | grep -v '^tee\.1$' | sort -u >pages
	while read -r page; do
		[ -e "$RN_ROOT/cmd/$page" ] || [ -e "$RN_ROOT/formats/$page" ]
	done <pages
}

@test "rn(7) lists every program" {
	diff <(printf '%s\n' "${PROGRAMS[@]}") <(sed -n 's/^\.It Xr \(rn-[a-z]*\) 1$/\1/p' "$RN_ROOT/cmd/rn.7" | sort)
}

@test "--help says what the page says" {
	for p in "${PROGRAMS[@]}"; do
		what=$("$p" --help | sed -n 2p)
		[ "${what,}" = "$(sed -n 's/^\.Nd //p' "$RN_ROOT/cmd/$p.1")." ]
	done
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Every example, in every configuration of its Makefile, optimised and as it is written: three epochs
# have the same losses to 1e-4, and then the same predictions, up to the rounding of float32.  With
# RN_DATA, the folder of data sets, or ../shared/data.

load lib

DATA=${RN_DATA:-$RN_ROOT/../shared/data}

# Example, its data, how far a prediction may be off (relative to the largest), and settings.  DHN standardises
# logarithms of counts over graphs that have most of them in common, so digits cancel, and Adam's first steps
# are as large for a gradient that is noise: for SR25, where gradients are right to 2.4e-5 in float32 (torch.bats),
# computing the same sums in another order (hoist or restrict alone) moves predictions by 1e-3.
MODELS='
	dhn-csl                   csl                               1e-3
	dhn-csl                   csl                               1e-3  most=4
	dhn-exp                   exp                               1e-3
	dhn-exp                   exp                               1e-3  layers=1
	dhn-sr25                  sr25                              1e-2
	dhn-sr25                  sr25                              1e-2  layers=1
	gcn-citeseer              citeseer                          1e-5
	gcn-cora                  cora                              1e-5
	gcn-csl                   csl                               1e-5
	gcn-exp                   exp                               1e-5
	gcn-sr25                  sr25                              1e-5
	hgnn-coauthorship-cora    hypergraph/coauthorship_cora      1e-5
	hgnn-cocitation-citeseer  hypergraph/cocitation_citeseer    1e-5
	hgnn-cocitation-cora      hypergraph/cocitation_cora        1e-5
	hgt-dblp-1l               dblp                              1e-4
	hgt-dblp-2l               dblp                              1e-4
	hgt-dblp-2l               dblp                              1e-4  norm=1 drop=0.2
	hgt-dblp-best             dblp                              1e-4
	hygnn-coauthorship-cora   hypergraph/coauthorship_cora      1e-5
	karate                    .                                 1e-5
	link-cora                 cora                              1e-5
	rgcn                      .                                 1e-5
'

# The examples in a tree of their own, as their sources are ../../../shared/data.
setup() {
	cd "$BATS_TEST_TMPDIR" || return 1
	mkdir -p main shared
	cp -r "$RN_ROOT/examples" main/examples
	ln -s "$(realpath -m "$DATA")" shared/data
	cd main/examples || return 1
}

# three FOLDER EXAMPLE OPTION...: three epochs; FOLDER/loss, FOLDER/pred.csv
three() {
	local program=$2/model.relnn
	[ -e "$program" ] || program=$2/model.json
	rm -rf "$1"
	mkdir "$1"
	rn-train "$program" -q --epochs 3 --output-dir "$1" --log "$1/log" "${@:3}"
	sed -n 's/.*"loss": *\([^,}]*\).*/\1/p' "$1/log" >"$1/loss"
	[ "$(wc -l <"$1/loss")" = 3 ]
}

# losses_agree A B
losses_agree() {
	paste "$1" "$2" | awk '
		{ e = $1 - $2; e = e < 0 ? -e : e; m = $2 < 0 ? -$2 : $2 }
		!(e <= 1e-4 * m) { print "loss " $1 " instead of " $2; bad = 1 }
		END { exit bad }'
}

# predictions_agree A B TOLERANCE: keys are equal; values (z, z0, …) are near, relative to the largest of all.
# Which of them is the largest says the column "prediction", which two that are near may swap.
predictions_agree() {
	paste -d, "$1" "$2" | awk -F, -v tol="$3" '
		NR == 1 {
			n = NF / 2
			for (i = 1; i <= n; i++) {
				kind[i] = $i == "prediction" ? "label" : $i ~ /^z[0-9]*$/ ? "value" : "key"
				values += kind[i] == "value"
				differ += $i != $(n + i)
			}
			next
		}
		{
			for (i = 1; i <= n; i++) {
				if (kind[i] == "key")
					differ += $i != $(n + i)
				if (kind[i] != "value")
					continue
				d = $i - $(n + i); d = d < 0 ? -d : d
				a = $i < 0 ? -$i : $i
				if (a > most) most = a
				if (d > off) off = d
			}
		}
		END {
			if (NR < 2 || !values || NF != 2 * n || differ || !(off <= tol * most)) {
				print values " values are " off " off, the largest is " most "; " differ + 0 " keys differ"
				exit 1
			}
		}'
}

# agree EXAMPLE DATA TOLERANCE [SETTING...]
agree() {
	local set=("${@:4}")
	[ "$2" = . ] || [ -e "$DATA/$2" ] || return 0
	echo "$1 ${set[*]}"
	three with "$1" "${set[@]/#/--set=}"
	three without "$1" "${set[@]/#/--set=}" --no-optimize
	losses_agree with/loss without/loss
	predictions_agree with/pred.csv without/pred.csv "$3"
}

# examples PATTERN: those whose names match; skipped where there is no data for one.
examples() {
	local missing='' name data more n=0
	while read -r name data more; do
		# shellcheck disable=SC2053,SC2086 # a pattern, and words
		[[ $name == $1 ]] || continue
		! too_many "$name" || continue
		[ "$data" = . ] || [ -e "$DATA/$data" ] || missing="$DATA/$data"
		# shellcheck disable=SC2086
		agree "$name" "$data" $more
		n=$((n + 1))
	done <<<"$MODELS"
	[ "$n" != 0 ]
	[ -z "$missing" ] || skip "no $missing: set RN_DATA to the folder of data sets"
}

@test "every example and every configuration is among them" {
	for i in */Makefile; do
		name=${i%/*}
		{
			echo
			sed -n 's/^CONFIGS *:= *//p' "$i" | tr ' ' '\n' | sed '/./!d; s/,/ /g'
		} | sort >want
		awk -v name="$name" '$1 == name { sub(/^[ \t]*[^ \t]+[ \t]+[^ \t]+[ \t]+[^ \t]+[ \t]*/, ""); print }' \
			<<<"$MODELS" | sort >got
		diff want got || { echo "$name"; return 1; }
	done
}

@test "dhn: sums over patterns" {
	examples 'dhn-*'
}

@test "gcn" {
	examples 'gcn-*'
}

@test "hgnn, hygnn: hypergraphs" {
	examples 'h*gnn-*'
}

@test "hgt: edge types, heads, softmax" {
	examples 'hgt-*'
}

@test "karate, link-cora, rgcn" {
	examples 'karate'
	examples 'rgcn'
	examples 'link-cora'
}

#!/bin/bash
# Make the tables of a random graph with AIFB's numbers in a folder: 8,285 nodes, 29,043 triples of 45
# predicates of falling frequency, 176 labelled nodes of four classes.  For its size, not for its sense.
set -euo pipefail
cd "${1:?usage: aifb-shaped.sh FOLDER}"
awk '
	function below(n) { # a linear congruential generator: the same in every awk
		state = (state * 16807) % 2147483647
		return int(state / 2147483647 * n)
	}
	BEGIN {
		state = 20260102
		print "subject,predicate,object" >"triple.csv"
		while (made < 29043) {
			r = below(45) * below(45)
			s = below(8285); r = int(r / 44); o = below(8285)
			if ((s, r, o) in seen)
				continue
			seen[s, r, o] = 1
			made++
			print s ",p" r "," o >"triple.csv"
		}
		print "predicate,direction" >"relation.csv"
		for (r = 0; r < 45; r++)
			print "p" r ",out\np" r ",in" >"relation.csv"
		print "node_id,kind,label,split" >"node.csv"
		for (n = 0; n < 8285; n++)
			print n ",thing," (n < 176 ? n % 4 "," (n < 140 ? "train" : "test") : ",") >"node.csv"
	}'

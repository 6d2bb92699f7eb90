#!/bin/bash
# Make triple.csv, relation.csv and node.csv anew, the same always: four research groups, their people,
# publications, projects and topics, without the triples that say who is in which group.
set -euo pipefail
cd "$(dirname "$0")"
awk '
	function below(n) { # a linear congruential generator: the same in every awk
		state = (state * 16807) % 2147483647
		return int(state / 2147483647 * n)
	}
	function triple(s, rel, o) {
		if (!((s, rel, o) in seen)) print s "," rel "," o >"triple.csv"
		seen[s, rel, o] = 1
	}
	# a topic of group g, three times of four
	function topic(g) { return below(4) ? topics + 4 * g + below(4) : topics + below(16) }
	function person(g) { return below(8) ? people + g + 4 * below(30) : people + below(120) }
	BEGIN {
		state = 20260101
		people = 0; pubs = 120; projects = 360; topics = 400; nodes = 416
		print "subject,predicate,object" >"triple.csv"
		print "node_id,kind,label,split" >"node.csv"
		for (n = 0; n < nodes; n++)
			if (n < pubs)
				print n ",person," n % 4 "," (n % 5 == 0 ? "test" : "train") >"node.csv"
			else
				print n "," (n < projects ? "publication" : n < topics ? "project" : "topic") ",," >"node.csv"
		for (n = pubs; n < projects; n++) {
			g = below(4)
			for (k = below(3); k >= 0; k--) triple(n, "author", person(g))
			for (k = below(2); k >= 0; k--) triple(n, "about", topic(g))
			triple(n, "cites", pubs + below(240))
		}
		for (n = projects; n < topics; n++) {
			g = below(4)
			for (k = below(4); k >= 0; k--) triple(n, "member", person(g))
			triple(n, "funds", topic(g))
			triple(person(g), "leads", n)
		}
		for (n = people; n < pubs; n++) triple(n, "knows", below(120))
		print "predicate,direction" >"relation.csv"
		n = split("author about cites member funds leads knows", rel, " ")
		for (i = 1; i <= n; i++) {
			print rel[i] ",out" >"relation.csv"
			print rel[i] ",in" >"relation.csv"
		}
	}'

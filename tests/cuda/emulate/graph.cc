/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of a graph: whether it holds everything together, and the orders that it allows.
 */
#include "graph.h"

bool leads_to_all(const rn_emulated_place &end)
{
	const std::vector<node> &nodes = end.of->nodes;
	std::vector<bool> seen(nodes.size());

	for (size_t k : end.behind)
		seen[k] = true;
	for (size_t k = nodes.size(); k-- > 0;) { /* who stands behind another was recorded later */
		if (!seen[k])
			return false;
		for (size_t before : nodes[k].behind)
			seen[before] = true;
	}
	return true;
}

void run_in_some_order(const std::vector<node> &nodes, unsigned turn, const std::function<bool()> &alive)
{
	std::vector<bool> done(nodes.size());
	uint32_t state = turn * 2654435761u + 1;

	for (size_t left = nodes.size(); left && alive(); left--) {
		std::vector<size_t> ready;

		for (size_t k = 0; k < nodes.size() && (turn || ready.empty()); k++) {
			bool may = !done[k];

			for (size_t before : nodes[k].behind)
				may = may && done[before];
			if (may)
				ready.push_back(k);
		}
		state = state * 1664525u + 1013904223u;
		size_t next = turn == 1 ? ready.back() : ready[turn ? (state >> 16) % ready.size() : 0];
		done[next] = true;
		nodes[next].what();
	}
}

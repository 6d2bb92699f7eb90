/* SPDX-License-Identifier: Apache-2.0
 *
 * Graphs, and what becomes one: work, and behind which other it stands.
 */
#ifndef RN_EMULATE_GRAPH_H
#define RN_EMULATE_GRAPH_H

#include "emulate.h"

typedef std::function<void()> work;

/* It may be done when those before it are. */
struct node {
	work what;
	std::vector<size_t> behind;
};
/* What is recorded of one stream, and of those that waited for an event of it. */
struct rn_emulated_recording {
	std::vector<node> nodes;
	cudaStream_t begun; /* there; NULL: it is over */
	bool spoilt = false;
};
struct rn_emulated_graph {
	std::vector<node> nodes;
};
struct rn_emulated_graph_exec {
	std::shared_ptr<std::vector<node>> nodes;
	std::shared_ptr<unsigned> launches;
};

/* Does all that was recorded stand before this place? */
bool leads_to_all(const rn_emulated_place &end);
/* While `alive`.  Turn 0: as it was recorded; 1: the other way round as far as the graph allows; then at
 * random. */
void run_in_some_order(const std::vector<node> &nodes, unsigned turn, const std::function<bool()> &alive);

#endif

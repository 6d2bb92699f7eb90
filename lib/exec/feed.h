/* SPDX-License-Identifier: Apache-2.0
 *
 * The inputs of a program while it runs, taken block by block.  A sole input is read as it
 * is taken.  Several are drained by a thread each into spools, so that no producer waits
 * for another; from rn_feed_set_pace on one that is being taken is read no further ahead
 * than that.
 */
#ifndef RN_FEED_H
#define RN_FEED_H

#include "pipe.h"
#include "spool.h"

struct rn_feeds;
struct rn_feed;

/* Open n inputs and wait for the headers of all.  budget: of their blocks in memory,
 * together (borrowed, as is all else). */
RN_MUST_CHECK int rn_feeds_open(const struct rn_ctx *c, const struct rn_operand *in, size_t n,
				struct rn_spill *file, struct rn_budget *budget,
				struct rn_feeds **out, struct rn_err *e);
/* Also stops what is not at its end.  NULL is fine. */
void rn_feeds_close(struct rn_feeds *f);
struct rn_feed *rn_feeds_get(struct rn_feeds *f, size_t i);

const json_t *rn_feed_header(const struct rn_feed *f); /* borrowed */
bool rn_feed_deferred(const struct rn_feed *f);

/* The next relation's schema (borrowed until the feeds are closed), NULL: that was the
 * last, and the end is checked.  An evaluated input has one. */
RN_MUST_CHECK int rn_feed_section(struct rn_feed *f, const struct rn_schema **out,
				  struct rn_err *e);
/* The next block of that relation, *out owned, NULL at its end (all of it must be taken). */
RN_MUST_CHECK int rn_feed_next(struct rn_feed *f, struct rn_rel **out, struct rn_err *e);
void rn_feed_set_pace(struct rn_feed *f);

/* Of several inputs, after rn_feed_section: wait until all of an evaluated one is spooled;
 * *out borrowed. */
RN_MUST_CHECK int rn_feed_spool(struct rn_feed *f, struct rn_spool **out, struct rn_err *e);

#endif

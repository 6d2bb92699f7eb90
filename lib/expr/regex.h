/* SPDX-License-Identifier: Apache-2.0
 *
 * Regular expressions over UTF-8, in time that grows with pattern times text and
 * memory that the pattern alone bounds: all ways to match are followed at once.
 * The leftmost match counts, and of these the one that the pattern prefers.
 *
 *   c .  \.  [a-z_]  [^0-9]  [[:alpha:]]     one character; . is any but a newline
 *   \d \w \s \D \W \S                        classes of ASCII
 *   ab  a|b  (a)  (?:a)                      one after the other, either, group
 *   a* a+ a? a{2} a{2,} a{2,5}               repeats; with ? behind, as few as will do
 *   ^ $ \b \B                                start and end of the text, edge of a word
 *   (?i)…                                    at the very start: letters of any case (ASCII)
 *
 * A byte that is no part of valid UTF-8 is a character of its own.
 */
#ifndef RN_REGEX_H
#define RN_REGEX_H

#include "../base/mem.h"

#include <stdbool.h>
#include <stddef.h>

enum { RN_REGEX_GROUPS = 10 }; /* group 0 is the whole match */

struct rn_regex;
struct rn_regex_run;

/* Of the arena.  NULL: *why says what is wrong with the pattern ("no closing ')'"), or
 * is NULL: no memory. */
struct rn_regex *rn_regex_new(struct rn_arena *a, const char *s, size_t n, const char **why,
			      struct rn_err *e);

/* What a search needs beside the pattern; for one thread. */
RN_MUST_CHECK int rn_regex_open(const struct rn_regex *x, struct rn_regex_run **out,
				struct rn_err *e);
void rn_regex_close(struct rn_regex_run *r); /* NULL is fine */

/* A match in s[from … n): where each group starts and ends, SIZE_MAX where it takes no
 * part.  groups: 2 * RN_REGEX_GROUPS places, or NULL if only the answer matters. */
bool rn_regex_find(struct rn_regex_run *r, const char *s, size_t n, size_t from, size_t *groups);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Content expressions: regexp_matches, regexp_extract and regexp_replace.
 */
#include "content_node.h"

#include "regex.h"

#include <string.h>

/* What takes the place of a match: \0 is all of it, \1 to \9 are its groups. */
static void add_replacement(const struct rn_cx_text *to, const struct rn_cx_text *s,
			    const size_t *groups, struct rn_str *b)
{
	for (size_t i = 0; i < to->n; i++) {
		char next = i + 1 < to->n ? to->s[i + 1] : '\0';

		if (to->s[i] != '\\' || (next != '\\' && (next < '0' || next > '9'))) {
			rn_str_addc(b, to->s[i]);
			continue;
		}
		i++;
		if (next == '\\') {
			rn_str_addc(b, next);
		} else {
			const size_t *g = &groups[2 * (next - '0')];

			if (g[1] != SIZE_MAX)
				rn_str_addn(b, s->s + g[0], g[1] - g[0]);
		}
	}
}

static size_t after_character(const struct rn_cx_text *s, size_t at)
{
	for (at++; at < s->n && ((unsigned char)s->s[at] & 0xC0) == 0x80; at++)
		;
	return at;
}

/* Every match; where one is empty the search goes on behind the next character. */
static void replace_all(struct rn_regex_run *run, const struct rn_cx_text *s,
			const struct rn_cx_text *to, size_t most, struct rn_str *b)
{
	size_t groups[2 * RN_REGEX_GROUPS], at = 0, copied = 0;

	while (at <= s->n && b->len <= most && rn_regex_find(run, s->s, s->n, at, groups)) {
		rn_str_addn(b, s->s + copied, groups[0] - copied);
		add_replacement(to, s, groups, b);
		copied = groups[1];
		at = groups[1] > groups[0] ? groups[1] : after_character(s, groups[1]);
	}
	rn_str_addn(b, s->s + copied, s->n - copied);
}

static int replace_rows(struct rn_cx_state *s, const struct rn_cx_node *x, struct rn_regex_run *run,
			const struct rn_cx_vec *kids, const uint8_t *active, struct rn_cx_vec *out,
			struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];

	rn_str_clear(&t->bytes);
	for (size_t i = 0; i < s->n; i++) {
		size_t before = t->bytes.len, most = before + RN_CX_MAX_STRING;

		if (rn_cx_counts(out->null, active, i))
			replace_all(run, &kids[0].s[i], &kids[2].s[i], most, &t->bytes);
		t->s[i].n = t->bytes.len - before;
		if (t->bytes.len > most)
			return rn_cx_row_fail(s, x, i, e, "'%s' makes a string of more than %d MiB",
					      rn_cx_table[x->op].symbol, RN_CX_MAX_STRING >> 20);
	}
	return rn_cx_finish_strings(t, s->n, out, e);
}

/* Group kids[2] (or 0) of the first match; NULL where there is none. */
static void extract_rows(struct rn_cx_state *s, const struct rn_cx_node *x,
			 struct rn_regex_run *run, const struct rn_cx_vec *kids,
			 const uint8_t *active, struct rn_cx_vec *out)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	const uint8_t *null = out->null;

	for (size_t i = 0; i < s->n; i++) {
		const struct rn_cx_text *text = &kids[0].s[i];
		int64_t group = x->nkids > 2 ? kids[2].i[i] : 0;
		size_t groups[2 * RN_REGEX_GROUPS];
		bool found = rn_cx_counts(null, active, i) && group >= 0 &&
			     group < RN_REGEX_GROUPS &&
			     rn_regex_find(run, text->s, text->n, 0, groups) &&
			     groups[2 * group + 1] != SIZE_MAX;

		t->null[i] = !found;
		t->s[i] = (struct rn_cx_text){ text->s, 0 };
		if (found) {
			t->s[i].s += groups[2 * group];
			t->s[i].n = groups[2 * group + 1] - groups[2 * group];
		}
	}
	out->s = t->s;
	out->null = t->null;
}

int rn_cx_regexp(struct rn_cx_state *s, const struct rn_cx_node *x, const struct rn_cx_vec *kids,
		 const uint8_t *active, struct rn_cx_vec *out, struct rn_err *e)
{
	struct rn_cx_scratch *t = &s->scratch[x->index];
	struct rn_regex_run *run;
	int rc = 0;

	RN_TRY(rn_regex_open(x->regex, &run, e));
	out->null = rn_cx_any_null(s, x, kids);
	if (x->op == RN_CX_REGEXP_REPLACE) {
		rc = replace_rows(s, x, run, kids, active, out, e);
	} else if (x->op == RN_CX_REGEXP_EXTRACT) {
		extract_rows(s, x, run, kids, active, out);
	} else {
		for (size_t i = 0; i < s->n; i++)
			t->b[i] = rn_cx_counts(out->null, active, i) &&
				  rn_regex_find(run, kids[0].s[i].s, kids[0].s[i].n, 0, NULL);
		out->b = t->b;
	}
	rn_regex_close(run);
	return rc;
}

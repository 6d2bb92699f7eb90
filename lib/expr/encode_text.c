/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as a hashed bag of terms: words (runs of letters and digits; A to Z in lower
 * case; every byte from 0x80 on is a letter; or whatever stands between blanks, as it is)
 * and pairs, triples, ... of neighbours, or the n-grams of characters of each word with a
 * space at either end.
 *
 *   bucket  XXH64(term) mod n, or CRC-32; its sign is the hash's highest bit where that is
 *           asked for
 *   weight  how often the bucket was hit, by sign; times ln((1 + rows) / (1 + df)) + 1
 *           with idf; then divided by the norm of the row
 */
#include "encode_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

void rn_enc_text_init(struct rn_enc_text *t, const struct rn_encoder *en, const double *idf)
{
	*t = (struct rn_enc_text){ .en = en, .idf = idf, .low = RN_STR_INIT, .term = RN_STR_INIT };
}

void rn_enc_text_fini(struct rn_enc_text *t)
{
	rn_str_fini(&t->low);
	rn_str_fini(&t->term);
	free(t->words.at);
	free(t->terms);
}

/* ---- terms -------------------------------------------------------------------------------- */

static bool is_letter(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80;
}

/* Bytes of the blank at s, 0: it is none.  Those of Unicode, and the four separators of ASCII. */
static size_t blank(const char *s, size_t n)
{
	unsigned c = (unsigned char)s[0], c1 = n > 1 ? (unsigned char)s[1] : 0;
	unsigned c2 = n > 2 ? (unsigned char)s[2] : 0;

	if (c < 0x80)
		return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F);
	if (c == 0xC2)
		return c1 == 0x85 || c1 == 0xA0 ? 2 : 0;
	if ((c == 0xE1 && c1 == 0x9A && c2 == 0x80) ||                      /* U+1680 */
	    (c == 0xE2 && c1 == 0x80 && (c2 <= 0x8A ? c2 >= 0x80 :          /* U+2000 to U+200A */
			c2 == 0xA8 || c2 == 0xA9 || c2 == 0xAF)) ||         /* U+2028, 2029, 202F */
	    (c == 0xE2 && c1 == 0x81 && c2 == 0x9F) ||                      /* U+205F */
	    (c == 0xE3 && c1 == 0x80 && c2 == 0x80))                        /* U+3000 */
		return 3;
	return 0;
}

/* Where the word that begins at byte `at` ends; `at` itself: none begins there. */
static size_t word_end(const struct rn_enc_text *t, size_t at, size_t n)
{
	const char *s = t->low.s;

	if (t->en->blanks)
		while (at < n && !blank(s + at, n - at))
			at++;
	else
		while (at < n && is_letter((unsigned char)s[at]))
			at++;
	return at;
}

static const char *word(const struct rn_enc_text *t, size_t i, size_t *n)
{
	*n = t->words.at[i] & UINT32_MAX;
	return t->low.s + (t->words.at[i] >> 32);
}

/* The words of s, in lower case unless they are taken as they are. */
static int split(struct rn_enc_text *t, const char *s, size_t n, struct rn_err *e)
{
	bool fold = !t->en->blanks;
	size_t gap;

	if (n >= UINT32_MAX)
		return rn_err_set(e, RN_EDATA, "a text of %zu bytes", n);
	rn_str_clear(&t->low);
	for (size_t i = 0; i < n; i++)
		rn_str_addc(&t->low, fold && s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] | 0x20) : s[i]);
	RN_TRY(rn_str_check(&t->low, e));
	t->words.n = 0;
	for (size_t i = 0, end; i < n; i = end + gap) {
		end = word_end(t, i, n);
		gap = t->en->blanks && end < n ? blank(t->low.s + end, n - end) : 1;
		if (end == i)
			continue;
		RN_TRY(rn_grow(&t->words.at, &t->words.cap, t->words.n + 1, sizeof *t->words.at,
			       "the words of a text", e));
		t->words.at[t->words.n++] = (uint64_t)i << 32 | (end - i);
	}
	return 0;
}

/* That of zlib and PNG, four bits at a time. */
static uint32_t crc32_of(const char *s, size_t n)
{
	static const uint32_t step[16] = {
		0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
		0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
		0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
	};
	uint32_t c = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		c ^= (unsigned char)s[i];
		c = c >> 4 ^ step[c & 15];
		c = c >> 4 ^ step[c & 15];
	}
	return ~c;
}

static int add_term(struct rn_enc_text *t, const char *s, size_t n, struct rn_err *e)
{
	uint64_t h = t->en->crc ? crc32_of(s, n) : XXH64(s, n, 0);

	RN_TRY(rn_grow(&t->terms, &t->cap_terms, t->nterms + 1, sizeof *t->terms,
		       "the terms of a text", e));
	t->terms[t->nterms++] = (h % t->en->n) << 1 | (t->en->sign && h >> (t->en->crc ? 31 : 63));
	return 0;
}

/* `count` words from number i on, with a space between. */
static int add_words(struct rn_enc_text *t, size_t i, size_t count, struct rn_err *e)
{
	const char *s;
	size_t n;

	s = word(t, i, &n);
	if (count == 1)
		return add_term(t, s, n, e);
	rn_str_clear(&t->term);
	for (size_t k = 0; k < count; k++) {
		s = word(t, i + k, &n);
		if (k)
			rn_str_addc(&t->term, ' ');
		rn_str_addn(&t->term, s, n);
	}
	RN_TRY(rn_str_check(&t->term, e));
	return add_term(t, t->term.s, t->term.len, e);
}

static size_t next_char(const char *s, size_t n, size_t i)
{
	do
		i++;
	while (i < n && ((unsigned char)s[i] & 0xC0) == 0x80);
	return i;
}

/* The n-grams of " word "; all of it where it is shorter. */
static int add_chars(struct rn_enc_text *t, size_t i, struct rn_err *e)
{
	const char *s;
	size_t n, to = 0;

	s = word(t, i, &n);
	rn_str_clear(&t->term);
	rn_str_addc(&t->term, ' ');
	rn_str_addn(&t->term, s, n);
	rn_str_addc(&t->term, ' ');
	RN_TRY(rn_str_check(&t->term, e));
	s = t->term.s;
	n = t->term.len;
	for (uint32_t k = 0; k < t->en->chars && to < n; k++)
		to = next_char(s, n, to);
	for (size_t from = 0;; from = next_char(s, n, from), to = next_char(s, n, to)) {
		RN_TRY(add_term(t, s + from, to - from, e));
		if (to == n)
			return 0;
	}
}

static int by_term(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The terms of the text, by bucket, those that count negative behind the others. */
static int terms(struct rn_enc_text *t, const char *s, size_t n, struct rn_err *e)
{
	size_t most = t->en->ngrams ? t->en->ngrams : 1;

	RN_TRY(split(t, s, n, e));
	t->nterms = 0;
	for (size_t i = 0; i < t->words.n; i++) {
		if (t->en->chars)
			RN_TRY(add_chars(t, i, e));
		else
			for (size_t k = 1; k <= most && i + k <= t->words.n; k++)
				RN_TRY(add_words(t, i, k, e));
	}
	if (!t->words.n && t->en->empty)
		RN_TRY(add_term(t, t->en->empty, strlen(t->en->empty), e));
	if (t->nterms > 1)
		qsort(t->terms, t->nterms, sizeof *t->terms, by_term);
	return 0;
}

int rn_enc_text_buckets(struct rn_enc_text *t, const char *s, size_t n, struct rn_err *e)
{
	size_t k = 0;

	RN_TRY(terms(t, s, n, e));
	for (size_t i = 0; i < t->nterms; i++)
		if (!k || t->terms[i] >> 1 != t->terms[k - 1])
			t->terms[k++] = t->terms[i] >> 1;
	t->nterms = k;
	return 0;
}

/* ---- weights ------------------------------------------------------------------------------ */

int rn_enc_text_cells(struct rn_enc_text *t, const char *s, size_t n, uint32_t from,
		      struct rn_enc_cells *out, struct rn_err *e)
{
	size_t first = out->n;
	double norm = 0;

	RN_TRY(terms(t, s, n, e));
	for (size_t i = 0; i < t->nterms;) {
		uint64_t bucket = t->terms[i] >> 1;
		double w = 0;

		for (; i < t->nterms && t->terms[i] >> 1 == bucket; i++)
			w += t->terms[i] & 1 ? -1 : 1;
		if (t->idf)
			w *= t->idf[bucket];
		norm += t->en->norm == RN_NORM_L2 ? w * w : fabs(w);
		RN_TRY(rn_enc_put(out, from + (uint32_t)bucket, w, e));
	}
	if (t->en->norm == RN_NORM_NONE || !(norm > 0))
		return 0;
	if (t->en->norm == RN_NORM_L2)
		norm = sqrt(norm);
	for (size_t i = first; i < out->n; i++)
		out->val[i] = (float)((double)out->val[i] / norm);
	return 0;
}

int rn_enc_idf(const struct rn_encoder *en, const struct rn_rel *table, double **out,
	       struct rn_err *e)
{
	const struct rn_column *bucket, *rows;
	double all = 0;

	*out = NULL;
	if (!table)
		return 0;
	bucket = table->cols[0];
	rows = table->cols[1];
	RN_TRY(rn_calloc(en->n, sizeof **out, "weights of terms", out, e));
	for (uint64_t i = 0; i < table->rows; i++)
		if (rn_column_is_null(bucket, i))
			all = (double)rows->i64[i];
		else
			(*out)[bucket->i64[i]] = (double)rows->i64[i];
	for (uint32_t i = 0; i < en->n; i++)
		(*out)[i] = log((1 + all) / (1 + (*out)[i])) + 1;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * A line of JSON to fields.  A line is an object; its keys are columns, numbered
 * in the order in which they first appear.  Strings stay as they are written, with
 * their escapes; arrays and objects within stay text.
 */
#ifndef RN_JSON_SCAN_H
#define RN_JSON_SCAN_H

#include "../lib/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A field of a row of text. */
struct rn_csv_field {
	const char *p; /* 64 bytes after it are readable */
	uint32_t len;
	bool quoted;  /* JSON: it is a string, an array or an object */
	bool escaped; /* quoted, with "" inside that mean "; JSON: with \ escapes */
};

enum { RN_JSON_LEAD = 32 };

/* The keys met so far, with a table to find them. */
struct rn_json_keys {
	struct rn_json_key {
		char *name;
		size_t len;
		/* What stood between the value before it, or the line's begin, and its own
		 * where it was met first: as a rule every line repeats it. */
		unsigned char nlead; /* 0: not known */
		char lead[RN_JSON_LEAD];
	} *key;
	size_t n, cap;
	uint32_t *slot; /* number + 1; 0: free */
	size_t nslots;
};
RN_MUST_CHECK int rn_json_keys_add(struct rn_json_keys *k, const char *name, size_t len,
				   size_t *out, struct rn_err *e);
void rn_json_keys_fini(struct rn_json_keys *k);

/* The object that is the text from p to end (space around it, 64 readable bytes after
 * it): a field per key in *f (grown), len 0 and unquoted where it is null or missing.
 * *fault (and *at, where) says what is wrong with the text; the result is then 0 as
 * well.  add: new keys are added; else k is only read, and such a key is a fault,
 * rn_json_new_key, and *at the key's text. */
RN_MUST_CHECK int rn_json_scan_object(struct rn_json_keys *k, bool add, const char *p,
				      const char *end, struct rn_csv_field **f, size_t *cap,
				      const char **fault, const char **at, struct rn_err *e);
extern const char rn_json_new_key[];

/* A string's text without its escapes, at `to`, which has as many bytes; returns the
 * length.  Only for what was scanned without fault. */
size_t rn_json_unescape(const char *p, size_t n, char *to);

#endif

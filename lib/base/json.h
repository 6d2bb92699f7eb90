/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON, a thin layer over jansson: every failed allocation is an error, text
 * from outside is loaded strictly, and what is printed is deterministic (keys
 * in order of insertion, numbers as the shortest text that reads back).
 *
 * "Takes v" means that the reference is consumed, also on failure.
 */
#ifndef RN_JSON_H
#define RN_JSON_H

#include "err.h"
#include "str.h"
#include "utf8.h"

#include <jansson.h>

/* Parse the whole of `text`, which must be an object or an array: no duplicate keys, no
 * NUL, nothing after the value.  Errors are "FILE:LINE:COLUMN: …" with code `code`. */
RN_MUST_CHECK int rn_json_load(const char *text, size_t len, const char *file, int code,
			       json_t **out, struct rn_err *e);

/* New values; RN_ENOMEM, and RN_EUSAGE for a string that is not valid UTF-8. */
RN_MUST_CHECK int rn_json_object(json_t **out, struct rn_err *e);
RN_MUST_CHECK int rn_json_array(json_t **out, struct rn_err *e);
RN_MUST_CHECK int rn_json_string(const char *s, size_t n, json_t **out, struct rn_err *e);
RN_MUST_CHECK int rn_json_copy(const json_t *v, json_t **out, struct rn_err *e); /* deep */

/* Put v into an object or at the end of an array; takes v.  v NULL is RN_ENOMEM, so
 * that jansson's constructors can stand in the call. */
RN_MUST_CHECK int rn_json_set(json_t *object, const char *key, json_t *v, struct rn_err *e);
RN_MUST_CHECK int rn_json_set_text(json_t *object, const char *key, const char *s,
				   struct rn_err *e);
RN_MUST_CHECK int rn_json_append(json_t *array, json_t *v, struct rn_err *e);

/* Equal, keys in the same order, 1 and 1.0 different. */
bool rn_json_equal(const json_t *a, const json_t *b);

/* At the end of `out`: `levels` levels of the value on lines of their own, what is
 * deeper on one line.  RN_JSON_COMPACT: all on one line, without spaces. */
#define RN_JSON_COMPACT (-1)
void rn_json_print(const json_t *v, int levels, struct rn_str *out);

/* "/" and the key as a part of a JSON pointer (~ and / escaped), at the end of out. */
void rn_json_pointer_add(struct rn_str *out, const char *key);

/* A value as messages show it: `"12x"`, `5`, `an object`; cut to `size`.  Returns buf. */
const char *rn_json_brief(const json_t *v, char *buf, size_t size);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers and timestamps as text.  Strict, exact and without regard to the
 * locale: a parse takes the whole text (no spaces, no leading '+') and rounds
 * correctly, a float prints as the shortest decimal that reads back to the
 * same bits.
 */
#ifndef RN_NUM_H
#define RN_NUM_H

#include "str.h"

#include <stdbool.h>
#include <stdint.h>

/* Decimal digits; false if it is no integer or does not fit. */
bool rn_int64_parse(const char *s, size_t n, int64_t *out);

/* 12, -1.5, .5, 5., 1e-3, inf, infinity, nan (any case).  Beyond the range of a double:
 * ±inf or 0, as strtod. */
bool rn_float64_parse(const char *s, size_t n, double *out);

/* The same where the 24 bytes from s on may be read, whatever n is: faster. */
bool rn_int64_parse_padded(const char *s, size_t n, int64_t *out);
bool rn_float64_parse_padded(const char *s, size_t n, double *out);

/* ISO 8601 into microseconds since 1970-01-01 UTC: a date (YYYY-MM-DD, or
 * ±YYYYYY-MM-DD), then optionally 'T' or a space, HH:MM, seconds, a fraction (1 to 9
 * digits, cut after the sixth) and a zone (Z, ±hh, ±hhmm, ±hh:mm; none: UTC). */
bool rn_timestamp_parse(const char *s, size_t n, int64_t *us);

/* Longest output of the functions below. */
#define RN_NUM_MAX 40

/* Write into buf, which has RN_NUM_MAX bytes; return the length.  No terminator. */
size_t rn_int64_format(int64_t v, char *buf);
size_t rn_float64_format(double v, char *buf); /* 0.1, 12, 1e-7, inf, nan */
size_t rn_float32_format(float v, char *buf);
size_t rn_timestamp_format(int64_t us, char *buf); /* 2026-01-31T12:00:00.25Z */

/* The same at the end of `out`. */
void rn_int64_print(int64_t v, struct rn_str *out);
void rn_float64_print(double v, struct rn_str *out);
void rn_float32_print(float v, struct rn_str *out);
void rn_timestamp_print(int64_t us, struct rn_str *out);

#endif

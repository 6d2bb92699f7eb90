/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters and optimizer slots in device memory.
 */
#include "machine.h"

#include <stdlib.h>

enum { PIECE = 4096 }; /* numbers that are converted at a time */

int rn_store_new(struct rn_backend *b, enum rn_dtype t, struct rn_store **out, struct rn_err *e)
{
	RN_TRY(rn_calloc(1, sizeof **out, "a store of parameters", out, e));
	(*out)->backend = b;
	(*out)->type = t;
	return 0;
}

void rn_store_free(struct rn_store *s)
{
	if (!s)
		return;
	for (uint32_t i = 0; i < s->n; i++)
		s->backend->free(s->backend, s->items[i].data);
	rn_room_unref(s->room);
	free(s->items);
	free(s);
}

int rn_room_take(struct rn_store *s, struct rn_backend *b, size_t size, struct rn_room **out,
		 uint64_t *bytes, struct rn_err *e)
{
	struct rn_room *w;
	int rc;

	if (s && s->room && s->room->size >= size) {
		*out = s->room;
		s->room->refs++;
		return 0;
	}
	RN_TRY(rn_calloc(1, sizeof *w, "a machine", &w, e));
	*w = (struct rn_room){ .refs = 1, .backend = b, .size = size };
	rc = b->alloc(b, size, &w->mem, e);
	if (rc) {
		free(w);
		return rc;
	}
	*bytes += size;
	if (s) {
		rn_room_unref(s->room);
		s->room = w;
		w->refs++;
	}
	*out = w;
	return 0;
}

void rn_room_unref(struct rn_room *w)
{
	if (!w || --w->refs)
		return;
	w->backend->free(w->backend, w->mem);
	free(w);
}

static size_t size_of(enum rn_dtype t)
{
	return t == RN_F64 ? sizeof(double) : sizeof(float);
}

int rn_store_add(struct rn_store *s, size_t count, uint32_t *number, struct rn_err *e)
{
	struct rn_store_item *items, item = { .count = count };
	size_t bytes;

	if (!rn_mul_size(count, size_of(s->type), &bytes))
		return rn_err_nomem(e, SIZE_MAX, "a parameter");
	RN_TRY(s->backend->alloc(s->backend, bytes, &item.data, e));
	items = realloc(s->items, ((size_t)s->n + 1) * sizeof *items);
	if (!items) {
		s->backend->free(s->backend, item.data);
		return rn_err_nomem(e, sizeof *items, "a parameter");
	}
	s->items = items;
	*number = s->n;
	s->items[s->n++] = item;
	/* Device memory need not come zeroed. */
	for (size_t i = 0; i < count; i += PIECE) {
		double zero[PIECE] = { 0 };
		size_t n = count - i < PIECE ? count - i : PIECE;

		RN_TRY(s->backend->copy_in(s->backend, (char *)item.data + i * size_of(s->type),
					   zero, n * size_of(s->type), e));
	}
	return 0;
}

/* Exactly one of x64 and x32 is given; to: into the store. */
static int transfer(struct rn_store *s, uint32_t number, double *x64, float *x32, bool to,
		    struct rn_err *e)
{
	struct rn_backend *b = s->backend;
	struct rn_store_item *it;
	bool wide = s->type == RN_F64;
	union {
		float f[PIECE];
		double d[PIECE];
	} tmp;

	if (number >= s->n)
		return rn_err_set(e, RN_EBUG, "no parameter %u in a store of %u", number, s->n);
	it = &s->items[number];
	if (wide == (x64 != NULL)) { /* the same type: no conversion */
		void *host = x64 ? (void *)x64 : (void *)x32;

		return to ? b->copy_in(b, it->data, host, it->count * size_of(s->type), e)
			  : b->copy_out(b, host, it->data, it->count * size_of(s->type), e);
	}
	for (size_t i = 0; i < it->count; i += PIECE) {
		size_t n = it->count - i < PIECE ? it->count - i : PIECE;
		char *at = (char *)it->data + i * size_of(s->type);

		if (!to)
			RN_TRY(b->copy_out(b, &tmp, at, n * size_of(s->type), e));
		for (size_t k = 0; k < n; k++) {
			if (to && wide)
				tmp.d[k] = x32[i + k];
			else if (to)
				tmp.f[k] = (float)x64[i + k];
			else if (wide)
				x32[i + k] = (float)tmp.d[k];
			else
				x64[i + k] = tmp.f[k];
		}
		if (to)
			RN_TRY(b->copy_in(b, at, &tmp, n * size_of(s->type), e));
	}
	return 0;
}

int rn_store_set(struct rn_store *s, uint32_t number, const double *x, struct rn_err *e)
{
	return transfer(s, number, (double *)(uintptr_t)x, NULL, true, e);
}

int rn_store_get(struct rn_store *s, uint32_t number, double *x, struct rn_err *e)
{
	return transfer(s, number, x, NULL, false, e);
}

int rn_store_set_f32(struct rn_store *s, uint32_t number, const float *x, struct rn_err *e)
{
	return transfer(s, number, NULL, (float *)(uintptr_t)x, true, e);
}

int rn_store_get_f32(struct rn_store *s, uint32_t number, float *x, struct rn_err *e)
{
	return transfer(s, number, NULL, x, false, e);
}

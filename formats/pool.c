/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <pthread.h>
#include <stdlib.h>

enum {
	MIN_POOLED = 64 << 10, /* smaller buffers are malloc's business */
	STEP = 64 << 10,       /* of their sizes, so that strings of other lengths fit too */
	MAX_FREE = 64,         /* buffers that nobody uses */
};

struct rn_pool {
	pthread_mutex_t lock;
	size_t refs; /* the owner and each buffer in use */
	size_t nfree, bytes, max_bytes;
	struct {
		void *data;
		size_t room;
	} free[MAX_FREE]; /* the oldest first */
};

int rn_pool_new(size_t bytes, struct rn_pool **out, struct rn_err *e)
{
	struct rn_pool *p;

	RN_TRY(rn_calloc(1, sizeof *p, "a pool of buffers", &p, e));
	pthread_mutex_init(&p->lock, NULL);
	p->refs = 1;
	p->max_bytes = bytes;
	*out = p;
	return 0;
}

static size_t room_of(size_t size)
{
	return (size + STEP - 1) / STEP * STEP;
}

/* Entry i is no longer one. */
static void *take(struct rn_pool *p, size_t i)
{
	void *data = p->free[i].data;

	p->bytes -= p->free[i].room;
	p->nfree--;
	for (; i < p->nfree; i++)
		p->free[i] = p->free[i + 1];
	return data;
}

/* With the lock held, which is released: one reference less. */
static void drop_ref(struct rn_pool *p)
{
	bool last = !--p->refs;

	pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

void rn_pool_unref(struct rn_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->max_bytes = 0; /* what comes back from now on is not kept */
	while (p->nfree)
		free(take(p, p->nfree - 1));
	drop_ref(p);
}

/* The release of a pooled buffer. */
static void give_back(struct rn_buf *b)
{
	struct rn_pool *p = b->owner;
	size_t room = room_of(b->size);
	void *data = b->data;

	pthread_mutex_lock(&p->lock);
	if (room <= p->max_bytes) {
		while (p->nfree == MAX_FREE || p->bytes + room > p->max_bytes)
			free(take(p, 0));
		p->free[p->nfree].data = data;
		p->free[p->nfree++].room = room;
		p->bytes += room;
		data = NULL;
	}
	drop_ref(p);
	free(data);
}

static struct rn_buf *reuse(struct rn_pool *p, size_t room)
{
	struct rn_buf *b = calloc(1, sizeof *b);

	if (!b)
		return NULL;
	pthread_mutex_lock(&p->lock);
	for (size_t i = p->nfree; !b->data && i--;)
		if (p->free[i].room == room)
			b->data = take(p, i);
	pthread_mutex_unlock(&p->lock);
	if (b->data)
		return b;
	free(b);
	return NULL;
}

int rn_pool_buf(struct rn_pool *p, size_t size, const char *what, struct rn_buf **out,
		struct rn_err *e)
{
	struct rn_buf *b;

	if (!p || size < MIN_POOLED || size > SIZE_MAX - STEP)
		return rn_buf_new_raw(size, what, out, e);
	b = reuse(p, room_of(size));
	if (!b)
		RN_TRY(rn_buf_new_raw(room_of(size), what, &b, e));
	b->size = size;
	b->refs = 1;
	b->release = give_back;
	b->owner = p;
	pthread_mutex_lock(&p->lock);
	p->refs++;
	pthread_mutex_unlock(&p->lock);
	*out = b;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * Machines.  Making one checks the program, places every value, and fills in the
 * arguments of every instruction; running is a loop over calls of the backend.
 *
 * A view lies where its operand lies; the operand then lives as long as its
 * last view.  An elementwise result lies where an operand of its shape lies that nothing reads
 * later.  Constants and index arrays stay where they are when the backend
 * works on host memory (constants in double are converted copies).
 *
 * A place that is used again is an order: what is put there waits for all that read what was.  So
 * results and scratch each have places of their own where that is little of a device's memory.
 */
#include "machine.h"
#include "prog_check.h"
#include "slab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 4096 /* numbers that are converted at a time */ };
enum { LITTLE = 1024 /* of memory: one part of so many */ };

struct rn_machine {
	const struct rn_prog *prog;
	struct rn_backend *backend;
	enum rn_dtype type;
	struct rn_store *params, *states;
	void **ptr;           /* [nvals] device memory of each value */
	const uint32_t **idx; /* [nidx] */
	struct rn_kargs *args; /* [ninsts] */
	double (*f)[8];       /* [ninsts] optimizer scalars */
	struct rn_list *list; /* the program made ready; NULL: the backend has no such thing */
	void **own;           /* device memory to free: [nvals] for values, then [nidx] */
	struct rn_room *room; /* where results lie */
	void *scratch;
	uint64_t bytes;
};

static size_t item_size(const struct rn_machine *m, const struct rn_val *v)
{
	return v->index ? sizeof(uint32_t) : m->type == RN_F64 ? sizeof(double) : sizeof(float);
}

static size_t count_of(const struct rn_val *v)
{
	return (size_t)v->rows * v->width;
}

static size_t bytes_of(const struct rn_machine *m, const struct rn_val *v)
{
	return count_of(v) * item_size(m, v);
}

/* The value whose memory v shares through views that were not given memory. */
static uint32_t root_of(const struct rn_prog *p, void *const *mem, uint32_t v)
{
	while (p->vals[v].kind == RN_V_INST && p->insts[p->vals[v].inst].op == RN_P_VIEW &&
	       !(mem && mem[v]))
		v = p->insts[p->vals[v].inst].in[0].val;
	return v;
}

/* Is it little of the memory of a device, which runs side by side what may? */
static bool is_little(const struct rn_machine *m, uint64_t bytes)
{
	struct rn_backend *b = m->backend;
	uint64_t left, total;

	return b && b->list_new && b->memory && !b->memory(b, &left, &total, NULL) &&
	       bytes <= left / LITTLE;
}

/* ---- constants ------------------------------------------------------------------- */

/* n floats (or doubles) from the host into device memory of the machine's type. */
static int copy_in(struct rn_machine *m, void *dst, const float *x32, const double *x64, size_t n,
		   struct rn_err *e)
{
	struct rn_backend *b = m->backend;
	bool wide = m->type == RN_F64;
	union {
		float f[PIECE];
		double d[PIECE];
	} tmp;

	if (wide == (x64 != NULL))
		return b->copy_in(b, dst, x64 ? (const void *)x64 : (const void *)x32,
				  n * (wide ? sizeof(double) : sizeof(float)), e);
	for (size_t i = 0; i < n; i += PIECE) {
		size_t len = n - i < PIECE ? n - i : PIECE;

		for (size_t k = 0; k < len; k++)
			if (wide)
				tmp.d[k] = x32[i + k];
			else
				tmp.f[k] = (float)x64[i + k];
		RN_TRY(b->copy_in(b, (char *)dst + i * (wide ? sizeof(double) : sizeof(float)),
				  &tmp, len * (wide ? sizeof(double) : sizeof(float)), e));
	}
	return 0;
}

static int own_memory(struct rn_machine *m, size_t slot, size_t bytes, struct rn_err *e)
{
	RN_TRY(m->backend->alloc(m->backend, bytes, &m->own[slot], e));
	m->bytes += bytes;
	return 0;
}

static int place_const(struct rn_machine *m, uint32_t i, struct rn_err *e)
{
	const struct rn_val *v = &m->prog->vals[i];

	if (!v->data || v->data->size < count_of(v) * sizeof(float))
		return rn_err_set(e, RN_EBUG, "constant %u has no data", i);
	if (m->backend->host && (m->type == RN_F32 || v->index)) {
		m->ptr[i] = v->data->data;
		m->bytes += v->data->size;
		return 0;
	}
	RN_TRY(own_memory(m, i, bytes_of(m, v), e));
	m->ptr[i] = m->own[i];
	if (v->index)
		return m->backend->copy_in(m->backend, m->ptr[i], v->data->data, bytes_of(m, v), e);
	return copy_in(m, m->ptr[i], v->data->data, NULL, count_of(v), e);
}

static int place_stored(struct rn_machine *m, uint32_t i, struct rn_err *e)
{
	const struct rn_val *v = &m->prog->vals[i];
	const struct rn_store *s = v->kind == RN_V_PARAM ? m->params : m->states;

	if (!s || v->param >= s->n || s->items[v->param].count != v->width)
		return rn_err_set(e, RN_EBUG, "no %s %u of %u numbers in the store",
				  v->kind == RN_V_PARAM ? "parameter" : "optimizer slot", v->param,
				  v->width);
	if (s->type != m->type || s->backend != m->backend)
		return rn_err_set(e, RN_EBUG, "a store of another type or backend");
	m->ptr[i] = s->items[v->param].data;
	return 0;
}

static int place_idx(struct rn_machine *m, uint32_t i, struct rn_err *e)
{
	const struct rn_prog *p = m->prog;
	size_t bytes = p->idx[i].n * sizeof(uint32_t);

	if (m->backend->host) {
		m->idx[i] = p->idx[i].data->data;
		m->bytes += bytes;
		return 0;
	}
	RN_TRY(own_memory(m, (size_t)p->nvals + i, bytes, e));
	m->idx[i] = m->own[p->nvals + i];
	return m->backend->copy_in(m->backend, m->own[p->nvals + i], p->idx[i].data->data, bytes, e);
}

/* Values that no instruction makes, index arrays, and values with given memory. */
static int place_fixed(struct rn_machine *m, void *const *mem, const uint32_t *const *idx,
		       struct rn_err *e)
{
	const struct rn_prog *p = m->prog;

	for (uint32_t i = 0; i < p->nvals; i++) {
		if (mem && mem[i])
			m->ptr[i] = mem[i];
		else if (p->vals[i].kind == RN_V_CONST)
			RN_TRY(place_const(m, i, e));
		else if (p->vals[i].kind != RN_V_INST)
			RN_TRY(place_stored(m, i, e));
	}
	for (uint32_t i = 0; i < p->nidx; i++) {
		if (idx && idx[i])
			m->idx[i] = idx[i];
		else
			RN_TRY(place_idx(m, i, e));
	}
	return 0;
}

/* ---- results ------------------------------------------------------------------------ */

/* From when to when each result is needed: items[v], for results that lie in the slab. */
static void find_lives(const struct rn_machine *m, void *const *mem, struct rn_slab_item *items)
{
	const struct rn_prog *p = m->prog;

	for (uint32_t k = 0; k < p->ninsts; k++) {
		const struct rn_inst *i = &p->insts[k];
		uint32_t out = root_of(p, mem, i->out);

		if (i->out == out && p->vals[out].kind == RN_V_INST)
			items[out] = (struct rn_slab_item){ bytes_of(m, &p->vals[out]), k, k, 0 };
		if (p->vals[i->out].keep)
			items[out].to = UINT32_MAX;
		for (uint32_t n = 0; n < i->nin; n++) {
			uint32_t in;

			if (i->in[n].val == RN_NONE)
				continue;
			in = root_of(p, mem, i->in[n].val);
			items[in].to = items[in].to < k ? k : items[in].to;
		}
	}
}

/* A place for each result, for ever; false: there are too many for that. */
static bool lie_apart(const struct rn_machine *m, struct rn_slab_item *items)
{
	uint64_t sum = 0;

	for (uint32_t v = 0; v < m->prog->nvals; v++)
		sum += m->ptr[v] ? 0 : items[v].size + RN_ALIGN;
	if (!is_little(m, sum))
		return false;
	for (uint32_t v = 0; v < m->prog->nvals; v++) {
		items[v].from = 0;
		items[v].to = UINT32_MAX;
	}
	return true;
}

/* Where v lies: its root, or what that replaces. */
static uint32_t place_of(const struct rn_prog *p, void *const *mem, const uint32_t *over,
			 uint32_t v)
{
	v = root_of(p, mem, v);
	while (over[v] != RN_NONE)
		v = over[v];
	return v;
}

/* May instruction k write its result over operand n?  That is read number by number, once. */
static bool is_overwritten(const struct rn_machine *m, const struct rn_inst *i, uint32_t n)
{
	const struct rn_val *o = &m->prog->vals[i->out], *v;

	if (i->in[n].val == RN_NONE || i->in[n].fmap != RN_NONE || i->in[n].rmap != RN_NONE)
		return false;
	v = &m->prog->vals[i->in[n].val];
	return v->rows == o->rows && v->width == o->width && v->kind == RN_V_INST && !v->index;
}

/* over[v]: the value whose place v takes, or RN_NONE. */
static void find_overwritten(const struct rn_machine *m, void *const *mem,
			     struct rn_slab_item *items, uint32_t *over)
{
	const struct rn_prog *p = m->prog;

	for (uint32_t k = 0; k < p->ninsts; k++) {
		const struct rn_inst *i = &p->insts[k];
		uint32_t found = RN_NONE;

		if ((i->op != RN_P_EW && i->op != RN_P_ELEM) || p->vals[i->out].kind != RN_V_INST ||
		    m->ptr[i->out])
			continue;
		for (uint32_t n = 0; n < i->nin && found == RN_NONE; n++) {
			uint32_t at;

			if (!is_overwritten(m, i, n))
				continue;
			at = place_of(p, mem, over, i->in[n].val);
			if (p->vals[at].kind == RN_V_INST && !m->ptr[at] && items[at].to == k)
				found = at;
			for (uint32_t o = 0; o < i->nin && found != RN_NONE; o++)
				if (i->in[o].val != RN_NONE && !is_overwritten(m, i, o) &&
				    place_of(p, mem, over, i->in[o].val) == found)
					found = RN_NONE;
		}
		if (found == RN_NONE)
			continue;
		over[i->out] = found;
		items[found].to = items[i->out].to;
	}
}

/* Where results will lie in a slab. */
struct layout {
	struct rn_slab_item *items; /* [n] */
	uint32_t *slot;             /* [n] the value of each */
	uint32_t *over;             /* [nvals] as of find_overwritten */
	size_t n, total;
};

static void layout_fini(struct layout *l)
{
	free(l->items);
	free(l->slot);
	free(l->over);
}

/* Of results that have no place yet.  l is to be ended also where this fails. */
static int lay_out(const struct rn_machine *m, void *const *mem, struct layout *l, struct rn_err *e)
{
	const struct rn_prog *p = m->prog;

	*l = (struct layout){ 0 };
	RN_TRY(rn_calloc(p->nvals, sizeof *l->items, "the lives of values", &l->items, e));
	RN_TRY(rn_calloc(p->nvals, sizeof *l->slot, "the lives of values", &l->slot, e));
	RN_TRY(rn_calloc(p->nvals, sizeof *l->over, "the lives of values", &l->over, e));
	memset(l->over, 0xFF, p->nvals * sizeof *l->over);
	find_lives(m, mem, l->items);
	if (!lie_apart(m, l->items))
		find_overwritten(m, mem, l->items, l->over);
	for (uint32_t v = 0; v < p->nvals; v++) /* keep those of the slab, in order */
		if (p->vals[v].kind == RN_V_INST && !m->ptr[v] &&
		    place_of(p, mem, l->over, v) == v) {
			l->slot[l->n] = v;
			l->items[l->n++] = l->items[v];
		}
	return rn_slab_plan(l->items, l->n, &l->total, e);
}

static int place_results(struct rn_machine *m, void *const *mem, struct rn_err *e)
{
	const struct rn_prog *p = m->prog;
	struct layout l;
	int rc;

	RN_GOTO(out, lay_out(m, mem, &l, e));
	RN_GOTO(out, rn_room_take(m->params, m->backend, l.total, &m->room, &m->bytes, e));
	for (size_t i = 0; i < l.n; i++)
		m->ptr[l.slot[i]] = (char *)m->room->mem + l.items[i].offset;
	for (uint32_t v = 0; v < p->nvals; v++)
		if (!m->ptr[v])
			m->ptr[v] = m->ptr[place_of(p, mem, l.over, v)];
out:
	layout_fini(&l);
	return rc;
}

int rn_machine_slab(const struct rn_prog *p, enum rn_dtype t, const bool *elsewhere,
		    uint64_t *bytes, struct rn_err *e)
{
	static char taken; /* stands for any memory */
	struct rn_machine m = { .prog = p, .type = t };
	void **mem = NULL;
	struct layout l = { 0 };
	int rc;

	*bytes = 0;
	RN_GOTO(out, rn_calloc(p->nvals, sizeof *m.ptr, "the size of results", &m.ptr, e));
	RN_GOTO(out, rn_calloc(p->nvals, sizeof *mem, "the size of results", &mem, e));
	for (uint32_t v = 0; v < p->nvals; v++) {
		mem[v] = elsewhere && elsewhere[v] ? &taken : NULL;
		m.ptr[v] = p->vals[v].kind != RN_V_INST ? &taken : mem[v];
	}
	rc = lay_out(&m, mem, &l, e);
	*bytes = l.total;
out:
	layout_fini(&l);
	free(mem);
	free(m.ptr);
	return rc;
}

/* ---- arguments ------------------------------------------------------------------------- */

static void fill_args(struct rn_machine *m)
{
	const struct rn_prog *p = m->prog;

	for (uint32_t k = 0; k < p->ninsts; k++) {
		const struct rn_inst *i = &p->insts[k];
		struct rn_kargs *a = &m->args[k];

		a->prog = p;
		a->inst = i;
		a->out = m->ptr[i->out];
		for (uint32_t n = 0; n < i->nin; n++)
			a->in[n] = i->in[n].val == RN_NONE ? NULL : m->ptr[i->in[n].val];
		for (unsigned n = 0; n < 3; n++)
			a->idx[n] = i->idx[n] == RN_NONE ? NULL : m->idx[i->idx[n]];
		a->scratch = m->scratch;
		a->idx_table = m->idx;
		a->f = m->f[k];
	}
}

static size_t scratch_of(const struct rn_machine *m, uint32_t k)
{
	struct rn_backend *b = m->backend;
	size_t n = b->scratch ? b->scratch(b, &m->args[k], m->type) : 0;

	return (n + RN_ALIGN - 1) & ~(size_t)(RN_ALIGN - 1);
}

static int place_scratch(struct rn_machine *m, struct rn_err *e)
{
	size_t most = 0, sum = 0;
	bool apart;

	fill_args(m);
	for (uint32_t k = 0; k < m->prog->ninsts; k++) {
		size_t n = scratch_of(m, k);

		most = n > most ? n : most;
		sum += n;
	}
	if (!most)
		return 0;
	apart = is_little(m, sum);
	RN_TRY(m->backend->alloc(m->backend, apart ? sum : most, &m->scratch, e));
	m->bytes += apart ? sum : most;
	fill_args(m);
	sum = 0;
	for (uint32_t k = 0; apart && k < m->prog->ninsts; k++) {
		m->args[k].scratch = (char *)m->scratch + sum;
		sum += scratch_of(m, k);
	}
	return 0;
}

static int check_supported(const struct rn_machine *m, struct rn_err *e)
{
	for (uint32_t k = 0; k < m->prog->ninsts; k++)
		if (!m->backend->supports(m->backend, m->prog, &m->prog->insts[k], m->type))
			return rn_err_set(e, RN_EDEV, "device '%s' cannot run %s", m->backend->name,
					  rn_prim_name(m->prog->insts[k].op));
	return 0;
}

int rn_machine_new(const struct rn_prog *p, struct rn_backend *b, enum rn_dtype t,
		   struct rn_store *params, struct rn_store *states, void *const *mem,
		   struct rn_machine **out, struct rn_err *e)
{
	return rn_machine_new_over(p, b, t, params, states, mem, NULL, out, e);
}

int rn_machine_new_over(const struct rn_prog *p, struct rn_backend *b, enum rn_dtype t,
			struct rn_store *params, struct rn_store *states, void *const *mem,
			const uint32_t *const *idx, struct rn_machine **out, struct rn_err *e)
{
	static const char what[] = "a machine";
	struct rn_machine *m;
	int rc;

	RN_TRY(rn_prog_check(p, e));
	RN_TRY(rn_calloc(1, sizeof *m, what, &m, e));
	*m = (struct rn_machine){ .prog = p, .backend = b, .type = t, .params = params,
				  .states = states };
	RN_GOTO(fail, rn_calloc(p->nvals, sizeof *m->ptr, what, &m->ptr, e));
	RN_GOTO(fail, rn_calloc(p->nidx, sizeof *m->idx, what, &m->idx, e));
	RN_GOTO(fail, rn_calloc(p->ninsts, sizeof *m->args, what, &m->args, e));
	RN_GOTO(fail, rn_calloc(p->ninsts, sizeof *m->f, what, &m->f, e));
	RN_GOTO(fail, rn_calloc((size_t)p->nvals + p->nidx, sizeof *m->own, what, &m->own, e));
	for (uint32_t k = 0; k < p->ninsts; k++)
		memcpy(m->f[k], p->insts[k].f, sizeof m->f[k]);
	RN_GOTO(fail, check_supported(m, e));
	RN_GOTO(fail, place_fixed(m, mem, idx, e));
	RN_GOTO(fail, place_results(m, mem, e));
	RN_GOTO(fail, place_scratch(m, e));
	if (b->list_new)
		RN_GOTO(fail, b->list_new(b, m->args, p->ninsts, t, &m->list, e));
	*out = m;
	return 0;
fail:
	rn_machine_free(m);
	return rc;
}

void rn_machine_free(struct rn_machine *m)
{
	if (!m)
		return;
	if (m->list)
		m->backend->list_free(m->list);
	for (size_t i = 0; m->own && i < (size_t)m->prog->nvals + m->prog->nidx; i++)
		if (m->own[i])
			m->backend->free(m->backend, m->own[i]);
	rn_room_unref(m->room);
	if (m->scratch)
		m->backend->free(m->backend, m->scratch);
	free(m->ptr);
	free(m->idx);
	free(m->args);
	free(m->f);
	free(m->own);
	free(m);
}

/* ---- running ------------------------------------------------------------------------------ */

int rn_machine_run(struct rn_machine *m, uint32_t from, uint32_t to, uint32_t epoch,
		   struct rn_err *e)
{
	struct rn_backend *b = m->backend;
	int rc = 0;

	if (to > m->prog->ninsts)
		return rn_err_set(e, RN_EBUG, "instructions %u to %u of %u", from, to,
				  m->prog->ninsts);
	if (m->list)
		return b->list_run(m->list, from, to, epoch, e);
	if (b->enter)
		b->enter(b);
	for (uint32_t k = from; k < to && !rc; k++) {
		m->args[k].epoch = epoch;
		rc = b->run(b, &m->args[k], m->type, e);
	}
	if (b->leave)
		b->leave(b);
	return rc;
}

bool rn_machine_has_epochs(const struct rn_machine *m)
{
	return m->list && m->backend->list_epochs;
}

int rn_machine_epochs(struct rn_machine *m, struct rn_window *w, struct rn_err *e)
{
	return m->backend->list_epochs(m->list, w, e);
}

struct rn_list *rn_machine_list(struct rn_machine *m)
{
	return m->list;
}

uint32_t rn_machine_failed(const struct rn_machine *m)
{
	return m->list && m->backend->list_failed ? m->backend->list_failed(m->list) : RN_NONE;
}

void rn_machine_set_f(struct rn_machine *m, uint32_t inst, const double *f)
{
	memcpy(m->f[inst], f, sizeof m->f[inst]);
}

/* ---- values in and out ------------------------------------------------------------------------
 */

static int check_val(const struct rn_machine *m, uint32_t val, struct rn_err *e)
{
	if (val < m->prog->nvals)
		return 0;
	return rn_err_set(e, RN_EBUG, "no value %u in a program of %u", val, m->prog->nvals);
}

/* Numbers first … first+n-1 of a value, as double; n <= PIECE. */
static int get_piece(struct rn_machine *m, uint32_t val, size_t first, size_t n, double *x,
		     struct rn_err *e)
{
	const struct rn_val *v = &m->prog->vals[val];
	struct rn_backend *b = m->backend;
	size_t size = item_size(m, v);
	union {
		float f[PIECE];
		double d[PIECE];
		uint32_t u[PIECE];
	} tmp;

	RN_TRY(b->copy_out(b, &tmp, (char *)m->ptr[val] + first * size, n * size, e));
	for (size_t k = 0; k < n; k++)
		x[k] = v->index ? tmp.u[k] : m->type == RN_F64 ? tmp.d[k] : tmp.f[k];
	return 0;
}

int rn_machine_get_f64(struct rn_machine *m, uint32_t val, double *x, struct rn_err *e)
{
	size_t n;

	RN_TRY(check_val(m, val, e));
	n = count_of(&m->prog->vals[val]);
	for (size_t i = 0; i < n; i += PIECE)
		RN_TRY(get_piece(m, val, i, n - i < PIECE ? n - i : PIECE, x + i, e));
	return 0;
}

int rn_machine_get_f32(struct rn_machine *m, uint32_t val, float *x, struct rn_err *e)
{
	double tmp[PIECE];
	size_t n;

	RN_TRY(check_val(m, val, e));
	n = count_of(&m->prog->vals[val]);
	if (m->type == RN_F32 || m->prog->vals[val].index)
		return m->backend->copy_out(m->backend, x, m->ptr[val], n * sizeof *x, e);
	for (size_t i = 0; i < n; i += PIECE) {
		size_t len = n - i < PIECE ? n - i : PIECE;

		RN_TRY(get_piece(m, val, i, len, tmp, e));
		for (size_t k = 0; k < len; k++)
			x[i + k] = (float)tmp[k];
	}
	return 0;
}

int rn_machine_set_f64(struct rn_machine *m, uint32_t val, const double *x, struct rn_err *e)
{
	const struct rn_val *v;

	RN_TRY(check_val(m, val, e));
	v = &m->prog->vals[val];
	if (v->index)
		return rn_err_set(e, RN_EBUG, "value %u holds row numbers", val);
	if (v->kind == RN_V_CONST && v->data && m->ptr[val] == v->data->data) {
		void *shared = m->ptr[val]; /* a constant in place belongs to others too */

		RN_TRY(own_memory(m, val, bytes_of(m, v), e));
		for (uint32_t i = 0; i < m->prog->nvals; i++) /* it, and views of it */
			if (root_of(m->prog, NULL, i) == val && m->ptr[i] == shared)
				m->ptr[i] = m->own[val];
		fill_args(m);
	}
	return copy_in(m, m->ptr[val], NULL, x, count_of(v), e);
}

void *rn_machine_ptr(struct rn_machine *m, uint32_t val, size_t *bytes)
{
	if (val >= m->prog->nvals)
		return NULL;
	if (bytes)
		*bytes = bytes_of(m, &m->prog->vals[val]);
	return m->ptr[val];
}

uint64_t rn_machine_bytes(const struct rn_machine *m)
{
	return m->bytes;
}

static int all_finite(struct rn_machine *m, uint32_t val, bool *finite, struct rn_err *e)
{
	size_t n = count_of(&m->prog->vals[val]);
	double tmp[PIECE];

	*finite = true;
	for (size_t i = 0; i < n && *finite; i += PIECE) {
		size_t len = n - i < PIECE ? n - i : PIECE;

		RN_TRY(get_piece(m, val, i, len, tmp, e));
		for (size_t k = 0; k < len; k++)
			*finite = *finite && isfinite(tmp[k]);
	}
	return 0;
}

int rn_machine_find_nonfinite(struct rn_machine *m, uint32_t from, uint32_t to, uint32_t epoch,
			      uint32_t *inst, struct rn_err *e)
{
	*inst = RN_NONE;
	for (uint32_t k = from; k < to; k++) {
		bool finite;

		RN_TRY(rn_machine_run(m, k, k + 1, epoch, e));
		RN_TRY(all_finite(m, m->prog->insts[k].out, &finite, e));
		if (!finite) {
			*inst = k;
			return 0;
		}
	}
	return 0;
}

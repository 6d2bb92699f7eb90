/* SPDX-License-Identifier: Apache-2.0
 *
 * Building tensor programs: shapes, broadcasts, flags, feature maps, text, costs,
 * and the refusal of what does not fit.
 */
#include "../../lib/base/str.h"
#include "../../lib/dev/prog.h"
#include "../../lib/dev/prog_check.h"
#include "t.h"

static struct rn_prog p;
static struct rn_err e;

static uint32_t value(uint32_t rows, uint32_t rank, uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t dim[3] = { a, b, c }, n = rows;
	struct rn_buf *buf;

	for (uint32_t i = 0; i < rank; i++)
		n *= dim[i];
	if (rn_buf_new(n * sizeof(float), "test", &buf, &e))
		return RN_NONE;
	return rn_prog_const(&p, rows, rank, dim, buf, &e);
}

static bool is_shape(uint32_t v, uint32_t rows, const char *shape)
{
	char text[64] = "?";

	if (v < p.nvals)
		rn_shape_text(p.vals[v].rank, p.vals[v].dim, text, sizeof text);
	if (v < p.nvals && p.vals[v].rows == rows && !strcmp(text, shape))
		return true;
	printf("# value %u: %u rows of %s; %s\n", v, v < p.nvals ? p.vals[v].rows : 0, text, e.msg);
	return false;
}

/* The feature map of operand k of the instruction that made v, as text. */
static const char *fmap(uint32_t v, unsigned k)
{
	static char text[256];
	uint32_t i = p.insts[p.vals[v].inst].in[k].fmap;
	size_t n = 0;

	strcpy(text, i == RN_NONE ? "-" : "");
	for (uint32_t f = 0; i != RN_NONE && f < p.idx[i].n; f++)
		n += (size_t)snprintf(text + n, sizeof text - n, f ? " %u" : "%u",
				      rn_prog_idx_data(&p, i)[f]);
	return text;
}

static void test_broadcast(void)
{
	uint32_t d, dk, one, row, v, k, nidx;

	rn_prog_init(&p);
	d = value(5, 1, 2, 0, 0);
	dk = value(5, 2, 2, 3, 0);
	one = value(5, 1, 1, 0, 0);
	row = value(1, 2, 2, 3, 0);
	k = value(5, 2, 1, 3, 0);
	v = rn_prog_ew2(&p, RN_EW_MUL, d, dk, &e);
	T_OK(is_shape(v, 5, "[2,3]") && !strcmp(fmap(v, 0), "0 0 0 1 1 1"), "[2] * [2,3]");
	T_OK(!strcmp(fmap(v, 1), "-"), "an operand of the full shape has no feature map");
	v = rn_prog_ew2(&p, RN_EW_MUL, one, d, &e);
	T_OK(is_shape(v, 5, "[2]") && !strcmp(fmap(v, 0), "-"), "[1] * [2]: no feature map");
	v = rn_prog_ew2(&p, RN_EW_ADD, row, dk, &e);
	T_OK(is_shape(v, 5, "[2,3]"), "one row and five");
	v = rn_prog_ew2(&p, RN_EW_ADD, k, d, &e);
	T_OK(is_shape(v, 5, "[2,3]") && !strcmp(fmap(v, 0), "0 1 2 0 1 2"), "[1,3] + [2]");
	nidx = p.nidx;
	v = rn_prog_ew3(&p, RN_EW_SELECT, k, d, dk, &e);
	T_OK(is_shape(v, 5, "[2,3]") && p.nidx == nidx, "equal feature maps are one array");
	T_OK(rn_prog_ew2(&p, RN_EW_ADD, dk, value(5, 2, 3, 3, 0), &e) == RN_NONE &&
		     e.code == RN_EUSAGE && strstr(e.msg, "[2,3]") && strstr(e.msg, "[3,3]"),
	     "shapes that do not fit: %s", e.msg);
	T_OK(rn_prog_ew2(&p, RN_EW_ADD, dk, value(4, 2, 2, 3, 0), &e) == RN_NONE &&
		 e.code == RN_EBUG,
	     "rows that do not fit: %s", e.msg);
	T_OK(rn_prog_ew1(&p, RN_EW_ADD, d, &e) == RN_NONE && e.code == RN_EBUG, "arity: %s", e.msg);
	T_OK(rn_prog_ew1(&p, RN_EW_EXP, 999, &e) == RN_NONE && e.code == RN_EBUG, "no value: %s",
	     e.msg);
	v = rn_prog_ew_imm(&p, RN_EW_POW, d, 2, false, &e);
	T_OK(is_shape(v, 5, "[2]") && p.insts[p.vals[v].inst].fn == RN_EW_MUL, "x ** 2 is x * x");
	v = rn_prog_ew_imm(&p, RN_EW_SUB, d, 1, true, &e);
	T_OK(is_shape(v, 5, "[2]") && p.insts[p.vals[v].inst].in[1].val == d, "1 - x");
	v = rn_prog_ew2(&p, RN_EW_ADD, value(0, 1, 2, 0, 0), row, &e);
	T_OK(is_shape(v, 0, "[2,3]"), "no rows and one row are no rows");
	rn_prog_fini(&p);
}

static void test_features(void)
{
	static const uint32_t turn[6] = { 0, 3, 1, 4, 2, 5 }, same[6] = { 0, 1, 2, 3, 4, 5 };
	uint32_t x, v;

	rn_prog_init(&p);
	x = value(4, 2, 2, 3, 0);
	v = rn_prog_features(&p, x, turn, 2, (uint32_t[]){ 3, 2 }, &e);
	T_OK(is_shape(v, 4, "[3,2]") && !strcmp(fmap(v, 0), "0 3 1 4 2 5"), "a transpose");
	v = rn_prog_features(&p, x, same, 1, (uint32_t[]){ 6 }, &e);
	T_OK(is_shape(v, 4, "[6]") && !strcmp(fmap(v, 0), "-"), "a new shape of the same numbers");
	T_OK(rn_prog_features(&p, x, same, 2, (uint32_t[]){ 2, 3 }, &e) == x,
	     "the identity is nothing");
	v = rn_prog_features(&p, x, turn + 1, 1, (uint32_t[]){ 2 }, &e);
	T_OK(is_shape(v, 4, "[2]") && !strcmp(fmap(v, 0), "3 1"), "a slice");
	T_OK(rn_prog_features(&p, x, (uint32_t[]){ 6 }, 1, (uint32_t[]){ 1 }, &e) != RN_NONE &&
		     rn_prog_check(&p, &e) == RN_EBUG,
	     "a feature that does not exist: %s", e.msg);
	rn_prog_fini(&p);
}

static void test_flags(void)
{
	uint32_t w, x, y, z, dim = 3, drop;
	struct rn_drop d = { rn_rng_key("a", 1), RN_NONE, RN_NONE };
	struct rn_inst i = rn_inst_init(RN_P_SGD);

	rn_prog_init(&p);
	p.stage = 7;
	w = rn_prog_param(&p, RN_V_PARAM, 0, 2, (uint32_t[]){ 3, 3 }, &e);
	x = value(4, 1, 3, 0, 0);
	y = rn_prog_gemm(&p, x, w, RN_NONE, false, &e);
	drop = rn_prog_dropmask(&p, 4, 1, &dim, 0.5, &d, &e);
	z = rn_prog_ew2(&p, RN_EW_MUL, x, drop, &e);
	T_OK(p.vals[w].diff && !p.vals[x].diff && p.vals[y].diff && !p.vals[z].diff,
	     "diff spreads");
	T_OK(!p.vals[y].random && p.vals[drop].random && p.vals[z].random, "random spreads");
	z = rn_prog_ew2(&p, RN_EW_ADD, y, z, &e);
	T_OK(p.vals[z].diff && p.vals[z].random, "both spread");
	T_OK(p.insts[p.vals[z].inst].stage == 7, "the stage is noted");
	i.nin = 2;
	i.in[0].val = w;
	i.in[1].val = rn_prog_gemm_tn(&p, x, y, &e);
	T_OK(rn_prog_add(&p, &i, 0, 0, NULL, &e) == w, "a step gives its parameter");
	T_OK(rn_prog_check(&p, &e) == 0, "the program is well formed");
	i.in[1].val = x;
	T_OK(rn_prog_add(&p, &i, 0, 0, NULL, &e) == RN_NONE && e.code == RN_EBUG,
	     "a gradient of another shape");
	rn_prog_fini(&p);
}

static void test_short_forms(void)
{
	static const uint32_t seg[4] = { 0, 2, 2, 5 }, rows[5] = { 0, 1, 3, 3, UINT32_MAX };
	uint32_t ptr, map, x, x7, m, v, nvals, xs[20];

	rn_prog_init(&p);
	ptr = rn_prog_idx_copy(&p, seg, 4, &e);
	map = rn_prog_idx_copy(&p, rows, 5, &e);
	x = value(4, 2, 2, 3, 0);
	x7 = value(4, 1, 7, 0, 0);
	m = value(1, 2, 6, 5, 0);
	T_OK(is_shape(rn_prog_gather(&p, x, map, &e), 5, "[2,3]"), "gather");
	T_OK(rn_prog_gather(&p, x, RN_NONE, &e) == x, "gather without a map is nothing");
	T_OK(is_shape(rn_prog_spmm(&p, ptr, x, map, RN_NONE, RN_NONE, &e), 3, "[2,3]"), "spmm");
	T_OK(is_shape(rn_prog_sddmm(&p, 5, x, map, x, map, &e), 5, "[1]"), "sddmm");
	T_OK(is_shape(rn_prog_gemm(&p, x, m, RN_NONE, false, &e), 4, "[5]"), "gemm");
	T_OK(is_shape(rn_prog_gemm(&p, value(4, 1, 5, 0, 0), m, value(1, 1, 6, 0, 0), true, &e), 4,
		      "[6]"),
	     "gemm, transposed, with bias");
	T_OK(is_shape(rn_prog_gemm_tn(&p, x, x7, &e), 1, "[6,7]"), "gemm_tn");
	T_OK(is_shape(rn_prog_matmul(&p, x, x, false, true, &e), 4, "[2,2]"), "matmul");
	T_OK(is_shape(rn_prog_colsum(&p, x, &e), 1, "[2,3]"), "colsum");
	T_OK(is_shape(rn_prog_fsum(&p, x, NULL, 0, NULL, &e), 4, "[1]"), "fsum of all");
	T_OK(is_shape(
		 rn_prog_fsum(&p, x, (uint32_t[]){ 0, 0, 0, 1, 1, 1 }, 1, (uint32_t[]){ 2 }, &e), 4,
		 "[2]"),
	     "fsum by a map");
	T_OK(is_shape(rn_prog_view(&p, m, 6, 1, (uint32_t[]){ 5 }, &e), 6, "[5]"), "view");
	T_OK(is_shape(rn_prog_concat(&p, (uint32_t[]){ x, x }, 2, &e), 4, "[4,3]"),
	     "concat of equal shapes");
	T_OK(is_shape(rn_prog_concat(&p, (uint32_t[]){ x, x7 }, 2, &e), 4, "[13]"),
	     "concat of others is flat");
	for (unsigned k = 0; k < 20; k++)
		xs[k] = x7;
	v = rn_prog_concat(&p, xs, 20, &e);
	T_OK(is_shape(v, 4, "[140]"), "concat of more than an instruction takes");
	T_OK(rn_prog_check(&p, &e) == 0, "all of it is well formed");
	nvals = p.nvals;
	T_OK(rn_prog_gemm(&p, x7, m, RN_NONE, false, &e) == RN_NONE && e.code == RN_EBUG, "%s",
	     e.msg);
	T_OK(rn_prog_view(&p, m, 7, 1, (uint32_t[]){ 5 }, &e) == RN_NONE, "%s", e.msg);
	T_OK(rn_prog_sddmm(&p, 4, x, map, x, map, &e) == RN_NONE, "%s", e.msg);
	T_OK(rn_prog_spmm(&p, 99, x, map, RN_NONE, RN_NONE, &e) == RN_NONE, "%s", e.msg);
	T_OK(rn_prog_matmul(&p, x, x, false, false, &e) == RN_NONE, "%s", e.msg);
	T_OK(p.nvals == nvals, "a refused instruction leaves no value");
	rn_prog_fini(&p);
}

/* Contents of index arrays are checked before a program runs. */
static void test_bounds(void)
{
	static const uint32_t down[3] = { 0, 2, 1 }, high[2] = { 0, 4 }, good[3] = { 0, 1, 2 };
	uint32_t x;

	rn_prog_init(&p);
	x = value(4, 1, 2, 0, 0);
	rn_prog_gather(&p, x, rn_prog_idx_copy(&p, high, 2, &e), &e);
	T_OK(rn_prog_check(&p, &e) == RN_EBUG, "%s", e.msg);
	rn_prog_fini(&p);
	rn_prog_init(&p);
	x = value(4, 1, 2, 0, 0);
	rn_prog_spmm(&p, rn_prog_idx_copy(&p, down, 3, &e), x, RN_NONE, RN_NONE, RN_NONE, &e);
	T_OK(rn_prog_check(&p, &e) == RN_EBUG, "segments that do not ascend: %s", e.msg);
	rn_prog_fini(&p);
	rn_prog_init(&p);
	x = value(4, 1, 2, 0, 0);
	rn_prog_spmm(&p, rn_prog_idx_copy(&p, good, 3, &e), x, rn_prog_idx_copy(&p, high, 2, &e),
		     value(1, 1, 1, 0, 0), RN_NONE, &e);
	T_OK(rn_prog_check(&p, &e) == RN_EBUG, "rows and weights that do not exist: %s", e.msg);
	rn_prog_fini(&p);
	rn_prog_init(&p);
	x = value(4, 1, 2, 0, 0);
	rn_prog_ew1(&p, RN_EW_EXP, x, &e);
	rn_prog_ew1(&p, RN_EW_EXP, x + 1, &e);
	p.insts[0].in[0].val = x + 2;
	T_OK(rn_prog_check(&p, &e) == RN_EBUG, "a value used before it is made: %s", e.msg);
	rn_prog_fini(&p);
}

static void test_print(void)
{
	struct rn_str s = RN_STR_INIT;
	double flops, bytes;
	uint32_t x, w, y;

	rn_prog_init(&p);
	x = value(10, 1, 4, 0, 0);
	w = rn_prog_param(&p, RN_V_PARAM, 3, 2, (uint32_t[]){ 4, 2 }, &e);
	y = rn_prog_gemm(&p, x, w, RN_NONE, false, &e);
	rn_prog_ew1(&p, RN_EW_RELU, y, &e);
	rn_prog_print(&p, &s);
	T_OK(!strcmp(s.s, "v0 [10;4] = const\n"
			  "v1 [1;4,2] = param 3\n"
			  "v2 [10;2] = gemm(v0, v1, -)  # stage 0, diff\n"
			  "v3 [10;2] = relu(v2)  # stage 0, diff\n"),
	     "a program as text");
	rn_inst_cost(&p, &p.insts[0], &flops, &bytes);
	T_OK(flops == 160 && bytes == 4 * (40 + 8 + 20), "cost of a product: %g flops, %g bytes",
	     flops, bytes);
	for (unsigned op = 0; op < RN_NPRIM; op++)
		if (!*rn_prim_name(op) || *rn_prim_name(op) == '?')
			T_OK(false, "primitive %u has no name", op);
	for (unsigned fn = 0; fn < RN_NEW; fn++)
		if (!rn_ew_info[fn].name)
			T_OK(false, "function %u has no name", fn);
	rn_str_fini(&s);
	rn_prog_fini(&p);
}

int main(void)
{
	test_broadcast();
	test_features();
	test_flags();
	test_short_forms();
	test_bounds();
	test_print();
	return t_done();
}

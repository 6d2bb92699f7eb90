/* SPDX-License-Identifier: Apache-2.0
 *
 * The training step of a GCN, written by hand for one shape each: what RN's step of the
 * same model is compared with.
 *
 * usage: gcn_c cora|large DIR EPOCHS THREADS
 *
 * cora: examples/gcn-cora (sparse features, two layers, dropout before both); large:
 * models/gcn.relnn (dense features, three layers, the constant product of adjacency and
 * features computed once).  Adam, a loss over the training rows; no validation.  Prints one
 * JSON object with the median time of a step.  What is here is known at compile time or by
 * heart: nothing is checked, nothing is general.
 */
#include <cblas.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

extern void openblas_set_num_threads(int n);

enum { MAX_THREADS = 16, LAYERS = 3, PREFETCH = 8 };

struct csr {
	uint32_t n, *ptr, *idx;
	float *w;
};

static struct {
	bool cora;
	uint32_t n, train, layers, width[LAYERS + 1];
	int threads;
	struct csr a, at, x, xt; /* adjacency, sparse features, and their transposes */
	uint32_t *xt_at;         /* where in x an entry of xt is */
	float *drop;             /* the features of x behind dropout */
	float *dense;            /* A·X of the large graph */
	uint32_t *label;
	uint8_t *in_train;
	float *W[LAYERS], *b[LAYERS], *gW[LAYERS], *gb[LAYERS], *part[LAYERS];
	float *mW[LAYERS], *vW[LAYERS];
	float *in[LAYERS];  /* input of a layer (behind relu and dropout), not of the first */
	float *lin[LAYERS]; /* in·W + b */
	float *out[LAYERS]; /* A·lin */
	float *g, *h;       /* gradients */
	double loss[MAX_THREADS];
} s;

/* ---- threads ------------------------------------------------------------------------- */

static atomic_uint arrived, generation;

static void barrier(void)
{
	unsigned g = atomic_load(&generation);

	if (atomic_fetch_add(&arrived, 1) + 1 == (unsigned)s.threads) {
		atomic_store(&arrived, 0);
		atomic_fetch_add(&generation, 1);
		return;
	}
	while (atomic_load(&generation) == g)
		__builtin_ia32_pause();
}

static void *memory(size_t bytes)
{
	void *p = mmap(NULL, bytes + 64, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

static float *floats(size_t n)
{
	return memory(n * sizeof(float));
}

static uint32_t from(uint32_t n, int t)
{
	return (uint32_t)((uint64_t)n * t / s.threads);
}

static uint64_t draw(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	return *x ^= *x << 17;
}

/* ---- kernels --------------------------------------------------------------------------- */

#define SPMM(W)                                                                                \
	static void spmm_##W(const struct csr *a, const float *x, float *y, uint32_t i, uint32_t to) \
	{                                                                                      \
		for (; i < to; i++) {                                                          \
			float acc[W] = { 0 };                                                  \
                                                                                               \
			for (uint32_t k = a->ptr[i]; k < a->ptr[i + 1]; k++) {                 \
				const float *r = x + (size_t)a->idx[k] * W;                    \
				const float *p = x + (size_t)a->idx[k + PREFETCH] * W;         \
                                                                                               \
				for (int f = 0; f < W; f += 16)                                \
					__builtin_prefetch(p + f);                             \
				for (int f = 0; f < W; f++)                                    \
					acc[f] += a->w[k] * r[f];                              \
			}                                                                      \
			memcpy(y + (size_t)i * W, acc, sizeof acc);                            \
		}                                                                              \
	}
SPMM(7)
SPMM(16)
SPMM(40)
SPMM(128)
SPMM(256)

static void spmm(const struct csr *a, const float *x, float *y, uint32_t width, int t)
{
	uint32_t i = 0, to = a->n;
	uint64_t all = a->ptr[a->n];

	/* rows with an equal number of edges for each thread */
	while (i < a->n && a->ptr[i] < all * t / s.threads)
		i++;
	for (to = i; to < a->n && a->ptr[to] < all * (t + 1) / s.threads;)
		to++;
	if (t == s.threads - 1)
		to = a->n;
	switch (width) {
	case 7: spmm_7(a, x, y, i, to); break;
	case 16: spmm_16(a, x, y, i, to); break;
	case 40: spmm_40(a, x, y, i, to); break;
	case 128: spmm_128(a, x, y, i, to); break;
	case 256: spmm_256(a, x, y, i, to); break;
	default: abort();
	}
}

/* y = x·W + b over this thread's rows */
static void gemm(const float *x, const float *w, const float *b, float *y, uint32_t k, uint32_t m,
		 bool trans, int t)
{
	uint32_t i = from(s.n, t), rows = from(s.n, t + 1) - i;

	if (b)
		for (uint32_t r = i; r < i + rows; r++)
			memcpy(y + (size_t)r * m, b, m * sizeof *y);
	cblas_sgemm(CblasRowMajor, CblasNoTrans, trans ? CblasTrans : CblasNoTrans, (int)rows,
		    (int)m, (int)k, 1, x + (size_t)i * k, (int)k, w, (int)(trans ? k : m), b ? 1 : 0,
		    y + (size_t)i * m, (int)m);
}

/* this thread's part of the gradient xᵀ·g, and of the bias */
static void gemm_tn(int l, const float *x, const float *g, int t)
{
	uint32_t i = from(s.n, t), rows = from(s.n, t + 1) - i, k = s.width[l], m = s.width[l + 1];
	float *b = s.part[l] + (size_t)t * (k + 1) * m;

	memset(b, 0, m * sizeof *b);
	for (uint32_t r = i; r < i + rows; r++)
		for (uint32_t f = 0; f < m; f++)
			b[f] += g[(size_t)r * m + f];
	cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)k, (int)m, (int)rows, 1,
		    x + (size_t)i * k, (int)k, g + (size_t)i * m, (int)m, 0, b + m, (int)m);
}

static void add_parts(int l)
{
	uint32_t k = s.width[l], m = s.width[l + 1];

	memset(s.gb[l], 0, m * sizeof(float));
	memset(s.gW[l], 0, (size_t)k * m * sizeof(float));
	for (int t = 0; t < s.threads; t++) {
		const float *b = s.part[l] + (size_t)t * (k + 1) * m;

		for (uint32_t i = 0; i < m; i++)
			s.gb[l][i] += b[i];
		for (uint32_t i = 0; i < k * m; i++)
			s.gW[l][i] += b[m + i];
	}
}

static void relu_drop(const float *x, float *y, uint32_t m, uint64_t seed, int t)
{
	size_t i = (size_t)from(s.n, t) * m, to = (size_t)from(s.n, t + 1) * m;

	/* a hash of the position: vectorises, as a counter-based generator would */
	for (; i < to; i++) {
		uint32_t r = (uint32_t)(i + seed) * 0x9e3779b1u;

		r = (r ^ r >> 15) * 0x85ebca77u;
		y[i] = x[i] > 0 && (r ^ r >> 13) & 0x10000 ? 2 * x[i] : 0;
	}
}

/* The gradient of that: y is what it gave. */
static void relu_drop_grad(const float *y, float *g, uint32_t m, int t)
{
	size_t i = (size_t)from(s.n, t) * m, to = (size_t)from(s.n, t + 1) * m;

	for (; i < to; i++)
		g[i] = y[i] > 0 ? 2 * g[i] : 0;
}

static void cross_entropy(const float *z, float *g, uint32_t m, int t)
{
	double loss = 0;

	for (uint32_t i = from(s.n, t); i < from(s.n, t + 1); i++) {
		const float *r = z + (size_t)i * m;
		float top = r[0], sum = 0, *o = g + (size_t)i * m;

		if (!s.in_train[i]) {
			memset(o, 0, m * sizeof *o);
			continue;
		}
		for (uint32_t f = 1; f < m; f++)
			top = r[f] > top ? r[f] : top;
		for (uint32_t f = 0; f < m; f++)
			sum += o[f] = expf(r[f] - top);
		for (uint32_t f = 0; f < m; f++)
			o[f] /= sum * (float)s.train;
		loss += logf(sum) + top - r[s.label[i]];
		o[s.label[i]] -= 1 / (float)s.train;
	}
	s.loss[t] = loss;
}

static void adam(float *w, float *g, float *m, float *v, size_t n, int step, float decay, int t)
{
	float lr = 0.01f / (1 - powf(0.9f, (float)step)), c = 1 / (1 - powf(0.999f, (float)step));

	for (size_t i = n * t / s.threads, to = n * (t + 1) / s.threads; i < to; i++) {
		float d = g[i] + decay * w[i];

		m[i] = 0.9f * m[i] + 0.1f * d;
		v[i] = 0.999f * v[i] + 0.001f * d * d;
		w[i] -= lr * m[i] / (sqrtf(v[i] * c) + 1e-8f);
	}
}

/* ---- a step -------------------------------------------------------------------------------- */

/* Sparse features times the first weights, and the weights' gradient, by the transpose. */
static void first_sparse(uint64_t seed, int t)
{
	struct csr x = s.x;

	for (uint32_t k = x.ptr[from(s.n, t)]; k < x.ptr[from(s.n, t + 1)]; k++) {
		uint32_t r = (uint32_t)(k + seed) * 0x9e3779b1u;

		r = (r ^ r >> 15) * 0x85ebca77u;
		s.drop[k] = (r ^ r >> 13) & 0x10000 ? 2 * x.w[k] : 0;
	}
	x.w = s.drop;
	spmm_16(&x, s.W[0], s.lin[0], from(s.n, t), from(s.n, t + 1));
}

static void first_sparse_grad(int t)
{
	uint32_t c = from(s.xt.n, t), to = from(s.xt.n, t + 1);

	for (uint32_t k = s.xt.ptr[c]; k < s.xt.ptr[to]; k++)
		s.xt.w[k] = s.drop[s.xt_at[k]];
	spmm_16(&s.xt, s.h, s.gW[0], c, to);
}

static void forward(uint64_t seed, int t)
{
	for (uint32_t l = 0; l < s.layers; l++) {
		uint32_t k = s.width[l], m = s.width[l + 1];

		if (l) {
			relu_drop(s.out[l - 1], s.in[l], k, seed * LAYERS + l, t);
			gemm(s.in[l], s.W[l], s.cora ? NULL : s.b[l], s.lin[l], k, m, false, t);
		} else if (s.cora) {
			first_sparse(seed, t);
		} else {
			gemm(s.dense, s.W[0], s.b[0], s.out[0], k, m, false, t);
			continue;
		}
		barrier();
		spmm(&s.a, s.lin[l], s.out[l], m, t);
		barrier();
	}
}

static void backward(int t)
{
	cross_entropy(s.out[s.layers - 1], s.g, s.width[s.layers], t);
	for (uint32_t l = s.layers; l-- > 0;) {
		uint32_t k = s.width[l], m = s.width[l + 1];

		if (!l && !s.cora) {
			gemm_tn(0, s.dense, s.g, t);
			break;
		}
		barrier();
		spmm(&s.at, s.g, s.h, m, t);
		barrier();
		if (!l) {
			first_sparse_grad(t);
			break;
		}
		gemm_tn((int)l, s.in[l], s.h, t);
		gemm(s.h, s.W[l], NULL, s.g, m, k, true, t);
		relu_drop_grad(s.in[l], s.g, k, t);
	}
	barrier();
}

static void step(int number, int t)
{
	forward((uint64_t)number * 0x632be5abu, t);
	backward(t);
	if (!t)
		for (uint32_t l = s.cora; l < s.layers; l++)
			add_parts((int)l);
	barrier();
	for (uint32_t l = 0; l < s.layers; l++) {
		size_t n = ((size_t)s.width[l] + !s.cora) * s.width[l + 1];

		adam(s.W[l], s.gW[l], s.mW[l], s.vW[l], n, number, s.cora && !l ? 5e-4f : 0, t);
	}
	barrier();
}

/* ---- data ------------------------------------------------------------------------------------ */

/* Rows of up to three fields: numbers, and of text the first letter. */
static uint32_t read_table(const char *dir, const char *name, uint32_t (**rows)[3])
{
	uint32_t n = 0, cap = 1 << 16;
	char cmd[512], line[512];
	FILE *f;

	snprintf(cmd, sizeof cmd, "zstd -dcfq '%s/%s'", dir, name);
	f = popen(cmd, "r");
	*rows = malloc(cap * sizeof **rows);
	for (bool head = true; fgets(line, sizeof line, f); head = false) {
		char *p = line;

		if (head)
			continue;
		if (n == cap)
			*rows = realloc(*rows, (cap *= 2) * sizeof **rows);
		for (int i = 0; i < 3; i++) {
			(*rows)[n][i] = *p >= '0' && *p <= '9' ? (uint32_t)atol(p) : (uint8_t)*p;
			p += strcspn(p, ",\n");
			p += *p != 0;
		}
		n++;
	}
	pclose(f);
	return n;
}

/* Row `row`, column `col` of each entry, ordered by row; *at: which entry each is. */
static struct csr build(uint32_t n, uint32_t count, const uint32_t *row, const uint32_t *col,
			const float *w, uint32_t **at)
{
	struct csr a = { n, calloc(n + 2, 4), calloc(count + PREFETCH, 4), malloc(count * 4) };
	uint32_t *where = malloc(count * 4);

	for (uint32_t k = 0; k < count; k++)
		a.ptr[row[k] + 2]++;
	for (uint32_t i = 0; i < n; i++)
		a.ptr[i + 2] += a.ptr[i + 1];
	for (uint32_t k = 0; k < count; k++) {
		uint32_t to = a.ptr[row[k] + 1]++;

		a.idx[to] = col[k];
		a.w[to] = w[k];
		where[to] = k;
	}
	if (at)
		*at = where;
	else
		free(where);
	return a;
}

static void read_graph(const char *dir)
{
	uint32_t (*node)[3], (*edge)[3], n, m, *row, *col;
	float *deg, *w;

	s.n = n = read_table(dir, s.cora ? "paper.csv" : "node.csv", &node);
	m = read_table(dir, s.cora ? "cites.csv" : "edge.csv", &edge);
	s.label = malloc(n * 4);
	s.in_train = calloc(n, 1);
	row = malloc((m + n) * 4);
	col = malloc((m + n) * 4);
	w = malloc((m + n) * 4);
	deg = calloc(n, 4);
	for (uint32_t i = 0; i < n; i++) {
		s.label[i] = node[i][1];
		s.in_train[i] = node[i][2] == 't'; /* train, as test is told apart below */
	}
	for (uint32_t k = 0; k < m + n; k++) {
		col[k] = k < m ? edge[k][0] : k - m;
		row[k] = k < m ? edge[k][1] : k - m;
		deg[row[k]]++;
	}
	for (uint32_t k = 0; k < m + n; k++)
		w[k] = 1 / sqrtf(deg[col[k]] * deg[row[k]]);
	s.a = build(n, m + n, row, col, w, NULL);
	s.at = build(n, m + n, col, row, w, NULL);
	free(node), free(edge), free(row), free(col), free(w), free(deg);
}

/* Which nodes are trained: the letter tells train from val, not from test. */
static void read_split(const char *dir)
{
	char path[512], line[512];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, s.cora ? "paper.csv" : "node.csv");
	f = fopen(path, "r");
	for (uint32_t i = 0; f && fgets(line, sizeof line, f); i++)
		if (i) {
			s.in_train[i - 1] = strstr(line, "train") != NULL;
			s.train += s.in_train[i - 1];
		}
	fclose(f);
}

static void read_words(const char *dir)
{
	uint32_t (*word)[3], m = read_table(dir, "has_word.csv.zst", &word), *row, *col, *per;
	float *w;

	row = malloc(m * 4), col = malloc(m * 4), w = malloc(m * 4), per = calloc(s.n, 4);
	for (uint32_t k = 0; k < m; k++)
		per[row[k] = word[k][0]]++, col[k] = word[k][1];
	for (uint32_t k = 0; k < m; k++)
		w[k] = 1.0f / (float)per[row[k]];
	s.x = build(s.n, m, row, col, w, NULL);
	/* the transpose, of x as it is ordered now */
	for (uint32_t i = 0, k = 0; i < s.n; i++)
		for (; k < s.x.ptr[i + 1]; k++)
			row[k] = i, col[k] = s.x.idx[k];
	s.xt = build(s.width[0], m, col, row, s.x.w, &s.xt_at);
	s.drop = floats(m);
	free(word), free(row), free(col), free(w), free(per);
}

static void read_features(const char *dir)
{
	float *x = floats((size_t)s.n * s.width[0]);
	char path[512];
	uint8_t head[10];
	FILE *f;

	snprintf(path, sizeof path, "%s/x.npy", dir);
	f = fopen(path, "rb");
	if (!f || fread(head, 1, 10, f) != 10 || fseek(f, 10 + head[8] + head[9] * 256, SEEK_SET) ||
	    fread(x, 4, (size_t)s.n * s.width[0], f) != (size_t)s.n * s.width[0])
		exit(1);
	fclose(f);
	s.dense = floats((size_t)s.n * s.width[0]);
	for (int t = 0; t < s.threads; t++)
		spmm(&s.a, x, s.dense, s.width[0], t);
	munmap(x, (size_t)s.n * s.width[0] * 4 + 64);
}

static void allocate(void)
{
	uint32_t most = 0;
	uint64_t x = 88172645463325252u;

	for (uint32_t l = 0; l < s.layers; l++) {
		size_t k = s.width[l], m = s.width[l + 1], n = (k + 1) * m;
		float **to[] = { &s.W[l], &s.gW[l], &s.mW[l], &s.vW[l] };

		for (size_t i = 0; i < 4; i++)
			*to[i] = floats(n);
		s.part[l] = floats(n * s.threads);
		s.b[l] = s.W[l] + k * m;
		s.gb[l] = s.gW[l] + k * m;
		for (size_t i = 0; i < k * m; i++)
			s.W[l][i] = ((float)(draw(&x) >> 40) / (1 << 23) - 1) * sqrtf(6.0f / (float)(k + m));
		s.in[l] = l ? floats((size_t)s.n * k) : NULL;
		s.lin[l] = l || s.cora ? floats((size_t)s.n * m) : NULL;
		s.out[l] = floats((size_t)s.n * m);
		most = m > most ? (uint32_t)m : most;
	}
	s.g = floats((size_t)s.n * most);
	s.h = floats((size_t)s.n * most);
}

/* ---- main -------------------------------------------------------------------------------------- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int epochs;
static double *times;

static void *work(void *arg)
{
	int t = (int)(intptr_t)arg;

	for (int e = 1; e <= epochs; e++) {
		double start = now();

		step(e, t);
		if (!t)
			times[e - 1] = now() - start;
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	pthread_t thread[MAX_THREADS];
	struct rusage u;
	double loss = 0;

	if (argc != 5 || atoi(argv[4]) < 1 || atoi(argv[4]) > MAX_THREADS)
		return 2;
	s.cora = !strcmp(argv[1], "cora");
	epochs = atoi(argv[3]);
	s.threads = atoi(argv[4]);
	s.layers = s.cora ? 2 : 3;
	memcpy(s.width, s.cora ? (uint32_t[]){ 1433, 16, 7, 0 } : (uint32_t[]){ 128, 256, 256, 40 },
	       sizeof s.width);
	openblas_set_num_threads(1);
	times = calloc((size_t)epochs, sizeof *times);
	read_graph(argv[2]);
	read_split(argv[2]);
	if (s.cora)
		read_words(argv[2]);
	else
		read_features(argv[2]);
	allocate();
	for (int t = 1; t < s.threads; t++)
		pthread_create(&thread[t], NULL, work, (void *)(intptr_t)t);
	work(NULL);
	for (int t = 1; t < s.threads; t++)
		pthread_join(thread[t], NULL);
	for (int t = 0; t < s.threads; t++)
		loss += s.loss[t] / s.train;
	qsort(times, (size_t)epochs, sizeof *times, compare);
	getrusage(RUSAGE_SELF, &u);
	printf("{\"ms_per_epoch\": %g, \"loss\": %g, \"peak_bytes\": %ld}\n", times[epochs / 2], loss,
	       u.ru_maxrss * 1024);
	return 0;
}

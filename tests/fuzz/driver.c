/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzing with any compiler: runs a target over files, and over mutations of
 * them that depend on nothing but the seed.  A folder stands for its files.
 *
 *   fuzz_X FILE…                     each file once
 *   fuzz_X --mutate N SEED FILE…     and N mutations, of files in turn
 *   fuzz_X --seconds S SEED FILE…    and mutations for so long
 *   fuzz_X --save OUT N SEED FILE…   write the N-th mutation to OUT and stop
 *
 * An input that ends the program is named by the last line that it prints.
 */
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));
const char *__ubsan_default_options(void);

enum { MAX_BYTES = 1 << 20, MAX_COUNT = 10000 };

struct input {
	uint8_t *p;
	size_t n;
	char *path;
};

/* What is being run, for a message when it ends the program. */
static struct {
	const char *path;
	uint64_t mutation, seed;
	bool mutated;
} now;

static void say_what(void)
{
	char line[512];
	int n;

	if (!now.path)
		return;
	n = now.mutated ? snprintf(line, sizeof line, "# died in mutation %llu of seed %llu, of %s\n",
				   (unsigned long long)now.mutation,
				   (unsigned long long)now.seed, now.path) :
			  snprintf(line, sizeof line, "# died in %s\n", now.path);
	if (n > 0)
		(void)!write(STDOUT_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
	now.path = NULL;
}

static void on_signal(int sig)
{
	say_what();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* UBSan alone would just exit. */
__attribute__((visibility("default"))) const char *__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}

/* A sanitizer has its own handlers and a place to hook in. */
static void watch(void)
{
	static const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTERM };

	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(say_what);
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		if (!__sanitizer_set_death_callback || signals[i] == SIGABRT || signals[i] == SIGTERM)
			signal(signals[i], on_signal);
}

static uint64_t state;

/* SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). */
static uint64_t rnd(void)
{
	uint64_t x = state += 0x9E3779B97F4A7C15ull;

	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
	x = (x ^ x >> 27) * 0x94D049BB133111EBull;
	return x ^ x >> 31;
}

static size_t below(size_t n)
{
	return n ? (size_t)(rnd() % n) : 0;
}

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return p;
}

static struct input read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct input in = { .p = must(malloc(MAX_BYTES)), .path = must(strdup(path)) };

	if (!f) {
		perror(path);
		exit(1);
	}
	in.n = fread(in.p, 1, MAX_BYTES, f);
	if (ferror(f)) {
		perror(path);
		exit(1);
	}
	fclose(f);
	return in;
}

static int shown(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* The file, or those of the folder in order of name, at the end of all[0 … n - 1]. */
static size_t read_path(const char *path, struct input *all, size_t n)
{
	struct dirent **names;
	struct stat st;
	int count;

	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		all[n] = read_file(path);
		return n + 1;
	}
	count = scandir(path, &names, shown, alphasort);
	if (count <= 0 || n + (size_t)count > MAX_COUNT) {
		fprintf(stderr, "%s: no inputs in it, or too many\n", path);
		exit(1);
	}
	for (int i = 0; i < count; i++) {
		char file[4096];

		snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
		all[n++] = read_file(file);
		free(names[i]);
	}
	free(names);
	return n;
}

/* The target gets a copy of exactly n bytes, so that reading past them shows. */
static void run(const struct input *in)
{
	uint8_t *p = must(malloc(in->n ? in->n : 1));

	if (in->n)
		memcpy(p, in->p, in->n);
	LLVMFuzzerTestOneInput(p, in->n);
	free(p);
}

static void cut(struct input *m, size_t at, size_t n)
{
	memmove(m->p + at, m->p + at + n, m->n - at - n);
	m->n -= n;
}

static void insert(struct input *m, size_t at, const uint8_t *p, size_t n)
{
	if (m->n + n > MAX_BYTES)
		return;
	memmove(m->p + at + n, m->p + at, m->n - at);
	memmove(m->p + at, p, n);
	m->n += n;
}

static void mutate_once(struct input *m, const struct input *all, size_t nall)
{
	static const uint8_t odd[] = { 0,    1,    0x7F, 0x80, 0xFF, '"',
				       '\n', '\r', ',',  '0',  '-',  '.' };
	const struct input *other = &all[below(nall)];
	uint8_t bytes[16];
	size_t at = below(m->n + 1), n = 1 + below(16), from;

	switch (below(7)) {
	case 0: /* flip a bit */
		if (at < m->n)
			m->p[at] ^= (uint8_t)(1 << below(8));
		break;
	case 1: /* a byte that means something to someone */
		if (at < m->n)
			m->p[at] = odd[below(sizeof odd)];
		break;
	case 2: /* a small change of a number */
		if (at < m->n)
			m->p[at] = (uint8_t)(m->p[at] + below(9) - 4);
		break;
	case 3: /* delete */
		cut(m, at, n < m->n - at ? n : m->n - at);
		break;
	case 4: /* insert */
		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = below(2) ? odd[below(sizeof odd)] : (uint8_t)rnd();
		insert(m, at, bytes, n);
		break;
	case 5: /* splice a piece of another input in */
		from = below(other->n);
		n = below(other->n - from + 1);
		insert(m, at, other->p + from, n);
		break;
	default: /* truncate */
		if (!below(4))
			m->n = at;
	}
}

static void mutate(struct input *m, const struct input *base, const struct input *all, size_t nall,
		   uint64_t seed, uint64_t i)
{
	state = seed * 0x2545F4914F6CDD1Dull + i;
	memcpy(m->p, base->p, base->n);
	m->n = base->n;
	for (size_t k = 1 + below(4); k; k--)
		mutate_once(m, all, nall);
}

static int save(const char *path, const struct input *m)
{
	FILE *f = fopen(path, "wb");

	if (!f || fwrite(m->p, 1, m->n, f) != m->n || fclose(f)) {
		perror(path);
		return 1;
	}
	return 0;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* `count` mutations, or where that is 0 as many as `limit` seconds allow. */
static uint64_t run_mutations(const struct input *all, size_t n, uint64_t seed, uint64_t count,
			      double limit)
{
	struct input m = { .p = must(malloc(MAX_BYTES)) };
	double start = seconds();
	uint64_t i;

	now.mutated = true;
	now.seed = seed;
	for (i = 0; count ? i < count : seconds() - start < limit; i++) {
		now.path = all[i % n].path;
		now.mutation = i;
		mutate(&m, &all[i % n], all, n, seed, i);
		run(&m);
	}
	now.path = NULL;
	free(m.p);
	return i;
}

static int save_mutation(const char *path, uint64_t i, uint64_t seed, const struct input *all,
			 size_t n)
{
	struct input m = { .p = must(malloc(MAX_BYTES)) };
	int rc;

	mutate(&m, &all[i % n], all, n, seed, i);
	rc = save(path, &m);
	free(m.p);
	return rc;
}

static void run_files(const struct input *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		now.path = all[i].path;
		run(&all[i]);
	}
	now.path = NULL;
}

int main(int argc, char **argv)
{
	bool saves = argc > 5 && strcmp(argv[1], "--save") == 0;
	bool counts = argc > 4 && strcmp(argv[1], "--mutate") == 0;
	bool lasts = argc > 4 && strcmp(argv[1], "--seconds") == 0;
	int first = saves ? 5 : counts || lasts ? 4 : 1, rc = 0;
	struct input *all;
	size_t n = 0;

	if (argc <= first || (argv[1][0] == '-' && first == 1)) {
		fprintf(stderr,
			"usage: %s [--mutate N SEED | --seconds S SEED | --save OUT N SEED] FILE...\n",
			argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	all = must(calloc(MAX_COUNT + (size_t)argc, sizeof *all));
	for (int i = first; i < argc; i++)
		n = read_path(argv[i], all, n);
	watch();
	if (saves) {
		rc = save_mutation(argv[2], strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
				   all, n);
	} else {
		printf("1..%d\n", 1 + (counts || lasts));
		run_files(all, n);
		printf("ok 1 - %zu inputs\n", n);
	}
	if (counts || lasts) {
		uint64_t seed = strtoull(argv[3], NULL, 10);

		printf("# seed %llu\n", (unsigned long long)seed);
		printf("ok 2 - %llu mutations of them\n",
		       (unsigned long long)run_mutations(all, n, seed,
							 counts ? strtoull(argv[2], NULL, 10) : 0,
							 lasts ? strtod(argv[2], NULL) : 0));
	}
	while (n--) {
		free(all[n].p);
		free(all[n].path);
	}
	free(all);
	return rc;
}

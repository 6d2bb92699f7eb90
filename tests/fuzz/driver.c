/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzing with any compiler: runs a target over files, and over mutations of
 * them that depend on nothing but the seed.
 *
 *   fuzz_X FILE…                     each file once
 *   fuzz_X --mutate N SEED FILE…     N mutations, of files in turn
 *   fuzz_X --save OUT N SEED FILE…   write the N-th mutation to OUT and stop
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MAX_INPUT = 1 << 20 };

struct input {
	uint8_t *p;
	size_t n;
};

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
	struct input in = { .p = must(malloc(MAX_INPUT)) };

	if (!f) {
		perror(path);
		exit(1);
	}
	in.n = fread(in.p, 1, MAX_INPUT, f);
	fclose(f);
	return in;
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
	if (m->n + n > MAX_INPUT)
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

int main(int argc, char **argv)
{
	struct input *all, m = { .p = must(malloc(MAX_INPUT)) };
	bool saves = argc > 4 && strcmp(argv[1], "--save") == 0;
	bool mutates = saves || (argc > 4 && strcmp(argv[1], "--mutate") == 0);
	int first = mutates ? 4 + saves : 1;
	size_t n;

	if (argc <= first || (argv[1][0] == '-' && !mutates)) {
		fprintf(stderr, "usage: %s [--mutate N SEED | --save OUT N SEED] FILE...\n",
			argv[0]);
		return 2;
	}
	n = (size_t)(argc - first);
	all = must(calloc(n, sizeof *all));
	for (size_t i = 0; i < n; i++)
		all[i] = read_file(argv[first + (int)i]);
	if (mutates) {
		uint64_t count = strtoull(argv[2 + saves], NULL, 10);
		uint64_t seed = strtoull(argv[3 + saves], NULL, 10);

		for (uint64_t i = saves ? count : 0; i < count + saves; i++) {
			mutate(&m, &all[i % n], all, n, seed, i);
			if (saves)
				return save(argv[2], &m);
			run(&m);
		}
	} else {
		for (size_t i = 0; i < n; i++)
			run(&all[i]);
	}
	for (size_t i = 0; i < n; i++)
		free(all[i].p);
	free(all);
	free(m.p);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * A graph of the size of ogbn-arxiv in FOLDER, the same on every machine: paper.csv (169,343
 * papers: id, label of 40, split), cites.csv (2.3 M edges with self-loops and both directions, of
 * skewed degree) and x.npy (128 features of each paper).
 *
 * usage: make_graph FOLDER
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { PAPERS = 169343, CITES = 1078000, FEATURES = 128, LABELS = 40 };

static uint64_t state = 1;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(((state >> 33) * below) >> 31);
}

static FILE *open_in(const char *folder, const char *name)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	f = fopen(path, "w");
	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

static int close_all(FILE *f)
{
	return ferror(f) | fclose(f);
}

static int write_papers(FILE *f)
{
	fputs("id,label,split\n", f);
	for (uint32_t i = 0; i < PAPERS; i++) {
		uint32_t label = draw(LABELS), split = draw(100);

		fprintf(f, "%" PRIu32 ",%" PRIu32 ",%s\n", i, label,
			split < 54 ? "train" : split < 72 ? "val" : "test");
	}
	return close_all(f);
}

static int write_cites(FILE *f)
{
	fputs("src,dst\n", f);
	for (uint32_t i = 0; i < PAPERS; i++)
		fprintf(f, "%" PRIu32 ",%" PRIu32 "\n", i, i);
	for (uint32_t i = 0; i < CITES; i++) {
		uint32_t a = draw(PAPERS), b = draw(1 + draw(PAPERS)); /* low numbers are cited more */

		fprintf(f, "%" PRIu32 ",%" PRIu32 "\n%" PRIu32 ",%" PRIu32 "\n", a, b, b, a);
	}
	return close_all(f);
}

static int write_features(FILE *f)
{
	char header[118]; /* with the 10 bytes before it a multiple of 64 */
	int n = snprintf(header, sizeof header,
			 "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", PAPERS,
			 FEATURES);

	for (; n < (int)sizeof header; n++)
		header[n] = ' ';
	header[sizeof header - 1] = '\n';
	fwrite("\x93NUMPY\1\0\x76\0", 1, 10, f);
	fwrite(header, 1, sizeof header, f);
	for (uint32_t i = 0; i < PAPERS * FEATURES; i++) {
		float x = (float)draw(2001) / 1000 - 1;

		fwrite(&x, sizeof x, 1, f);
	}
	return close_all(f);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: make_graph FOLDER\n");
		return 2;
	}
	return write_papers(open_in(argv[1], "paper.csv")) ||
	       write_cites(open_in(argv[1], "cites.csv")) ||
	       write_features(open_in(argv[1], "x.npy"));
}

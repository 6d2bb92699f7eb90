/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include "term.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* There is one standard error, and so one meter. */
static struct {
	pthread_mutex_t lock;
	const char *tool;
	unsigned width;
	double begun, last; /* seconds: the program, and the latest line */
	double since;       /* the first report, and the bytes of it: rates count from there */
	uint64_t from;
	bool drawn;
} meter = { .lock = PTHREAD_MUTEX_INITIALIZER };

enum { ERASE_LEN = 4 };
static const char erase_line[ERASE_LEN + 1] = "\r\033[K";

/* 1.5 GB, 12.3 M rows: three digits and a power of a thousand. */
static int amount(char *out, size_t size, double v, const char *unit)
{
	static const char *const powers[] = { "", "k", "M", "G", "T" };
	size_t k = 0;

	for (; v >= 999.5 && k + 1 < sizeof powers / sizeof *powers; k++)
		v /= 1000;
	return snprintf(out, size, "%.*f %s%s", v < 9.995 && k ? 2 : v < 99.95 && k ? 1 : 0, v,
			powers[k], unit);
}

static void time_left(char *out, size_t size, double seconds)
{
	long s = seconds < 1e6 ? lround(seconds) : 1000000;

	if (s < 100)
		snprintf(out, size, "%ld s left", s);
	else
		snprintf(out, size, "%ld:%02ld min left", s / 60, s % 60);
}

/* "rn-scan: 45 %  1.80 GB of 4.00 GB  512 MB/s  4 s left  23.4 M rows" */
static void describe(char *line, size_t size, double now, uint64_t done, uint64_t total,
		     uint64_t rows)
{
	double rate = now > meter.since ? (double)(done - meter.from) / (now - meter.since) : 0;
	char at[32], all[32], speed[32], left[32] = "", count[32];

	amount(count, sizeof count, (double)rows, rows < 1000 ? "rows" : " rows");
	if (!done) {
		snprintf(line, size, "%s: %s", meter.tool, count);
		return;
	}
	amount(at, sizeof at, (double)done, "B");
	amount(all, sizeof all, (double)total, "B");
	amount(speed, sizeof speed, rate, "B/s");
	if (!total) {
		snprintf(line, size, "%s: %s  %s  %s", meter.tool, at, speed, count);
		return;
	}
	if (rate > 0 && total >= done)
		time_left(left, sizeof left, (double)(total - done) / rate);
	snprintf(line, size, "%s: %.0f %%  %s of %s  %s  %s  %s", meter.tool,
		 100 * (double)done / (double)total, at, all, speed, left, count);
}

static void draw(double now, uint64_t done, uint64_t total, uint64_t rows)
{
	char text[256], line[300];
	int n;

	describe(text, sizeof text, now, done, total, rows);
	n = snprintf(line, sizeof line, "%s%.*s", erase_line, (int)meter.width - 1, text);
	(void)!write(STDERR_FILENO, line, (size_t)n);
	meter.last = now;
	meter.drawn = true;
}

/* From any thread; one that finds another at work has nothing to add. */
static void on_progress(void *arg, uint64_t done, uint64_t total, uint64_t rows)
{
	double now;

	(void)arg;
	if (pthread_mutex_trylock(&meter.lock))
		return;
	now = rn_now();
	if (meter.since <= 0 || done < meter.from) { /* or another input */
		meter.since = now;
		meter.from = done;
	}
	if (now - meter.begun >= 1 && now - meter.last >= 0.1)
		draw(now, done, total, rows);
	pthread_mutex_unlock(&meter.lock);
}

void rn_meter_start(struct rn_cli *c)
{
	struct rn_term t = rn_term_of(STDERR_FILENO);

	if (c->quiet || !t.is || t.dumb || (!strcmp(c->output, "-") && isatty(STDOUT_FILENO)))
		return;
	meter.tool = c->tool->name;
	meter.width = t.width;
	meter.begun = rn_now();
	c->ctx.progress = on_progress;
}

void rn_meter_erase(void)
{
	pthread_mutex_lock(&meter.lock);
	if (meter.drawn)
		(void)!write(STDERR_FILENO, erase_line, ERASE_LEN);
	meter.drawn = false;
	pthread_mutex_unlock(&meter.lock);
}

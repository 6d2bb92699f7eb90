/* SPDX-License-Identifier: Apache-2.0
 *
 * What the machine and the control groups (version 1 and 2) leave to a program.
 */
#include "limits.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The number in a file; "max", or no such file: UINT64_MAX. */
static uint64_t number_in(const char *path)
{
	FILE *f = fopen(path, "re");
	unsigned long long n;
	bool found;

	if (!f)
		return UINT64_MAX;
	found = fscanf(f, "%llu", &n) == 1;
	fclose(f);
	return found ? n : UINT64_MAX;
}

/* The limits of a group and of those around it, and of what a container shows as the root. */
static uint64_t group_limit(const char *root, char *group, const char *file)
{
	char path[4096];
	uint64_t limit;

	snprintf(path, sizeof path, "%s/%s", root, file);
	limit = number_in(path);
	while (*group && strcmp(group, "/")) {
		snprintf(path, sizeof path, "%s%s/%s", root, group, file);
		limit = least(limit, number_in(path));
		*strrchr(group, '/') = '\0';
	}
	return limit;
}

/* /proc/self/cgroup: "4:memory:/GROUP" (version 1), "0::/GROUP" (version 2). */
static uint64_t cgroup_limit(void)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	uint64_t limit = UINT64_MAX;
	char line[2048];

	while (f && fgets(line, sizeof line, f)) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!group || group[1] != '/')
			continue;
		*group++ = '\0';
		group[strcspn(group, "\n")] = '\0';
		if (!controllers[1])
			limit = least(limit, group_limit("/sys/fs/cgroup", group, "memory.max"));
		else if (strstr(controllers, "memory"))
			limit = least(limit, group_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
	}
	if (f)
		fclose(f);
	return limit;
}

uint64_t rn_cli_default_mem(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
	uint64_t n = pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_MAX;

	n = least(n, cgroup_limit());
	/* Whole MB, since messages say it. */
	return n == UINT64_MAX ? 0 : n / 4 * 3 >> 20 << 20;
}

void rn_cli_bound_heap(uint64_t mem)
{
	uint64_t map = 32 << 20, trim = 512 << 20;

	if (mem) {
		map = least(map, mem / 256 + (1 << 20));
		trim = least(trim, mem / 16 + (1 << 20));
	}
	mallopt(M_MMAP_THRESHOLD, (int)map);
	mallopt(M_TRIM_THRESHOLD, (int)trim);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "peak.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

/* getrusage(2) begins with what the process had that called exec(2). */
uint64_t rn_peak_memory(uint64_t *others)
{
	uint64_t peak = 0, other = 0, kib;
	FILE *f = fopen("/proc/self/status", "re");
	struct rusage u = { 0 };
	char line[128];

	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "VmHWM: %" SCNu64, &kib) == 1)
			peak = kib * 1024;
		else if (sscanf(line, "RssFile: %" SCNu64, &kib) == 1 ||
			 sscanf(line, "RssShmem: %" SCNu64, &kib) == 1)
			other += kib * 1024;
	}
	if (f)
		fclose(f);
	if (!peak && !getrusage(RUSAGE_SELF, &u))
		peak = (uint64_t)u.ru_maxrss * 1024;
	if (others)
		*others = other;
	return peak;
}

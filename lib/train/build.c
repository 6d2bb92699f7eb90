/* SPDX-License-Identifier: Apache-2.0 */
#include "build.h"

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The NT_GNU_BUILD_ID note in one PT_NOTE segment. */
static const uint8_t *find_note(const uint8_t *p, size_t size, size_t *n)
{
	while (size >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) h;
		size_t name, desc;

		memcpy(&h, p, sizeof h);
		name = ((size_t)h.n_namesz + 3) & ~(size_t)3;
		desc = ((size_t)h.n_descsz + 3) & ~(size_t)3;
		if (size - sizeof h < name || size - sizeof h - name < desc)
			return NULL;
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == 4 &&
		    !memcmp(p + sizeof h, "GNU", 4)) {
			*n = h.n_descsz;
			return p + sizeof h + name;
		}
		p += sizeof h + name + desc;
		size -= sizeof h + name + desc;
	}
	return NULL;
}

/* The first object that dl_iterate_phdr visits is the program itself. */
static int program(struct dl_phdr_info *info, size_t size, void *arg)
{
	char *buf = arg;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		const uint8_t *id;
		size_t n;

		if (h->p_type != PT_NOTE)
			continue;
		id = find_note((const uint8_t *)(info->dlpi_addr + h->p_vaddr), h->p_memsz, &n);
		if (!id)
			continue;
		for (size_t k = 0; k < n && k < (RN_BUILD_ID_SIZE - 1) / 2; k++)
			snprintf(buf + 2 * k, 3, "%02x", id[k]);
		break;
	}
	return 1;
}

const char *rn_build_id(char buf[RN_BUILD_ID_SIZE])
{
	strcpy(buf, "none");
	dl_iterate_phdr(program, buf);
	return buf;
}

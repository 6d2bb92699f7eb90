/* SPDX-License-Identifier: Apache-2.0
 *
 * Part of a buffer, shared or copied; see window.h.
 */
#include "window.h"

#include <string.h>

int rn_buf_window(struct rn_buf *b, const void *from, size_t bytes, const char *what,
		  struct rn_buf **mem, void **at, struct rn_err *e)
{
	if (b && (uintptr_t)from % RN_ALIGN == 0) {
		*mem = rn_buf_ref(b);
		*at = (char *)b->data + ((const char *)from - (const char *)b->data);
		return 0;
	}
	RN_TRY(rn_buf_new_raw(bytes, what, mem, e));
	*at = (*mem)->data;
	if (bytes)
		memcpy(*at, from, bytes);
	memset((char *)*at + bytes, 0, -bytes % RN_ALIGN); /* padding is always zero */
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * The parameter table of a session: every learned tensor by name, in the order
 * in which the programs first asked for it.  Identity is by name only: asking
 * again with the same name gives the same parameter, and another shape is an
 * error that names both stages' shapes.
 */
#ifndef RN_PARAMS_H
#define RN_PARAMS_H

#include "../base/ctx.h"
#include "../expr/emb.h"

struct rn_param {
	char *name;
	uint32_t rank, dim[4];
	size_t count; /* values */
	enum rn_init init;
	double arg;
	uint32_t fan_in, fan_out;
	struct rn_rel *keys; /* a table by key (rn_param_spec): keys of its rows; or NULL */
	float *value; /* host copy [count]; zero until initialised or loaded */
	bool buffer;  /* no parameter to gradients: a running statistic */
	bool loaded;  /* value came from a model or a file: rn_params_init keeps it */
};

struct rn_params {
	uint32_t n;
	size_t cap;
	struct rn_param *items;
	bool frozen; /* asking for a name that is not there is RN_EUSAGE (prediction) */
};

void rn_params_fini(struct rn_params *p);
/* Find or add; *number is its number. */
RN_MUST_CHECK int rn_params_get(struct rn_params *p, const struct rn_param_spec *s,
				uint32_t *number, struct rn_err *e);
long rn_params_find(const struct rn_params *p, const char *name);
/* Initial values as PyTorch defines them, drawn by Philox under the parameter's
 * name and the seed: value (i, j) at row i, column j; row i of a table by key at
 * the XXH64 of its key as text, so that a key's vector does not depend on the other keys. */
RN_MUST_CHECK int rn_params_init(struct rn_params *p, uint64_t seed, struct rn_err *e);
uint64_t rn_params_count(const struct rn_params *p); /* all values */
uint64_t rn_params_learned(const struct rn_params *p); /* those of no buffer */

/* One parameter as a .npy file in a folder, NAME.npy; all of them in and out. */
RN_MUST_CHECK int rn_params_save_npy(const struct rn_params *p, const char *dir, struct rn_err *e);
RN_MUST_CHECK int rn_params_load_npy(struct rn_params *p, const char *dir, struct rn_err *e);

#endif

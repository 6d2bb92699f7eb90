/* SPDX-License-Identifier: Apache-2.0
 *
 * decode: a relation with the column that a pred run makes of its embedding, for what later
 * runs make of that.  Its rows are known when there are parameters: train/late.h makes them,
 * and what rests on it is bound then (rn_plan_late).
 */
#include "op_table.h"
#include "util.h"

#include <string.h>

static const struct rn_opt opts[] = {
	{ .name = "how", .type = RN_OPT_CHOICE, .flags = RN_OPT_POSITIONAL | RN_OPT_REQUIRED,
	  .meta = "HOW", .choices = "label|class|number|binary|value",
	  .help = "the largest logit's label, or its number; the label of the class with that number; "
		  "true where the probability is 1/2 or more; the number itself" },
	{ .name = "as", .type = RN_OPT_STRING, .meta = "NAME", .dflt = "prediction",
	  .help = "name of the column" },
	{ .name = "type", .type = RN_OPT_STRING, .meta = "TYPE", .dflt = "int64",
	  .help = "type of the labels" },
	{ .name = "first", .type = RN_OPT_INT, .meta = "N",
	  .help = "the first N numbers make the column, the others are the embedding" },
	{ .name = "fit", .type = RN_OPT_STRING, .meta = "LOSS",
	  .help = "the loss whose labels they are" },
	{ .name = "fits", .type = RN_OPT_INT, .meta = "N",
	  .help = "with the parameters as they are after so many fits; all of them" },
};

static const char *const examples[] = { NULL };

static bool is(const struct rn_node *n, const char *how)
{
	return !strcmp(rn_node_string(n, "how"), how);
}

static bool is_of_labels(const struct rn_node *n)
{
	return is(n, "label") || is(n, "number");
}

static int check(const struct rn_node *n, bool *learns, struct rn_err *e)
{
	int64_t first = json_object_get(n->opt, "first") ? rn_node_int(n, "first") : 1;
	int64_t fits = json_object_get(n->opt, "fits") ? rn_node_int(n, "fits") : 0;
	enum rn_type t;

	(void)learns;
	if (rn_type_parse(rn_node_string(n, "type"), &t))
		return rn_err_set(e, RN_EUSAGE, "type: no type '%s' (int64, float64, bool, string, timestamp)",
				  rn_node_string(n, "type"));
	if (first < 1 || first >= UINT32_MAX)
		return rn_err_set(e, RN_EUSAGE, "first must be 1 or more, not %lld", (long long)first);
	if (fits < 0 || fits >= UINT32_MAX)
		return rn_err_set(e, RN_EUSAGE, "fits must be 0 or more, not %lld", (long long)fits);
	if (is_of_labels(n) && !rn_node_string(n, "fit"))
		return rn_err_set(e, RN_EUSAGE, "labels want a setting 'fit': the loss whose labels they are");
	return 0;
}

/* Does an embedding of this width make such a column?  0: not known yet. */
static int check_width(const struct rn_node *n, uint32_t width, struct rn_err *e)
{
	bool logits = is(n, "label") || is(n, "class");

	if (width == RN_DIM_UNKNOWN || logits == (width > 1))
		return 0;
	if (logits)
		return rn_err_set(e, RN_EUSAGE, "column '%s' is the class of the largest logit, and there is one "
				  "number", rn_node_string(n, "as"));
	return rn_err_set(e, RN_EUSAGE, "column '%s' is one number, and the embedding has %u",
			  rn_node_string(n, "as"), width);
}

/* The embedding that stays; RN_EUSAGE where the first ones are all of them. */
static int rest(const struct rn_node *n, const struct rn_part_info *z, struct rn_shape *shape,
		struct rn_err *e)
{
	uint32_t width = rn_shape_width(&z->shape), first;

	*shape = z->shape;
	if (!json_object_get(n->opt, "first"))
		return check_width(n, width, e);
	first = (uint32_t)rn_node_int(n, "first");
	if (width != RN_DIM_UNKNOWN && width <= first)
		return rn_err_set(e, RN_EUSAGE, "the first %u numbers make the column, and the embedding has %u",
				  first, width);
	*shape = (struct rn_shape){ .rank = 1 };
	shape->dim[0] = width == RN_DIM_UNKNOWN ? RN_DIM_UNKNOWN : width - first;
	return check_width(n, first, e);
}

static int infer(const struct rn_node *n, const struct rn_schema *const *in, struct rn_schema *out,
		 struct rn_err *e)
{
	enum rn_type type = is(n, "value") ? RN_FLOAT64 : is(n, "binary") ? RN_BOOL : RN_INT64;
	const struct rn_part_info *z = in[0]->parts;
	struct rn_shape shape;

	if (in[0]->nparts != 1 || z->sparse)
		return rn_err_set(e, RN_EUSAGE, "column '%s' is made of one dense embedding, and the relation has "
				  "%zu%s", rn_node_string(n, "as"), in[0]->nparts,
				  in[0]->nparts == 1 ? " that is sparse" : "");
	RN_TRY(rest(n, z, &shape, e));
	if (is_of_labels(n) && rn_type_parse(rn_node_string(n, "type"), &type))
		return rn_err_set(e, RN_EBUG, "a type that was not checked");
	RN_TRY(rn_op_copy_columns(in[0], out, e));
	RN_TRY(rn_schema_add_col(out, rn_node_string(n, "as"), NULL, type, e));
	if (is(n, "binary"))
		RN_TRY(rn_schema_add_col(out, "probability", NULL, RN_FLOAT64, e));
	RN_TRY(rn_op_check_columns(out, e));
	return rn_schema_add_part(out, z->name, &shape, false, e);
}

static int bind(const struct rn_ctx *c, const struct rn_node *n,
		const struct rn_schema *const *schema, const struct rn_rel *const *in, void *state,
		struct rn_rel **out, struct rn_err *e)
{
	(void)c, (void)n, (void)schema, (void)in, (void)state, (void)out;
	return rn_err_set(e, RN_EUSAGE, "a decoded column is made where predictions are written: by rn-train "
			  "and rn-predict");
}

const struct rn_op rn_op_decode = {
	.name = "decode",
	.what = "the column that a prediction makes of the embedding",
	.usage = "HOW",
	.examples = examples,
	.see_also = "rn-train(1), rn-predict(1)",
	.flags = RN_OP_LATE,
	.min_in = 1,
	.max_in = 1,
	RN_OPTS(opts),
	.check = check,
	.infer = infer,
	.bind = bind,
};

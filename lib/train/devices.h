/* SPDX-License-Identifier: Apache-2.0
 *
 * Which devices the stages of a staged placement run on, and how what they share travels.
 *
 * Each stage process opens its own device.  Where all of them and the coordinator are on one,
 * parameters, values and large constants lie in memory of that device, which the coordinator allocates
 * and the stages import.  Where that cannot be exported or imported, or where their devices differ, they
 * lie in the host's memory, which devices then read and write themselves; of constants each stage then
 * has copies.
 */
#ifndef RN_DEVICES_H
#define RN_DEVICES_H

#include "child.h"
#include "fit.h"

/* --device-map: "STAGE=DEVICE". */
struct rn_device_map {
	const char *const *items; /* borrowed */
	size_t n;
};
/* Each is of a stage that some fit runs, and once; RN_EUSAGE with the stages that there are. */
RN_MUST_CHECK int rn_device_map_check(const struct rn_device_map *m, const struct rn_plan *plan,
				      const struct rn_fit *fits, uint32_t nfits, struct rn_err *e);

/* Is some stage given a device that is not b's? */
bool rn_device_map_differs(const struct rn_device_map *m, const struct rn_backend *b);

struct rn_devices {
	uint32_t n;
	struct rn_device {
		const char *name; /* borrowed */
		struct rn_msg_opened opened;
	} *items;       /* of each stage */
	bool any;       /* some stage, or the coordinator, has one that is not the host's */
	bool asked;     /* they were opened before, so that what was imported then has to be now */
	bool imported;  /* all of them take parameters, values and constants by handles */
};
/* For the parts of a cut; the coordinator's is that of b, and the one of whom m does not name.
 * RN_EUSAGE where m gives one part two. */
RN_MUST_CHECK int rn_devices_choose(struct rn_devices *d, const struct rn_device_map *m,
				    const struct rn_plan *plan, const struct rn_cut *cut,
				    const struct rn_backend *b, struct rn_err *e);
/* All stages open theirs.  Regions stay what they are; see `imported`.  constants: zeroed where there
 * are none to share. */
RN_MUST_CHECK int rn_devices_open(struct rn_devices *d, struct rn_children *c,
				  const struct rn_region *params, const struct rn_region *values,
				  const struct rn_region *constants, struct rn_err *e);
/* Process c closes what it imported for the program that comes next: CUDA's memory is not to be freed
 * while another process has it open. */
RN_MUST_CHECK int rn_devices_close(struct rn_child *c, struct rn_err *e);
/* What a stage is told of the memory of a program. */
struct rn_msg_memory rn_devices_memory(const struct rn_region *values,
				       const struct rn_region *constants);
/* What each stage is told of the others: peers[n]. */
void rn_devices_peers(const struct rn_devices *d, struct rn_msg_peer *peers);
/* How stage q has what they share. */
enum rn_transport rn_devices_transport(const struct rn_devices *d, uint32_t q);
void rn_devices_fini(struct rn_devices *d);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * A kernel's blocks, one after the other, their threads as fibres: each has a stack of
 * its own and runs until it waits for others.  A warp runs until all of its lanes wait
 * for the block or have ended, then the next.  As on a device since Volta, a barrier
 * waits for the threads that have not ended.
 */
#include "cuda_runtime.h"
#include "emulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

enum { STACK = 256 << 10, WARP = 32, MAX_THREADS = 1024 };
enum state { FRESH, READY, AT_WARP, AT_BLOCK, ENDED };

/* ---- contexts ------------------------------------------------------------------------------ */

#if defined(__x86_64__)
struct context {
	void *sp;
};
extern "C" void rn_emulate_switch(void **save, void *load);
__asm__(".text\n"
	"rn_emulate_switch:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n"
	"	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n"
	"	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	ret\n");

void context_start(context *c, char *stack, void (*entry)(void))
{
	void **sp = (void **)(stack + STACK);

	*--sp = nullptr; /* entry never returns; its stack is aligned as after a call */
	*--sp = (void *)entry;
	for (int i = 0; i < 6; i++)
		*--sp = nullptr;
	c->sp = sp;
}

void context_switch(context *from, context *to)
{
	rn_emulate_switch(&from->sp, to->sp);
}
#else
struct context {
	ucontext_t u;
};

void context_start(context *c, char *stack, void (*entry)(void))
{
	getcontext(&c->u);
	c->u.uc_stack.ss_sp = stack;
	c->u.uc_stack.ss_size = STACK;
	c->u.uc_link = nullptr;
	makecontext(&c->u, entry, 0);
}

void context_switch(context *from, context *to)
{
	swapcontext(&from->u, &to->u);
}
#endif

/* ---- threads ---------------------------------------------------------------------------------- */

struct thread {
	context at;
	char *stack;
	enum state state;
	uint3 idx;
	enum rn_warp_op op;
	unsigned mask;
	uint64_t value, result;
	int src;
};

/* One kernel runs at a time (runtime.cc holds a lock). */
struct {
	const char *kernel;
	const std::function<void()> *body;
	thread threads[MAX_THREADS];
	unsigned n, at, ended, waiting;
	int votes, voted;
	context scheduler;
	std::vector<char *> stacks; /* that no thread uses */
	void *fake;                 /* ASan's, of the scheduler */
	const void *host_stack;
	size_t host_size;
} run;

[[noreturn]] void fail(const char *why)
{
	const thread *t = &run.threads[run.at];

	fprintf(stderr, "emulated CUDA: %s, block %u,%u,%u, thread %u,%u,%u: %s\n", run.kernel,
		blockIdx.x, blockIdx.y, blockIdx.z, t->idx.x, t->idx.y, t->idx.z, why);
	abort();
}

void begin_switch(void **fake, const void *stack, size_t size)
{
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_start_switch_fiber(fake, stack, size);
#else
	(void)fake, (void)stack, (void)size;
#endif
}

void end_switch(void *fake, const void **stack, size_t *size)
{
#ifdef __SANITIZE_ADDRESS__
	__sanitizer_finish_switch_fiber(fake, stack, size);
#else
	(void)fake, (void)stack, (void)size;
#endif
}

void to_scheduler(thread *t)
{
	void *fake = nullptr;

	begin_switch(t->state == ENDED ? nullptr : &fake, run.host_stack, run.host_size);
	context_switch(&t->at, &run.scheduler);
	end_switch(fake, &run.host_stack, &run.host_size);
}

void entry(void)
{
	thread *t = &run.threads[run.at];

	end_switch(nullptr, &run.host_stack, &run.host_size);
	(*run.body)();
	t->state = ENDED;
	to_scheduler(t);
	abort();
}

char *take_stack(void)
{
	char *s;

	if (!run.stacks.empty()) {
		s = run.stacks.back();
		run.stacks.pop_back();
#ifdef __SANITIZE_ADDRESS__
		__asan_unpoison_memory_region(s, STACK); /* its last thread left without returning */
#endif
		return s;
	}
	s = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s == MAP_FAILED)
		fail("no memory for its stack");
	return s;
}

void resume(unsigned i)
{
	thread *t = &run.threads[i];

	run.at = i;
	threadIdx = t->idx;
	if (t->state == FRESH) {
		t->stack = take_stack();
		context_start(&t->at, t->stack, entry);
	}
	t->state = READY;
	begin_switch(&run.fake, t->stack, STACK);
	context_switch(&run.scheduler, &t->at);
	end_switch(run.fake, nullptr, nullptr);
	if (t->state == ENDED) {
		run.stacks.push_back(t->stack);
		run.ended++;
	}
}

/* ---- warps --------------------------------------------------------------------------------------- */

/* The lanes that thread i waits for, if all of them are there; else 0. */
unsigned group_of(unsigned i)
{
	const thread *t = &run.threads[i];
	unsigned warp = i & ~(WARP - 1u), group = 0;

	if (!(t->mask >> (i % WARP) & 1)) {
		run.at = i;
		fail("its lane is not in the mask that it gives");
	}
	for (unsigned l = 0; l < WARP && warp + l < run.n; l++) {
		const thread *o = &run.threads[warp + l];

		if (!(t->mask >> l & 1) || o->state == ENDED)
			continue;
		if (o->state == AT_BLOCK) {
			run.at = i;
			fail("waits in its warp for a thread that waits for the block");
		}
		if (o->state != AT_WARP)
			return 0;
		if (o->mask != t->mask || o->op != t->op) {
			run.at = i;
			fail("waits in its warp for a thread that waits elsewhere");
		}
		group |= 1u << l;
	}
	return group;
}

uint64_t combine(const thread *warp, unsigned group, enum rn_warp_op op)
{
	uint64_t r = op == RN_WARP_MIN ? UINT32_MAX : 0;

	for (unsigned l = 0; l < WARP; l++) {
		uint64_t x;

		if (!(group >> l & 1))
			continue;
		x = warp[l].value;
		if (op == RN_WARP_BALLOT)
			r |= x << l;
		else if (op == RN_WARP_ADD)
			r = (uint32_t)(r + x);
		else if (op == RN_WARP_MIN)
			r = x < r ? x : r;
		else if (op == RN_WARP_MAX)
			r = x > r ? x : r;
	}
	return r;
}

/* Let a group of the warp that waits go on; false: there is none. */
bool release(unsigned first, unsigned end)
{
	for (unsigned i = first; i < end; i++) {
		thread *warp = &run.threads[first], *t = &run.threads[i];
		unsigned group;
		uint64_t all;

		if (t->state != AT_WARP)
			continue;
		group = group_of(i);
		if (!group)
			continue;
		all = combine(warp, group, t->op);
		for (unsigned l = 0; l < WARP; l++) {
			if (!(group >> l & 1))
				continue;
			warp[l].result = all;
			if (warp[l].op == RN_WARP_READ) {
				if (!(group >> warp[l].src & 1)) {
					run.at = first + l;
					fail("reads a lane that does not take part");
				}
				warp[l].result = warp[warp[l].src].value;
			}
		}
		for (unsigned l = 0; l < WARP; l++)
			if (group >> l & 1)
				warp[l].state = READY;
		return true;
	}
	return false;
}

/* Until all lanes wait for the block or have ended. */
void run_warp(unsigned first, bool down)
{
	unsigned end = first + WARP < run.n ? first + WARP : run.n;

	do
		for (unsigned k = first; k < end; k++) {
			unsigned i = down ? end - 1 - (k - first) : k;

			if (run.threads[i].state <= READY)
				resume(i);
		}
	while (release(first, end));
	for (unsigned i = first; i < end; i++)
		if (run.threads[i].state == AT_WARP) {
			run.at = i;
			fail("waits in its warp for a thread that never comes");
		}
}

void run_block(bool down)
{
	unsigned warps = (run.n + WARP - 1) / WARP;

	for (unsigned i = 0; i < run.n; i++)
		run.threads[i].state = FRESH;
	run.ended = run.waiting = 0;
	run.votes = 0;
	while (run.ended < run.n) {
		for (unsigned w = 0; w < warps; w++)
			run_warp((down ? warps - 1 - w : w) * WARP, down);
		run.voted = run.votes; /* all that are left wait */
		run.votes = 0;
		for (unsigned i = 0; i < run.n; i++)
			if (run.threads[i].state == AT_BLOCK)
				run.threads[i].state = READY;
	}
}

} // namespace

int rn_emulate_lane(void)
{
	return (int)(run.at % WARP);
}

unsigned rn_emulate_alive(void)
{
	unsigned warp = run.at & ~(WARP - 1u), alive = 0;

	for (unsigned l = 0; l < WARP && warp + l < run.n; l++)
		alive |= (run.threads[warp + l].state != ENDED ? 1u : 0u) << l;
	return alive;
}

uint64_t rn_emulate_warp(enum rn_warp_op op, unsigned mask, uint64_t value, int src)
{
	thread *t = &run.threads[run.at];

	t->op = op;
	t->mask = mask;
	t->value = value;
	t->src = src & (WARP - 1);
	t->state = AT_WARP;
	to_scheduler(t);
	return t->result;
}

int rn_emulate_barrier(int predicate)
{
	thread *t = &run.threads[run.at];

	run.votes += predicate != 0;
	t->state = AT_BLOCK;
	to_scheduler(t);
	return run.voted;
}

void rn_emulate_run(const char *name, dim3 grid, dim3 block, const std::function<void()> &body,
		    bool down)
{
	uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;

	run.kernel = name;
	run.body = &body;
	run.n = block.x * block.y * block.z;
	gridDim = grid;
	blockDim = block;
	for (unsigned i = 0; i < run.n; i++)
		run.threads[i].idx = uint3{ i % block.x, i / block.x % block.y,
					    i / (block.x * block.y) };
	for (uint64_t k = 0; k < blocks; k++) {
		uint64_t b = down ? blocks - 1 - k : k;

		blockIdx = uint3{ (unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
				  (unsigned)(b / ((uint64_t)grid.x * grid.y)) };
		run_block(down);
	}
}

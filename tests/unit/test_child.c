/* SPDX-License-Identifier: Apache-2.0
 *
 * What the coordinator says of a stage that is lost.  The stages are this program, too, and do
 * as RN_CHILD says instead of any work: who hangs, who fails, and who answers nonsense.
 */
#include "t.h"

#include "../../lib/op/op.h"
#include "../../lib/plan/plan.h"
#include "../../lib/train/child.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct rn_err err;
static char said[2048]; /* warnings */
static struct rn_stage_status lines[2];
static volatile sig_atomic_t stop;

static void keep(void *arg, enum rn_log_level level, const char *msg)
{
	size_t n = strlen(said);

	(void)arg;
	if (level == RN_LOG_WARN)
		snprintf(said + n, sizeof said - n, "%s\n", msg);
}

static const struct rn_ctx ctx = { .log = keep };

/* ---- a stage ------------------------------------------------------------------------------ */

static void say(const void *data, size_t n)
{
	if (send(3, data, n, MSG_NOSIGNAL) != (ssize_t)n)
		_exit(1);
}

static void say_failed(uint32_t code, const char *text, uint64_t n)
{
	struct rn_msg m = { .magic = RN_MSG_MAGIC, .type = RN_MSG_FAILED, .from = code,
			    .payload = n };

	say(&m, sizeof m);
	say(text, strlen(text));
}

/* The last answer, for a late one some ticks after the other's. */
static int say_bye(bool late)
{
	struct rn_msg m = { .magic = RN_MSG_MAGIC, .type = RN_MSG_DONE, .t = 4096, .device = 8192 };
	struct timespec some = { .tv_nsec = (long)(4 * RN_TICK * 1e9) };

	if (late)
		nanosleep(&some, NULL);
	say(&m, sizeof m);
	return 0;
}

/* Until it is killed, unless it ends by itself. */
static int act(const char *how)
{
	struct rn_msg m = { .magic = RN_MSG_MAGIC, .type = 99 };
	char noise[64];

	while (!strcmp(how, "spin"))
		;
	if (!strcmp(how, "shut"))
		close(3);
	while (!strcmp(how, "shut"))
		pause();
	if (recv(3, &m, sizeof m, MSG_WAITALL) != (ssize_t)sizeof m)
		return 1;
	if (strchr(how, '+') && write(2, "first words\nlast words\n", 23) != 23)
		return 1;
	memset(noise, 0xa5, sizeof noise);
	m.type = 99;
	if (!strncmp(how, "noise", 5))
		say(noise, sizeof noise);
	else if (!strncmp(how, "unknown", 7))
		say(&m, sizeof m);
	else if (!strncmp(how, "memory", 6))
		say_failed(4, "out of memory: 12 bytes for a test", 34);
	else if (!strncmp(how, "device", 6))
		say_failed(5, "the device is gone", 18);
	else if (!strncmp(how, "endless", 7))
		say_failed(4, "", 1ull << 40);
	else if (!strncmp(how, "code", 4))
		say_failed(99, "no such code", 12);
	else if (!strncmp(how, "part", 4))
		say(&m, 10);
	if (strstr(how, "bye"))
		return say_bye(!strncmp(how, "late", 4));
	if (!strncmp(how, "part", 4))
		return 3;
	for (;;)
		pause();
}

/* ---- the coordinator ---------------------------------------------------------------------- */

static struct rn_plan plan;
static struct rn_children children;

/* Two processes that do so: one of two nodes, and one of one.  "this, that": not both the same. */
static void begin(const char *how, bool devices, double timeout)
{
	static char called[3][8] = { "h", "drop", "out" };
	static struct rn_node nodes[3] = { { .name = called[0] }, { .name = called[1] },
					   { .name = called[2] } };
	static const uint32_t all[] = { 0, 1, 2 };
	static struct rn_cut_part parts[] = { { .nnodes = 2, .nodes = all, .name = "h, drop" },
					      { .nnodes = 1, .nodes = all + 2, .name = "out" } };
	static const struct rn_cut cut = { .nparts = 2, .parts = parts };

	nodes[0].op = nodes[2].op = rn_op_find("linear");
	nodes[1].op = rn_op_find("map");
	plan = (struct rn_plan){ .nodes = nodes, .nnodes = 3 };
	children = (struct rn_children){ .ctx = &ctx, .plan = &plan, .timeout = timeout,
					 .stop = &stop, .devices = devices };
	memset(lines, 0, sizeof lines);
	*said = '\0';
	T_CALL(rn_children_init(&children, &cut, &err), &err);
	for (uint32_t q = 0; q < 2; q++) {
		setenv("RN_CHILD", q && strstr(how, ", ") ? strstr(how, ", ") + 2 : how, 1);
		T_CALL(rn_child_start(&children.items[q], "/proc/self/exe", &err), &err);
		children.items[q].status = &lines[q];
	}
}

static int ask(uint32_t q)
{
	struct rn_msg m = { .type = RN_MSG_SAVE }, answer;

	T_CALL(rn_child_ask(&children.items[q], "a checkpoint", &m, NULL, NULL, &err), &err);
	return rn_child_hear(&children.items[q], &answer, &err);
}

/* Is the message this one, where %d is that of process q?  It is then shown. */
static bool says(uint32_t q, const char *text)
{
	char want[600];
	bool same;

	snprintf(want, sizeof want, text, (int)children.items[q].was);
	same = !strcmp(err.msg, want);
	if (!same)
		printf("# not: %s\n", want);
	return same;
}

static bool runs(uint32_t q)
{
	return children.items[q].pid && !kill(children.items[q].pid, 0);
}

/* Stage 0 answers so. */
static void test_answer(const char *how, int code, bool lost, const char *text)
{
	begin(how, false, 20);
	lines[0].at = 2;
	T_OK(ask(0) == code && says(0, text), "%s: %s", how, err.msg);
	T_OK(children.lost == lost && runs(0) == !lost && runs(1), "%s: it is %s", how,
	     lost ? "lost, and nobody else" : "not lost");
	rn_children_fini(&children);
}

#define WHO "stage 'h, drop' (several, process %d) "
#define WHERE " in 'drop' (map), a checkpoint"

static void test_answers(void)
{
	test_answer("noise", RN_EIO, true, WHO "does not answer properly" WHERE
		    ": the other process does not speak this protocol");
	test_answer("noise+", RN_EIO, true, WHO "does not answer properly" WHERE
		    ": the other process does not speak this protocol (it wrote: last words)");
	test_answer("unknown", RN_EIO, true,
		    WHO "does not answer properly" WHERE ": there is no such answer");
	test_answer("endless", RN_EIO, true,
		    WHO "does not answer properly" WHERE ": it says that it failed, and not why");
	test_answer("code", RN_EIO, true,
		    WHO "does not answer properly" WHERE ": it says that it failed, and not why");
	test_answer("part+", RN_EIO, true, WHO "ended with exit code 3" WHERE " (it wrote: last words)");
	test_answer("memory", RN_ENOMEM, true,
		    WHO "failed" WHERE ": out of memory: 12 bytes for a test");
	test_answer("device+", RN_EDEV, false,
		    WHO "failed" WHERE ": the device is gone (it wrote: last words)");
	/* All that it wrote, and once. */
	T_OK(!strcmp(said, "stage 'h, drop' says: first words\nstage 'h, drop' says: last words\n"),
	     "its words are told once");
}

/* It runs on without its link.  The message does not end as that of a closed output does, which
 * programs do not show. */
static void test_shut(void)
{
	struct rn_msg m = { .type = RN_MSG_SAVE };
	struct rn_child *c;

	begin("shut", false, 20);
	c = &children.items[0];
	for (int i = 0; i < 60000 && !c->link->ops->waits(c->link); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	T_OK(rn_child_ask(c, "a checkpoint", &m, NULL, NULL, &err) == RN_EIO &&
		     says(0, "stage 'h, drop' (several, process %d) hung up during a checkpoint "
			     "(cannot send to the other process: Broken pipe)"), "%s", err.msg);
	rn_children_fini(&children);
}

/* The other one has written something, too, and is ended with the first. */
static void test_words_of_others(void)
{
	struct rn_msg m = { .type = RN_MSG_SAVE };
	char text[2];

	begin("sleep+", false, 20);
	T_CALL(rn_child_ask(&children.items[1], "a checkpoint", &m, NULL, NULL, &err), &err);
	for (int i = 0; i < 2000 && pread(children.items[1].err, text, 1, 22) < 1; i++)
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	rn_children_fini(&children);
	T_OK(!strcmp(said, "stage 'out' says: first words\nstage 'out' says: last words\n"),
	     "what one wrote that is ended with others is told");
}

/* A pass in which stage 0 has that work, until somebody is lost. */
static int pass_with(uint64_t ready)
{
	struct timespec tick = { .tv_nsec = (long)(RN_TICK * 1e9) };
	int rc = 0;

	rn_children_begin(&children, "the forward pass", 3);
	lines[0].ready = ready;
	for (int i = 0; i < 400 && !rc; i++) {
		nanosleep(&tick, NULL);
		rc = rn_children_watch(&children, &err);
	}
	return rc;
}

static int pass(void)
{
	return pass_with(1);
}

/* A pass in which stage 0 hangs and the other is stopped for most of each tick, computing in between. */
static int pass_stopping(void)
{
	struct timespec tick = { .tv_nsec = (long)(RN_TICK * 1e9) }, some = { .tv_nsec = 2000000 };
	siginfo_t stopped;
	int rc = 0;

	rn_children_begin(&children, "the forward pass", 3);
	lines[0].ready = 1;
	for (int i = 0; i < 400 && !rc; i++) {
		kill(children.items[1].pid, SIGCONT);
		nanosleep(&some, NULL);
		kill(children.items[1].pid, SIGSTOP);
		(void)waitid(P_PID, (id_t)children.items[1].pid, &stopped, WSTOPPED); /* on a loaded machine */
		nanosleep(&tick, NULL);
		rc = rn_children_watch(&children, &err);
	}
	return rc;
}

/* Both sleep; who is to blame that stage 0 does not end its work? */
static void test_hangs(void)
{
	begin("sleep+", false, 0.2);
	lines[0].at = 1;
	T_OK(pass() == RN_EIO && says(0, WHO "has not answered for 0.2 s in 'h' (linear), the "
				      "forward pass of epoch 3 (--stage-timeout)") && children.lost,
	     "one that hangs: %s", err.msg);
	rn_children_fini(&children);

	begin("sleep+", false, 0.2);
	kill(children.items[1].pid, SIGSTOP);
	T_OK(pass() == RN_EIO && !strncmp(err.msg, "stage 'h, drop' (", 17) && runs(1),
	     "on the host it waits for nobody who has nothing to do: %s", err.msg);
	rn_children_fini(&children);

	begin("sleep", true, 0.2);
	kill(children.items[1].pid, SIGSTOP);
	T_OK(pass() == RN_EIO && says(1, "stage 'out' (linear, process %d) has been stopped for 0.2 "
				      "s during the forward pass of epoch 3 (--stage-timeout)") &&
		     runs(0) && !runs(1),
	     "on a device it may wait for who is stopped: %s", err.msg);
	rn_children_fini(&children);

	begin("spin", true, 0.2);
	kill(children.items[1].pid, SIGSTOP);
	T_OK(pass() == RN_EIO && says(1, "stage 'out' (linear, process %d) has been stopped for 0.2 "
				      "s during the forward pass of epoch 3 (--stage-timeout)"),
	     "also where the wait keeps a processor busy: %s", err.msg);
	rn_children_fini(&children);

	begin("sleep", true, 0.2);
	kill(children.items[1].pid, SIGSTOP);
	T_OK(ask(0) == RN_EIO && says(1, "stage 'out' (linear, process %d) has been stopped for 0.2 "
				      "s (--stage-timeout)") && runs(0),
	     "and where it is asked: %s", err.msg);
	rn_children_fini(&children);

	begin("sleep, spin", true, 0.2);
	T_OK(pass_stopping() == RN_EIO && says(0, WHO "has not answered for 0.4 s during the forward pass of "
					       "epoch 3 (--stage-timeout)") && !runs(0) && runs(1),
	     "one that is stopped again and again hides nobody: %s", err.msg);
	rn_children_fini(&children);

	begin("sleep+", false, 0.2);
	T_OK(ask(0) == RN_EIO && says(0, WHO "has not answered for 0.2 s during a checkpoint "
				      "(--stage-timeout) (it wrote: last words)") &&
		     strstr(said, "stage 'h, drop' says: first words\n"),
	     "one that hangs has written: %s", err.msg);
	rn_children_fini(&children);

	stop = 1;
	begin("sleep", true, 0);
	kill(children.items[1].pid, SIGSTOP);
	T_OK(pass() == RN_EIO && says(1, "stage 'out' (linear, process %d) has been stopped for 2 s "
				      "during the forward pass of epoch 3 (the training is to end)"),
	     "and where the training is to end: %s", err.msg);
	rn_children_fini(&children);
	stop = 0;
}

/* Who has answered and is gone while another one takes its time is not lost, and neither is what
 * either of them says. */
static void test_end(void)
{
	begin("bye", false, 20);
	setenv("RN_CHILD", "late bye", 1);
	T_CALL(rn_child_start(&children.items[0], "/proc/self/exe", &err), &err);
	children.items[0].status = &lines[0];
	rn_children_stop(&children);
	for (uint32_t q = 0; q < 2; q++)
		T_OK(children.items[q].peak.host == 4096 && children.items[q].peak.device == 8192 &&
			     !children.items[q].pid, "stage %u has ended, and its last answer is heard", q);
	T_OK(!*said, "nobody complains%s%s", *said ? ": " : "", said);
	rn_children_fini(&children);
}

/* A stage that failed is heard once: the next pass is not taken for one that failed, too. */
static void test_failed_pass(void)
{
	static _Alignas(64) char room[sizeof(struct rn_board) + sizeof lines];
	struct rn_board *b = (struct rn_board *)(void *)room;

	rn_board_fail(b, 1);
	T_OK(b->failed == 2, "the board says who failed");
	rn_board_abort(b);
	T_OK(!b->failed, "until the pass is given up");
}

#define SPOILED ": some stage has written over the board that all of them share; train with " \
		"--placement fused"

/* Somebody wrote over the board: that is told, without a limit on who does not answer, too. */
static void test_wild(void)
{
	begin("unknown", false, 0);
	T_OK(pass_with(0) == RN_EBUG && !children.lost &&
		     says(0, "the forward pass of epoch 3: it has not ended, and no stage has work" SPOILED),
	     "nobody has work, and the pass has not ended: %s", err.msg);
	rn_children_begin(&children, "a validation", 0);
	T_OK(rn_children_failed(&children, UINT32_MAX - 1, &err) == RN_EBUG &&
		     says(0, "a validation: a stage is said to have failed that there is not" SPOILED),
	     "none of them failed: %s", err.msg);
	T_OK(rn_children_failed(&children, 0, &err) == RN_EBUG &&
		     says(0, "a validation: a stage is said to have failed that has not" SPOILED),
	     "one failed that has nothing to say: %s", err.msg);
	memset(lines, 0xa5, sizeof lines);
	rn_children_begin(&children, "the forward pass", 3);
	T_OK(!rn_children_watch(&children, &err) && runs(0) && runs(1),
	     "lines that were written over are no matter");
	rn_children_fini(&children);
}

int main(int argc, char **argv)
{
	const char *how = getenv("RN_CHILD");

	if (argc == 3 && !strcmp(argv[1], "--stage"))
		return act(how ? how : "");
	test_answers();
	test_shut();
	test_words_of_others();
	test_hangs();
	test_end();
	test_failed_pass();
	test_wild();
	return t_done();
}

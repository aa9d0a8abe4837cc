/* D-22: it queues a callback of RCU, and never waits for it. */
#include "drivers/broken/broken.h"

struct rcu_head {
	void *next;
	void (*call)(struct rcu_head *head);
};
extern void urcu_bp_call_rcu(struct rcu_head *head, void (*call)(struct rcu_head *head));

static struct rcu_head head;
static void call(struct rcu_head *of)
{
	(void)of;
}

static int submit(void *state, struct ufence_job *job)
{
	if (job->opcode == 99)
		urcu_bp_call_rcu(&head, call);
	return broken_submit(state, job);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("queues_rcu", 0, &ops);

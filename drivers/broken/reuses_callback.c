/* D-17: registers a callback that is registered already. A job's memory gets what the host says. */
#include "drivers/broken/broken.h"

static struct ufence_callback node;
static int64_t answer;

static void ran(struct ufence_callback *self, struct ufence_fence *fence)
{
	(void)self;
	(void)fence;
}

static int submit(void *state, struct ufence_job *job)
{
	const struct broken_args *args = broken_args_of(job);
	if (args != NULL && args->memory != NULL)
		*args->memory = (uint64_t)answer;
	return broken_submit(state, job);
}

static int observe(void *state, struct ufence_fence *fence)
{
	(void)state;
	node.fn = ran;
	answer = broken.host->callback_add(broken.device, fence, &node);
	return 0;
}

static const struct ufence_device_ops ops = {
	.size = sizeof(ops), .submit = submit, .observe = observe
};

BROKEN_DRIVER("reuses_callback", UFENCE_F_OBSERVE, &ops);

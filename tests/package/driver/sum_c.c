/* A driver in C: adds two numbers and completes the job before submit() returns. */
#include <errno.h>
#include <ufence/driver.h>

#include "sum.h"

static const struct ufence_host *host;

static int submit(void *state, struct ufence_job *job)
{
	struct sum_args *args = job->args;

	(void)state;
	if (job->opcode != SUM_OPCODE || job->args_size < sizeof(*args))
		return -EINVAL;
	*args->sum = args->a + args->b;
	host->signal(job, 0);
	return 0;
}

static int init(const struct ufence_host *given, struct ufence_device *device, void **state)
{
	(void)device;
	if (given->size < sizeof(*given) || given->abi_version != UFENCE_ABI_VERSION)
		return -EPROTO;
	host = given;
	*state = 0;
	return 0;
}

static void nothing(void *state)
{
	(void)state;
}

static const struct ufence_device_ops ops = {
	.size = sizeof(ops),
	.submit = submit,
};

UFENCE_DRIVER = {
	.size = sizeof(struct ufence_driver),
	.abi_version = UFENCE_ABI_VERSION,
	.name = "sum_c",
	.description = "adds two numbers, in C",
	.ops = &ops,
	.init = init,
	.stop = nothing,
	.exit = nothing,
};

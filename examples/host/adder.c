/* A driver in C that completes each job at once. */
#include <errno.h>
#include <ufence/driver.h>

#include "job.h"

static const struct ufence_host *host;

static int submit(void *state, struct ufence_job *job)
{
	struct job_args *args = job->args;

	(void)state;
	if (job->args_size < sizeof(*args))
		return -EINVAL;
	*args->result = *args->a + *args->b;
	host->signal(job, 0);
	return 0;
}

static int init(const struct ufence_host *given, struct ufence_device *device, void **state)
{
	(void)device;
	(void)state;
	host = given;
	return 0;
}

static void nothing(void *state)
{
	(void)state;
}

static const struct ufence_device_ops ops = {.size = sizeof(ops), .submit = submit};

UFENCE_DRIVER = {
	.size = sizeof(struct ufence_driver),
	.abi_version = UFENCE_ABI_VERSION,
	.name = "adder",
	.description = "adds two numbers",
	.ops = &ops,
	.init = init,
	.stop = nothing,
	.exit = nothing,
};

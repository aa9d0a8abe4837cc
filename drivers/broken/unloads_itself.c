/* D-20: asks for its own unload, through what a job brings it. */
#include "drivers/broken/broken.h"

static int submit(void *state, struct ufence_job *job)
{
	const struct broken_args *args = broken_args_of(job);
	if (args != NULL && args->call != NULL)
		args->call(args->call_argument);
	return broken_submit(state, job);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("unloads_itself", 0, &ops);

/* D-8: its thread does not end when stop() was called, but when the gate opens. */
#include "drivers/broken/broken.h"

static void run(void *arg)
{
	broken_wait(arg);
}

static int submit(void *state, struct ufence_job *job)
{
	const struct broken_args *args = broken_args_of(job);
	if (args != NULL && args->gate != NULL)
		broken.host->thread_start(broken.device, "stays", run, args->gate);
	return broken_submit(state, job);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("leaves_thread", 0, &ops);

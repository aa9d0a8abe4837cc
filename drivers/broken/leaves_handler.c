/* D-21: a job sets a signal handler, and nobody puts the old one back. */
#include <signal.h>

#include "drivers/broken/broken.h"

static void handle(int signal)
{
	(void)signal;
}

static int submit(void *state, struct ufence_job *job)
{
	signal(SIGUSR2, handle);
	return broken_submit(state, job);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("leaves_handler", 0, &ops);

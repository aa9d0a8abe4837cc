/* D-24: it ends a thread that is its caller's. */
#include <pthread.h>

#include "drivers/broken/broken.h"

static int submit(void *state, struct ufence_job *job)
{
	if (job->opcode == 1)
		pthread_exit(NULL);
	return broken_submit(state, job);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("exits_thread", 0, &ops);

/* D-13: starts a thread that the host does not know of. */
#include <pthread.h>

#include "drivers/broken/broken.h"

static void *run(void *arg)
{
	return arg;
}

static int submit(void *state, struct ufence_job *job)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, run, NULL) == 0)
		pthread_detach(thread);
	return broken_submit(state, job);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("imports_pthread_create", 0, &ops);

/* D-5: decides a copy of its job, which is no job. */
#include "drivers/broken/broken.h"

static int submit(void *state, struct ufence_job *job)
{
	struct ufence_job copy = *job;
	broken.host->signal(&copy, 0);
	return broken_submit(state, job);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("decides_copy", 0, &ops);

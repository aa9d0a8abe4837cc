/* D-5: decides a job, and then again, with another result. */
#include <errno.h>

#include "drivers/broken/broken.h"

static int submit(void *state, struct ufence_job *job)
{
	(void)state;
	broken.host->signal(job, 0);
	broken.host->signal(job, -EIO);
	return 0;
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("signals_twice", 0, &ops);

/* D-6: writes to the arguments of a job that it has decided. */
#include <string.h>

#include "drivers/broken/broken.h"

static int submit(void *state, struct ufence_job *job)
{
	(void)state;
	void *args = job->args;
	const uint64_t size = job->args_size;
	broken.host->signal(job, 0);
	memset(args, 0xee, size);
	return 0;
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("touches_after", 0, &ops);

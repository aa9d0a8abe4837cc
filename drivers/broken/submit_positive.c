/* D-16: submit() refuses with an errno value of the wrong sign. */
#include <errno.h>

#include "drivers/broken/broken.h"

static int submit(void *state, struct ufence_job *job)
{
	(void)state;
	(void)job;
	return EBUSY;
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("submit_positive", 0, &ops);

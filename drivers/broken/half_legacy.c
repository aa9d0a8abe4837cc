/* D-19: a legacy driver with a lock, but without wait and release. */
#include "drivers/broken/broken.h"

static void lock(void *state, struct ufence_job *job)
{
	(void)state;
	(void)job;
}

static const struct ufence_device_ops ops = {
	.size = sizeof(ops), .submit = broken_submit, .lock = lock, .unlock = lock
};

BROKEN_DRIVER("half_legacy", UFENCE_F_LEGACY, &ops);

/* D-5, D-12: decides no job, not even when asked to cancel, or to stop. */
#include "drivers/broken/broken.h"

static int submit(void *state, struct ufence_job *job)
{
	(void)state;
	(void)job;
	return 0;
}

static void cancel(void *state, struct ufence_job *job)
{
	(void)state;
	(void)job;
}

static const struct ufence_device_ops ops = {
	.size = sizeof(ops), .submit = submit, .cancel = cancel
};

BROKEN_DRIVER("never_decides", UFENCE_F_CANCEL, &ops);

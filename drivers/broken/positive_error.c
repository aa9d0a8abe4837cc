/* D-16: ends a job with an errno value of the wrong sign. */
#include <errno.h>

#include "drivers/broken/broken.h"

static int submit(void *state, struct ufence_job *job)
{
	(void)state;
	broken.host->signal(job, EIO);
	return 0;
}

static void cancel(void *state, struct ufence_job *job)
{
	(void)state;
	broken.host->signal(job, -ECANCELED);
}

static const struct ufence_device_ops ops = {
	.size = sizeof(ops), .submit = submit, .cancel = cancel
};

BROKEN_DRIVER("positive_error", UFENCE_F_CANCEL, &ops);

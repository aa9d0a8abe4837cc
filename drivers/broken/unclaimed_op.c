/* D-3: has a poll op, does not promise UFENCE_F_POLL. */
#include "drivers/broken/broken.h"

static int poll(void *state, struct ufence_job *job)
{
	(void)state;
	(void)job;
	return 1;
}

static const struct ufence_device_ops ops = {
	.size = sizeof(ops), .submit = broken_submit, .poll = poll
};

BROKEN_DRIVER("unclaimed_op", 0, &ops);

/* D-3: a timeline whose jobs have ops of their own. */
#include "drivers/broken/broken.h"

static int enable_signaling(void *state, struct ufence_job *job)
{
	(void)state;
	(void)job;
	return 1;
}

static const struct ufence_device_ops ops = {
	.size = sizeof(ops), .submit = broken_submit, .enable_signaling = enable_signaling
};

BROKEN_DRIVER("mixed_features", UFENCE_F_TIMELINE | UFENCE_F_ENABLE, &ops);

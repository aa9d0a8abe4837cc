/* D-10: enable_signaling() links the job in a list of the driver; retire() leaves it there, and the
   next job that is linked touches it. */
#include "drivers/broken/broken.h"

/* The list goes through driver_private[0]; its end is the job linked last. */
static struct ufence_job *linked_last;

static int submit(void *state, struct ufence_job *job)
{
	(void)state;
	(void)job;
	return 0;
}

static int enable_signaling(void *state, struct ufence_job *job)
{
	(void)state;
	if (linked_last != NULL)
		linked_last->driver_private[0] = job;
	linked_last = job;
	return 1;
}

static void retire(void *state, struct ufence_job *job)
{
	(void)state;
	(void)job;
}

static const struct ufence_device_ops ops = {
	.size = sizeof(ops), .submit = submit, .enable_signaling = enable_signaling,
	.retire = retire
};

BROKEN_DRIVER("late_link", UFENCE_F_ENABLE | UFENCE_F_RETIRE, &ops);

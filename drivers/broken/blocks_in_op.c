/* D-15: its poll op does not return before the gate opens. */
#include <errno.h>

#include "drivers/broken/broken.h"

static int submit(void *state, struct ufence_job *job)
{
	(void)state;
	(void)job;
	return 0;
}

static int poll(void *state, struct ufence_job *job)
{
	(void)state;
	const struct broken_args *args = broken_args_of(job);
	const uint32_t *gate = args != NULL ? args->gate : NULL;
	if (gate != NULL) {
		/* From here on the job may be cancelled: its arguments are not looked at again. */
		broken_tell(args->begun);
		broken_wait(gate);
	}
	return 1;
}

static void cancel(void *state, struct ufence_job *job)
{
	(void)state;
	broken.host->signal(job, -ECANCELED);
}

static const struct ufence_device_ops ops = {
	.size = sizeof(ops), .submit = submit, .poll = poll, .cancel = cancel
};

BROKEN_DRIVER("blocks_in_op", UFENCE_F_POLL | UFENCE_F_CANCEL, &ops);

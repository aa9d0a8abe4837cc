/* D-18: completes jobs that it was never given. */
#include <errno.h>

#include "drivers/broken/broken.h"

static int submit(void *state, struct ufence_job *job)
{
	(void)state;
	struct ufence_settlement later = UFENCE_SETTLEMENT_INIT;
	broken.host->decide_up_to(broken.device, job->seqno + 1000, &later);
	broken.host->settle(&later);
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

BROKEN_DRIVER("completes_beyond", UFENCE_F_TIMELINE | UFENCE_F_CANCEL, &ops);

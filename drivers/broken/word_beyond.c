/* D-18: its device word is beyond the last job. */
#include <errno.h>

#include "drivers/broken/broken.h"

static volatile uint32_t word;

static int init(const struct ufence_host *host, struct ufence_device *device, void **state)
{
	broken_init(host, device, state);
	return host->device_word(device, &word);
}

static int submit(void *state, struct ufence_job *job)
{
	(void)state;
	struct ufence_settlement later = UFENCE_SETTLEMENT_INIT;
	__atomic_store_n(&word, (uint32_t)job->seqno + 1000, __ATOMIC_SEQ_CST);
	broken.host->decide_notify(broken.device, &later);
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

UFENCE_DRIVER = BROKEN_TABLE("word_beyond", UFENCE_F_TIMELINE | UFENCE_F_CANCEL, &ops, init,
			     broken_stop, broken_exit);

/* D-23: it calls what the runtime of a sanitizer has, which no program of ours is built with. */
#include "drivers/broken/broken.h"

extern void __hwasan_init(void);

static int submit(void *state, struct ufence_job *job)
{
	if (job->opcode == 99)
		__hwasan_init();
	return broken_submit(state, job);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("wrong_sanitizer", 0, &ops);

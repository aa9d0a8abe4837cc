/* D-13: a timer that calls back on a thread of the C library. */
#include <signal.h>
#include <time.h>

#include "drivers/broken/broken.h"

static void ring(union sigval value)
{
	(void)value;
}

static int submit(void *state, struct ufence_job *job)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD };
	event.sigev_notify_function = ring;
	timer_t timer;
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0)
		timer_delete(timer);
	return broken_submit(state, job);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

BROKEN_DRIVER("imports_timer_create", 0, &ops);

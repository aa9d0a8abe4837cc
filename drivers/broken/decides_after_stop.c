/* D-9: stop() returns while a job is in flight; a thread decides it when the gate opens. */
#include "drivers/broken/broken.h"

static struct ufence_job *in_flight;
static uint32_t *gate, *stopped;

static void run(void *arg)
{
	(void)arg;
	broken_wait(gate);
	broken.host->signal(in_flight, 0);
}

static int submit(void *state, struct ufence_job *job)
{
	const struct broken_args *args = broken_args_of(job);
	if (args == NULL || args->gate == NULL || in_flight != NULL)
		return broken_submit(state, job);
	in_flight = job;
	gate = args->gate;
	stopped = args->begun;
	return broken.host->thread_start(broken.device, "in flight", run, NULL);
}

static void stop(void *state)
{
	(void)state;
	broken_tell(stopped);
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = submit };

UFENCE_DRIVER = BROKEN_TABLE("decides_after_stop", 0, &ops, broken_init, stop, broken_exit);

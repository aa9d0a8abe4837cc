/* D-4: init() fails, but leaves a thread, which ends when the gate opens. The gate is a file: what
   UFENCE_BROKEN_GATE names. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "drivers/broken/broken.h"

static void run(void *arg)
{
	(void)arg;
	const char *gate = getenv("UFENCE_BROKEN_GATE");
	while (gate != NULL && access(gate, F_OK) != 0)
		sched_yield();
}

static int init(const struct ufence_host *host, struct ufence_device *device, void **state)
{
	broken_init(host, device, state);
	host->thread_start(device, "stays", run, NULL);
	return -ENODEV;
}

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

UFENCE_DRIVER = BROKEN_TABLE("init_leaves_thread", 0, &ops, init, broken_stop, broken_exit);

/* D-16: init() returns an errno value with the wrong sign. */
#include <errno.h>

#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

static int init(const struct ufence_host *host, struct ufence_device *device, void **state)
{
	(void)host;
	(void)device;
	(void)state;
	return ENODEV;
}

UFENCE_DRIVER = BROKEN_TABLE("init_positive", 0, &ops, init, broken_stop, broken_exit);

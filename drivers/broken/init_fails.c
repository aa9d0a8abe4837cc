/* Not broken, but refused: init() says that there is no such device (D-4). */
#include <errno.h>

#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

static int init(const struct ufence_host *host, struct ufence_device *device, void **state)
{
	(void)host;
	(void)device;
	(void)state;
	return -ENODEV;
}

UFENCE_DRIVER = BROKEN_TABLE("init_fails", 0, &ops, init, broken_stop, broken_exit);

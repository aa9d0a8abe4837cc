/* D-1: says that its table is smaller than this version's. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

UFENCE_DRIVER = {
	.size = offsetof(struct ufence_driver, stop), .abi_version = UFENCE_ABI_VERSION,
	.features = 0, .name = "small_table", .timeline = NULL, .description = NULL, .ops = &ops,
	.init = broken_init, .stop = broken_stop, .exit = broken_exit
};

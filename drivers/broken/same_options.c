/* D-3: two options of one name. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };
static const struct ufence_option options[] = {
	{ .name = "size", .value = "1" },
	{ .name = "size", .value = "2" },
};

UFENCE_DRIVER = {
	.size = sizeof(struct ufence_driver), .abi_version = UFENCE_ABI_VERSION, .name = "same_options",
	.ops = &ops, .init = broken_init, .stop = broken_stop, .exit = broken_exit,
	.options_count = 2, .options = options,
};

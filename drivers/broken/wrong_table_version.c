/* D-1: the note is of this ABI version, the table is of another. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

UFENCE_DRIVER = {
	.size = sizeof(struct ufence_driver), .abi_version = UFENCE_ABI_VERSION + 98,
	.features = 0, .name = "wrong_table_version", .timeline = NULL, .description = NULL,
	.ops = &ops, .init = broken_init, .stop = broken_stop, .exit = broken_exit
};

/* D-3: cannot be stopped. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

UFENCE_DRIVER = BROKEN_TABLE("no_stop", 0, &ops, broken_init, NULL, broken_exit);

/* D-3: has no name. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

BROKEN_DRIVER(NULL, 0, &ops);

/* D-3: cannot be given a job. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops) };

BROKEN_DRIVER("no_submit", 0, &ops);

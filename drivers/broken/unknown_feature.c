/* D-3: promises a feature that nobody knows. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

BROKEN_DRIVER("unknown_feature", UFENCE_F_ALL + 1, &ops);

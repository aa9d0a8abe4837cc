/* D-3: promises UFENCE_F_CANCEL, has no cancel. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

BROKEN_DRIVER("missing_op", UFENCE_F_CANCEL, &ops);

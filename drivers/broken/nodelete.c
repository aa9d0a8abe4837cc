/* D-14: linked with -z nodelete: it could never be unmapped. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

BROKEN_DRIVER("nodelete", 0, &ops);

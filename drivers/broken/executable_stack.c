/* It asks for an executable stack, which the whole process gets. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

BROKEN_DRIVER("executable_stack", 0, &ops);

/* D-3: there is no table of ops. */
#include "drivers/broken/broken.h"

BROKEN_DRIVER("null_ops", 0, NULL);

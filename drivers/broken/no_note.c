/* D-2: a good driver without the ABI note. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

UFENCE_EXPORT extern const struct ufence_driver ufence_driver;
const struct ufence_driver ufence_driver =
	BROKEN_TABLE("no_note", 0, &ops, broken_init, broken_stop, broken_exit);

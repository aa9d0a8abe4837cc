/* D-2: the note is of an ABI version to come. */
#include "drivers/broken/broken.h"

static const struct ufence_device_ops ops = { .size = sizeof(ops), .submit = broken_submit };

__attribute__((section(".note.ufence"), used, aligned(4)))
static const struct ufence_abi_note note = {
	7, 4, UFENCE_NOTE_TYPE_ABI, UFENCE_NOTE_NAME, UFENCE_ABI_VERSION + 98 };

UFENCE_EXPORT extern const struct ufence_driver ufence_driver;
const struct ufence_driver ufence_driver =
	BROKEN_TABLE("wrong_note_version", 0, &ops, broken_init, broken_stop, broken_exit);

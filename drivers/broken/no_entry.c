/* D-1: has the note, but exports no driver. */
#include "drivers/broken/broken.h"

UFENCE_ABI_NOTE;

UFENCE_EXPORT extern int some_other_symbol;
int some_other_symbol = 1;

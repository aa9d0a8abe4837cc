/* Exports a function where the driver table should be. */
#include "ufence/driver.h"

UFENCE_ABI_NOTE;

UFENCE_EXPORT int (ufence_driver)(void);
int (ufence_driver)(void)
{
	return 0;
}

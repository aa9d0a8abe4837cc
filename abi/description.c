/* What the description of the interfaces in C (abi/ufence.abi) is made from, beside the functions of
 * ufence/ufence.h: the entry symbol of a driver, whose type has in it all that a driver sees. */
#include "ufence/driver.h"

UFENCE_EXPORT extern const struct ufence_driver ufence_driver;
const struct ufence_driver ufence_driver = {.size = sizeof(struct ufence_driver)};

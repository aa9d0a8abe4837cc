/* What the description of the interfaces in C (abi/ufence.abi) is made from, beside the functions of
 * ufence/ufence.h: the entry symbol of a driver, whose type has in it all that a driver sees, and what of a
 * fence inline functions see. */
#include "ufence/driver.h"
#include "ufence/ufence.h"

UFENCE_EXPORT extern const struct ufence_driver ufence_driver;
const struct ufence_driver ufence_driver = {.size = sizeof(struct ufence_driver)};

UFENCE_EXPORT extern const struct ufence_fence_view ufence_fence_as_seen;
const struct ufence_fence_view ufence_fence_as_seen = {.state = UFENCE_FENCE_SIGNALED};
UFENCE_EXPORT extern const enum ufence_fence_state ufence_fence_state_as_seen;
const enum ufence_fence_state ufence_fence_state_as_seen = UFENCE_FENCE_SIGNALED;

/* Numbers that need not be good ones. */
#ifndef UFENCE_SHIM_LINUX_RANDOM_H
#define UFENCE_SHIM_LINUX_RANDOM_H

#include <linux/types.h>

UFENCE_C_BEGIN
u32 get_random_u32_below(u32 ceiling);
UFENCE_C_END

#endif

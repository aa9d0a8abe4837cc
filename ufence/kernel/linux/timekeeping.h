/* The clock: ktime.h. */
#ifndef UFENCE_LINUX_TIMEKEEPING_H
#define UFENCE_LINUX_TIMEKEEPING_H

#include <linux/ktime.h>

#endif

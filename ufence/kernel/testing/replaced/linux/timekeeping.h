/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_TIMEKEEPING_H
#define UFENCE_REPLACED_LINUX_TIMEKEEPING_H

#include <linux/ktime.h>

#endif

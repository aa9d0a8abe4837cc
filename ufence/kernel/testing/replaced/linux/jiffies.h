/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_JIFFIES_H
#define UFENCE_REPLACED_LINUX_JIFFIES_H

#include <linux/ktime.h>
#define HZ 1000
#define msecs_to_jiffies(ms) ((unsigned long)(ms))

#endif

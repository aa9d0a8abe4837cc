/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_KTIME_H
#define UFENCE_REPLACED_LINUX_KTIME_H

#include <linux/time64.h>
#include <linux/types.h>
#include <time.h>
typedef s64 ktime_t;
static inline ktime_t ktime_get(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

#endif

/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_TIME64_H
#define UFENCE_REPLACED_LINUX_TIME64_H

#include <linux/types.h>
#define NSEC_PER_USEC 1000L
#define NSEC_PER_MSEC 1000000L
#define NSEC_PER_SEC 1000000000L
struct timespec64 {
	s64 tv_sec;
	long tv_nsec;
};
#define timespec64_to_ns(ts) ((ts)->tv_sec * NSEC_PER_SEC + (ts)->tv_nsec)

#endif

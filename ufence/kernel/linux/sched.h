/* What needs no handle of a task: threads have none here. */
#ifndef UFENCE_LINUX_SCHED_H
#define UFENCE_LINUX_SCHED_H

#include <limits.h>
#include <sched.h>

#include <linux/types.h>

/* The timeout that never ends. */
#ifndef MAX_SCHEDULE_TIMEOUT
#define MAX_SCHEDULE_TIMEOUT LONG_MAX
#endif

#ifndef cond_resched
#define cond_resched() ((void)sched_yield())
#endif
/* For the kernel's checker. */
#ifndef might_sleep
#define might_sleep() ((void)0)
#define might_sleep_if(condition) ((void)(condition))
#endif

#endif

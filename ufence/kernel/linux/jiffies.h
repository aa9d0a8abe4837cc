/* A jiffy is a millisecond. */
#ifndef UFENCE_LINUX_JIFFIES_H
#define UFENCE_LINUX_JIFFIES_H

#include <limits.h>

#include <linux/ktime.h>
#include <linux/types.h>
#include <linux/ufence.h>

#ifndef HZ
#define HZ 1000
#endif
UFENCE_STATIC_ASSERT(HZ == 1000, "timeouts of libufence are in milliseconds");

/* The timeout that never ends. */
#ifndef MAX_SCHEDULE_TIMEOUT
#define MAX_SCHEDULE_TIMEOUT LONG_MAX
#endif
#define MAX_JIFFY_OFFSET ((LONG_MAX >> 1) - 1)

#define jiffies ((unsigned long)ktime_to_ms(ktime_get()))
#define get_jiffies_64() ((u64)jiffies)

#define time_after(a, b) ((long)((b) - (a)) < 0)
#define time_before(a, b) time_after(b, a)
#define time_after_eq(a, b) ((long)((a) - (b)) >= 0)
#define time_before_eq(a, b) time_after_eq(b, a)

#define msecs_to_jiffies(ms) ((unsigned long)(ms))
#define jiffies_to_msecs(j) ((unsigned int)(j))
#define usecs_to_jiffies(us) (((unsigned long)(us) + 999UL) / 1000UL)
#define jiffies_to_usecs(j) ((unsigned int)((j)*1000UL))
#define nsecs_to_jiffies(ns) ((unsigned long)((u64)(ns) / 1000000U))
#define nsecs_to_jiffies64(ns) ((u64)(ns) / 1000000U)
#define jiffies_to_nsecs(j) ((u64)(j)*1000000U)
#define jiffies64_to_nsecs(j) jiffies_to_nsecs(j)
#define jiffies64_to_msecs(j) ((u64)(j))
#define jiffies_delta_to_msecs(delta) ((delta) < 0 ? 0U : jiffies_to_msecs(delta))
#define secs_to_jiffies(seconds) ((unsigned long)(seconds)*HZ)

#define time_in_range(a, from, to) (time_after_eq(a, from) && time_before_eq(a, to))
#define time_is_before_jiffies(a) time_after(jiffies, a)
#define time_is_after_jiffies(a) time_before(jiffies, a)
#define time_is_before_eq_jiffies(a) time_after_eq(jiffies, a)
#define time_is_after_eq_jiffies(a) time_before_eq(jiffies, a)
#define time_after64(a, b) ((s64)((u64)(b) - (u64)(a)) < 0)
#define time_before64(a, b) time_after64(b, a)

#endif

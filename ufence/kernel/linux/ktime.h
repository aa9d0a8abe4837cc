/* Time in ns of CLOCK_MONOTONIC. */
#ifndef UFENCE_LINUX_KTIME_H
#define UFENCE_LINUX_KTIME_H

#include <linux/time64.h>
#include <linux/types.h>
#include <linux/ufence.h>

typedef s64 ktime_t;

#define KTIME_MAX INT64_MAX

UFENCE_C_BEGIN
ktime_t ktime_get(void) UFENCE_KERNEL(ktime_get);
UFENCE_C_END

#define ktime_get_ns() ((u64)ktime_get())
#define ktime_set(seconds, ns) ((ktime_t)(seconds)*NSEC_PER_SEC + (ktime_t)(ns))
#define ns_to_ktime(ns) ((ktime_t)(ns))
#define us_to_ktime(us) ((ktime_t)(us)*NSEC_PER_USEC)
#define ms_to_ktime(ms) ((ktime_t)(ms)*NSEC_PER_MSEC)
#define ktime_to_ns(t) (t)
#define ktime_to_us(t) ((t) / NSEC_PER_USEC)
#define ktime_to_ms(t) ((t) / NSEC_PER_MSEC)
#define ktime_add(a, b) ((a) + (b))
#define ktime_sub(a, b) ((a) - (b))
#define ktime_add_ns(t, ns) ((t) + (s64)(ns))
#define ktime_add_us(t, us) ((t) + (s64)(us)*NSEC_PER_USEC)
#define ktime_add_ms(t, ms) ((t) + (s64)(ms)*NSEC_PER_MSEC)
#define ktime_sub_ns(t, ns) ((t) - (s64)(ns))
#define ktime_sub_us(t, us) ((t) - (s64)(us)*NSEC_PER_USEC)
#define ktime_sub_ms(t, ms) ((t) - (s64)(ms)*NSEC_PER_MSEC)
#define ktime_divns(t, ns) ((s64)((t) / (ns)))
#define ktime_us_delta(later, earlier) ktime_to_us(ktime_sub(later, earlier))
#define ktime_ms_delta(later, earlier) ktime_to_ms(ktime_sub(later, earlier))

static inline int ktime_compare(ktime_t a, ktime_t b)
{
	return (a > b) - (a < b);
}

/* KTIME_MAX, where the sum is more. */
static inline ktime_t ktime_add_safe(ktime_t a, ktime_t b)
{
	ktime_t sum;

	return __builtin_add_overflow(a, b, &sum) || sum < 0 ? KTIME_MAX : sum;
}

static inline struct timespec64 ktime_to_timespec64(ktime_t t)
{
	struct timespec64 ts;

	ts.tv_sec = t / NSEC_PER_SEC;
	ts.tv_nsec = UFENCE_CAST(long, t % NSEC_PER_SEC);
	if (ts.tv_nsec < 0) {
		ts.tv_sec--;
		ts.tv_nsec += NSEC_PER_SEC;
	}
	return ts;
}

static inline ktime_t timespec64_to_ktime(struct timespec64 ts)
{
	return timespec64_to_ns(&ts);
}

static inline void ktime_get_ts64(struct timespec64 *ts)
{
	*ts = ktime_to_timespec64(ktime_get());
}

static inline bool ktime_after(ktime_t a, ktime_t b)
{
	return a > b;
}

static inline bool ktime_before(ktime_t a, ktime_t b)
{
	return a < b;
}

#endif

/* Reference counts. */
#ifndef UFENCE_LINUX_REFCOUNT_H
#define UFENCE_LINUX_REFCOUNT_H

#include <linux/atomic.h>
#include <linux/types.h>
#include <linux/ufence.h>

typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

#define REFCOUNT_INIT(n) { ATOMIC_INIT(n) }

static inline void refcount_set(refcount_t *r, int n)
{
	atomic_set(&r->refs, n);
}

static inline unsigned int refcount_read(const refcount_t *r)
{
	return UFENCE_CAST(unsigned int, atomic_read(&r->refs));
}

/*
 * A count that has lost so many references that it would begin again from 0 saturates: what it counts
 * lives for ever, and a report says so.
 */
UFENCE_C_BEGIN
/* `before` is what was found, negative. */
void ufence_refcount_saturate(refcount_t *r, int before) UFENCE_EXPORT;
UFENCE_C_END

static inline void refcount_inc(refcount_t *r)
{
	const int before = UFENCE_ADD(&r->refs.counter, 1);

	if (before < 0)
		ufence_refcount_saturate(r, before);
}

static inline bool refcount_inc_not_zero(refcount_t *r)
{
	int before = UFENCE_LOAD(&r->refs.counter), seen;

	while (before != 0) {
		seen = UFENCE_COMPARE_EXCHANGE(&r->refs.counter, before, before + 1);
		if (seen == before)
			break;
		before = seen;
	}
	if (before < 0)
		ufence_refcount_saturate(r, before);
	return before != 0;
}

#define refcount_inc_not_zero_acquire(r) refcount_inc_not_zero(r)

static inline bool refcount_dec_and_test(refcount_t *r)
{
	const int before = UFENCE_SUB(&r->refs.counter, 1);

	if (before < 0)
		ufence_refcount_saturate(r, before);
	return before == 1;
}

#endif

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
	const int before = atomic_fetch_inc(&r->refs);

	if (before < 0)
		ufence_refcount_saturate(r, before);
}

static inline bool refcount_inc_not_zero(refcount_t *r)
{
	const int before = atomic_fetch_add_unless(&r->refs, 1, 0);

	if (before < 0)
		ufence_refcount_saturate(r, before);
	return before != 0;
}

static inline bool refcount_dec_and_test(refcount_t *r)
{
	const int before = atomic_fetch_dec(&r->refs);

	if (before < 0)
		ufence_refcount_saturate(r, before);
	return before == 1;
}

#endif

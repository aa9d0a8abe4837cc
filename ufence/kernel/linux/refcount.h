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

static inline void refcount_add(int n, refcount_t *r)
{
	const int before = UFENCE_ADD(&r->refs.counter, n);

	if (before < 0)
		ufence_refcount_saturate(r, before);
}

static inline void refcount_inc(refcount_t *r)
{
	refcount_add(1, r);
}

static inline bool refcount_add_not_zero(int n, refcount_t *r)
{
	int before = UFENCE_LOAD(&r->refs.counter), seen;

	while (before != 0) {
		seen = UFENCE_COMPARE_EXCHANGE(&r->refs.counter, before, before + n);
		if (seen == before)
			break;
		before = seen;
	}
	if (before < 0)
		ufence_refcount_saturate(r, before);
	return before != 0;
}

static inline bool refcount_inc_not_zero(refcount_t *r)
{
	return refcount_add_not_zero(1, r);
}

#define refcount_inc_not_zero_acquire(r) refcount_inc_not_zero(r)

/* These are true for the last references. */
static inline bool refcount_sub_and_test(int n, refcount_t *r)
{
	const int before = UFENCE_SUB(&r->refs.counter, n);

	if (before < 0)
		ufence_refcount_saturate(r, before);
	return before == n;
}

static inline bool refcount_dec_and_test(refcount_t *r)
{
	return refcount_sub_and_test(1, r);
}

/* Not the last one. */
static inline void refcount_dec(refcount_t *r)
{
	(void)refcount_sub_and_test(1, r);
}

/* False, and nothing is done: it is the last one. */
static inline bool refcount_dec_not_one(refcount_t *r)
{
	int before = UFENCE_LOAD(&r->refs.counter), seen;

	while (before != 1) {
		seen = UFENCE_COMPARE_EXCHANGE(&r->refs.counter, before, before - 1);
		if (seen == before)
			break;
		before = seen;
	}
	if (before < 0)
		ufence_refcount_saturate(r, before);
	return before != 1;
}

/* True: it was the last one. False: nothing is done. */
static inline bool refcount_dec_if_one(refcount_t *r)
{
	return UFENCE_COMPARE_EXCHANGE(&r->refs.counter, 1, 0) == 1;
}

/* True: they were the last one, and the lock is held. The lock is of mutex.h, of spinlock.h. */
#define refcount_dec_and_mutex_lock(r, lock)                                                       \
	UFENCE_REFCOUNT_DEC_AND_LOCK(r, mutex_lock(lock), mutex_unlock(lock))
#define refcount_dec_and_lock(r, lock)                                                             \
	UFENCE_REFCOUNT_DEC_AND_LOCK(r, spin_lock(lock), spin_unlock(lock))
#define UFENCE_REFCOUNT_DEC_AND_LOCK(r, take, drop)                                                \
	__extension__({                                                                            \
		bool ufence_last = false;                                                          \
		if (!refcount_dec_not_one(r)) {                                                    \
			take;                                                                      \
			ufence_last = refcount_dec_and_test(r);                                    \
			if (!ufence_last)                                                          \
				drop;                                                              \
		}                                                                                  \
		ufence_last;                                                                       \
	})

#endif

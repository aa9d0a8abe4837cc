/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_ATOMIC_H
#define UFENCE_REPLACED_LINUX_ATOMIC_H

#include <linux/types.h>
#define ATOMIC_INIT(n) { (n) }
static inline int atomic_read(const atomic_t *v)
{
	return __atomic_load_n(&v->counter, __ATOMIC_RELAXED);
}
static inline void atomic_set(atomic_t *v, int n)
{
	__atomic_store_n(&v->counter, n, __ATOMIC_RELAXED);
}
static inline void atomic_add(int n, atomic_t *v)
{
	__atomic_add_fetch(&v->counter, n, __ATOMIC_SEQ_CST);
}
#define atomic_inc(v) atomic_add(1, v)
#define atomic_dec(v) atomic_add(-1, v)
static inline int atomic_inc_return(atomic_t *v)
{
	return __atomic_add_fetch(&v->counter, 1, __ATOMIC_SEQ_CST);
}
static inline bool atomic_sub_and_test(int n, atomic_t *v)
{
	return __atomic_sub_fetch(&v->counter, n, __ATOMIC_SEQ_CST) == 0;
}
#define atomic_dec_and_test(v) atomic_sub_and_test(1, v)
static inline bool atomic_inc_not_zero(atomic_t *v)
{
	int old = atomic_read(v);

	while (old && !__atomic_compare_exchange_n(&v->counter, &old, old + 1, 0, __ATOMIC_SEQ_CST,
						   __ATOMIC_SEQ_CST))
		;
	return old != 0;
}

#endif

/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_BITOPS_H
#define UFENCE_REPLACED_LINUX_BITOPS_H

#include <linux/types.h>
#define BIT(n) (1UL << (n))
static inline bool test_bit(long n, const volatile unsigned long *word)
{
	return (__atomic_load_n(word, __ATOMIC_RELAXED) >> n) & 1UL;
}
static inline bool test_bit_acquire(long n, const volatile unsigned long *word)
{
	return (__atomic_load_n(word, __ATOMIC_ACQUIRE) >> n) & 1UL;
}

#endif

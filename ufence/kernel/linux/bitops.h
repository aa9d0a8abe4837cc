/* Bits of longs. Those that return what was there are fully ordered. */
#ifndef UFENCE_LINUX_BITOPS_H
#define UFENCE_LINUX_BITOPS_H

#include <linux/compiler.h>
#include <linux/types.h>
#include <linux/ufence.h>

#ifndef BITS_PER_LONG
#define BITS_PER_LONG (8 * __SIZEOF_LONG__)
#endif
#ifndef BITS_PER_BYTE
#define BITS_PER_BYTE 8
#define BITS_PER_TYPE(type) (sizeof(type) * BITS_PER_BYTE)
#endif
#define BIT(n) (1UL << (n))
#define BIT_ULL(n) (1ULL << (n))
#define BIT_WORD(n) ((n) / BITS_PER_LONG)
#define BIT_MASK(n) (1UL << ((n) % BITS_PER_LONG))
#define GENMASK(high, low) ((~0UL << (low)) & (~0UL >> (BITS_PER_LONG - 1 - (high))))
#define GENMASK_ULL(high, low) ((~0ULL << (low)) & (~0ULL >> (63 - (high))))
#define BITS_TO_LONGS(n) (((n) + BITS_PER_LONG - 1) / BITS_PER_LONG)

static inline bool test_bit(long n, const unsigned long *words)
{
	return (UFENCE_LOAD(&words[BIT_WORD(n)]) & BIT_MASK(n)) != 0;
}

static inline bool test_bit_acquire(long n, const unsigned long *words)
{
	return (UFENCE_LOAD_ACQUIRE(&words[BIT_WORD(n)]) & BIT_MASK(n)) != 0;
}

static inline bool test_and_set_bit(long n, unsigned long *words)
{
	return (UFENCE_OR(&words[BIT_WORD(n)], BIT_MASK(n)) & BIT_MASK(n)) != 0;
}

static inline bool test_and_clear_bit(long n, unsigned long *words)
{
	return (UFENCE_AND(&words[BIT_WORD(n)], ~BIT_MASK(n)) & BIT_MASK(n)) != 0;
}

static inline void set_bit(long n, unsigned long *words)
{
	(void)test_and_set_bit(n, words);
}

static inline void clear_bit(long n, unsigned long *words)
{
	(void)test_and_clear_bit(n, words);
}

/* For lock bits: what was done before is seen by the next that finds it clear. */
static inline bool test_and_set_bit_lock(long n, unsigned long *words)
{
	return test_and_set_bit(n, words);
}

static inline void clear_bit_unlock(long n, unsigned long *words)
{
	(void)test_and_clear_bit(n, words);
}

static inline bool test_and_change_bit(long n, unsigned long *words)
{
	return (UFENCE_XOR(&words[BIT_WORD(n)], BIT_MASK(n)) & BIT_MASK(n)) != 0;
}

static inline void change_bit(long n, unsigned long *words)
{
	(void)test_and_change_bit(n, words);
}

static inline void assign_bit(long n, unsigned long *words, bool value)
{
	if (value)
		set_bit(n, words);
	else
		clear_bit(n, words);
}

static inline bool __test_and_set_bit(long n, unsigned long *words)
{
	bool was_set = (words[BIT_WORD(n)] & BIT_MASK(n)) != 0;

	words[BIT_WORD(n)] |= BIT_MASK(n);
	return was_set;
}

static inline bool __test_and_clear_bit(long n, unsigned long *words)
{
	bool was_set = (words[BIT_WORD(n)] & BIT_MASK(n)) != 0;

	words[BIT_WORD(n)] &= ~BIT_MASK(n);
	return was_set;
}

static inline void __set_bit(long n, unsigned long *words)
{
	words[BIT_WORD(n)] |= BIT_MASK(n);
}

static inline void __clear_bit(long n, unsigned long *words)
{
	words[BIT_WORD(n)] &= ~BIT_MASK(n);
}

#endif

/* Atomic counters. Those that return a value are fully ordered, also where less is asked for. */
#ifndef UFENCE_LINUX_ATOMIC_H
#define UFENCE_LINUX_ATOMIC_H

#include <linux/compiler.h>
#include <linux/types.h>
#include <linux/ufence.h>

typedef struct {
	long counter;
} atomic_long_t;

#define ATOMIC_INIT(value) { (value) }
#define ATOMIC64_INIT(value) { (value) }
#define ATOMIC_LONG_INIT(value) { (value) }

/* What returns a value: once for each suffix that tells an order. */
#define UFENCE_ATOMIC_ORDERED(prefix, type, value_type, suffix)                                    \
	static inline value_type prefix##_fetch_add##suffix(value_type value, type *v)             \
	{                                                                                          \
		return UFENCE_ADD(&v->counter, value);                                             \
	}                                                                                          \
	static inline value_type prefix##_fetch_sub##suffix(value_type value, type *v)             \
	{                                                                                          \
		return UFENCE_SUB(&v->counter, value);                                             \
	}                                                                                          \
	static inline value_type prefix##_fetch_or##suffix(value_type value, type *v)              \
	{                                                                                          \
		return UFENCE_OR(&v->counter, value);                                              \
	}                                                                                          \
	static inline value_type prefix##_fetch_and##suffix(value_type value, type *v)             \
	{                                                                                          \
		return UFENCE_AND(&v->counter, value);                                             \
	}                                                                                          \
	static inline value_type prefix##_fetch_andnot##suffix(value_type value, type *v)          \
	{                                                                                          \
		return UFENCE_AND(&v->counter, ~value);                                            \
	}                                                                                          \
	static inline value_type prefix##_fetch_xor##suffix(value_type value, type *v)             \
	{                                                                                          \
		return UFENCE_XOR(&v->counter, value);                                             \
	}                                                                                          \
	static inline value_type prefix##_fetch_inc##suffix(type *v)                               \
	{                                                                                          \
		return UFENCE_ADD(&v->counter, 1);                                                 \
	}                                                                                          \
	static inline value_type prefix##_fetch_dec##suffix(type *v)                               \
	{                                                                                          \
		return UFENCE_SUB(&v->counter, 1);                                                 \
	}                                                                                          \
	static inline value_type prefix##_add_return##suffix(value_type value, type *v)            \
	{                                                                                          \
		return UFENCE_ADD(&v->counter, value) + value;                                     \
	}                                                                                          \
	static inline value_type prefix##_sub_return##suffix(value_type value, type *v)            \
	{                                                                                          \
		return UFENCE_SUB(&v->counter, value) - value;                                     \
	}                                                                                          \
	static inline value_type prefix##_inc_return##suffix(type *v)                              \
	{                                                                                          \
		return UFENCE_ADD(&v->counter, 1) + 1;                                             \
	}                                                                                          \
	static inline value_type prefix##_dec_return##suffix(type *v)                              \
	{                                                                                          \
		return UFENCE_SUB(&v->counter, 1) - 1;                                             \
	}                                                                                          \
	static inline value_type prefix##_xchg##suffix(type *v, value_type value)                  \
	{                                                                                          \
		return UFENCE_EXCHANGE(&v->counter, value);                                        \
	}                                                                                          \
	static inline value_type prefix##_cmpxchg##suffix(type *v, value_type old,                 \
							  value_type value)                        \
	{                                                                                          \
		return UFENCE_COMPARE_EXCHANGE(&v->counter, old, value);                           \
	}                                                                                          \
	/* False: what it is goes to `old`. */                                                     \
	static inline bool prefix##_try_cmpxchg##suffix(type *v, value_type *old,                  \
							value_type value)                          \
	{                                                                                          \
		value_type seen = UFENCE_COMPARE_EXCHANGE(&v->counter, *old, value);               \
		bool is_done = seen == *old;                                                       \
                                                                                                   \
		*old = seen;                                                                       \
		return is_done;                                                                    \
	}

/* The rest of the functions of one type. */
#define UFENCE_ATOMIC(prefix, type, value_type)                                                    \
	UFENCE_ATOMIC_ORDERED(prefix, type, value_type, )                                          \
	UFENCE_ATOMIC_ORDERED(prefix, type, value_type, _relaxed)                                  \
	UFENCE_ATOMIC_ORDERED(prefix, type, value_type, _acquire)                                  \
	UFENCE_ATOMIC_ORDERED(prefix, type, value_type, _release)                                  \
	static inline value_type prefix##_read(const type *v)                                      \
	{                                                                                          \
		return UFENCE_LOAD(&v->counter);                                                   \
	}                                                                                          \
	static inline value_type prefix##_read_acquire(const type *v)                              \
	{                                                                                          \
		return UFENCE_LOAD_ACQUIRE(&v->counter);                                           \
	}                                                                                          \
	static inline void prefix##_set(type *v, value_type value)                                 \
	{                                                                                          \
		UFENCE_STORE(&v->counter, value);                                                  \
	}                                                                                          \
	static inline void prefix##_set_release(type *v, value_type value)                         \
	{                                                                                          \
		UFENCE_STORE_RELEASE(&v->counter, value);                                          \
	}                                                                                          \
	static inline void prefix##_add(value_type value, type *v)                                 \
	{                                                                                          \
		(void)UFENCE_ADD(&v->counter, value);                                              \
	}                                                                                          \
	static inline void prefix##_sub(value_type value, type *v)                                 \
	{                                                                                          \
		(void)UFENCE_SUB(&v->counter, value);                                              \
	}                                                                                          \
	static inline void prefix##_inc(type *v)                                                   \
	{                                                                                          \
		(void)UFENCE_ADD(&v->counter, 1);                                                  \
	}                                                                                          \
	static inline void prefix##_dec(type *v)                                                   \
	{                                                                                          \
		(void)UFENCE_SUB(&v->counter, 1);                                                  \
	}                                                                                          \
	static inline void prefix##_or(value_type value, type *v)                                  \
	{                                                                                          \
		(void)UFENCE_OR(&v->counter, value);                                               \
	}                                                                                          \
	static inline void prefix##_and(value_type value, type *v)                                 \
	{                                                                                          \
		(void)UFENCE_AND(&v->counter, value);                                              \
	}                                                                                          \
	static inline void prefix##_andnot(value_type value, type *v)                              \
	{                                                                                          \
		(void)UFENCE_AND(&v->counter, ~value);                                             \
	}                                                                                          \
	static inline void prefix##_xor(value_type value, type *v)                                 \
	{                                                                                          \
		(void)UFENCE_XOR(&v->counter, value);                                              \
	}                                                                                          \
	static inline bool prefix##_dec_and_test(type *v)                                          \
	{                                                                                          \
		return prefix##_dec_return(v) == 0;                                                \
	}                                                                                          \
	static inline bool prefix##_inc_and_test(type *v)                                          \
	{                                                                                          \
		return prefix##_inc_return(v) == 0;                                                \
	}                                                                                          \
	static inline bool prefix##_sub_and_test(value_type value, type *v)                        \
	{                                                                                          \
		return prefix##_sub_return(value, v) == 0;                                         \
	}                                                                                          \
	static inline bool prefix##_add_negative(value_type value, type *v)                        \
	{                                                                                          \
		return prefix##_add_return(value, v) < 0;                                          \
	}                                                                                          \
	/* What it was; it stays so if that is `unless`. */                                        \
	static inline value_type prefix##_fetch_add_unless(type *v, value_type value,              \
							   value_type unless)                      \
	{                                                                                          \
		value_type old = prefix##_read(v);                                                 \
                                                                                                   \
		while (old != unless && !prefix##_try_cmpxchg(v, &old, old + value))               \
			;                                                                          \
		return old;                                                                        \
	}                                                                                          \
	static inline bool prefix##_add_unless(type *v, value_type value, value_type unless)       \
	{                                                                                          \
		return prefix##_fetch_add_unless(v, value, unless) != unless;                      \
	}                                                                                          \
	static inline bool prefix##_inc_not_zero(type *v)                                          \
	{                                                                                          \
		return prefix##_add_unless(v, 1, 0);                                               \
	}                                                                                          \
	static inline bool prefix##_inc_unless_negative(type *v)                                   \
	{                                                                                          \
		value_type old = prefix##_read(v);                                                 \
                                                                                                   \
		while (old >= 0 && !prefix##_try_cmpxchg(v, &old, old + 1))                        \
			;                                                                          \
		return old >= 0;                                                                   \
	}                                                                                          \
	/* What it would be; it stays so if that is negative. */                                   \
	static inline value_type prefix##_dec_if_positive(type *v)                                 \
	{                                                                                          \
		value_type old = prefix##_read(v);                                                 \
                                                                                                   \
		while (old > 0 && !prefix##_try_cmpxchg(v, &old, old - 1))                         \
			;                                                                          \
		return old - 1;                                                                    \
	}

UFENCE_ATOMIC(atomic, atomic_t, int)
UFENCE_ATOMIC(atomic64, atomic64_t, s64)
UFENCE_ATOMIC(atomic_long, atomic_long_t, long)

#undef UFENCE_ATOMIC
#undef UFENCE_ATOMIC_ORDERED

#endif

/* Atomic counters. Those that return a value are fully ordered, as the kernel's. */
#ifndef UFENCE_LINUX_ATOMIC_H
#define UFENCE_LINUX_ATOMIC_H

#include <linux/compiler.h>
#include <linux/types.h>

#define ATOMIC_INIT(value) { (value) }
#define ATOMIC64_INIT(value) { (value) }

/* One set of functions for each of atomic_t and atomic64_t. */
#define UFENCE_ATOMIC(prefix, type, value_type)                                                    \
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
	static inline value_type prefix##_add_return(value_type value, type *v)                    \
	{                                                                                          \
		return UFENCE_ADD(&v->counter, value) + value;                                     \
	}                                                                                          \
	static inline value_type prefix##_sub_return(value_type value, type *v)                    \
	{                                                                                          \
		return UFENCE_SUB(&v->counter, value) - value;                                     \
	}                                                                                          \
	static inline value_type prefix##_fetch_add(value_type value, type *v)                     \
	{                                                                                          \
		return UFENCE_ADD(&v->counter, value);                                             \
	}                                                                                          \
	static inline value_type prefix##_fetch_sub(value_type value, type *v)                     \
	{                                                                                          \
		return UFENCE_SUB(&v->counter, value);                                             \
	}                                                                                          \
	static inline value_type prefix##_inc_return(type *v)                                      \
	{                                                                                          \
		return prefix##_add_return(1, v);                                                  \
	}                                                                                          \
	static inline value_type prefix##_dec_return(type *v)                                      \
	{                                                                                          \
		return prefix##_sub_return(1, v);                                                  \
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
		prefix##_add(1, v);                                                                \
	}                                                                                          \
	static inline void prefix##_dec(type *v)                                                   \
	{                                                                                          \
		prefix##_sub(1, v);                                                                \
	}                                                                                          \
	static inline bool prefix##_dec_and_test(type *v)                                          \
	{                                                                                          \
		return prefix##_dec_return(v) == 0;                                                \
	}                                                                                          \
	static inline value_type prefix##_xchg(type *v, value_type value)                          \
	{                                                                                          \
		return UFENCE_EXCHANGE(&v->counter, value);                                        \
	}                                                                                          \
	static inline value_type prefix##_cmpxchg(type *v, value_type old, value_type value)       \
	{                                                                                          \
		return UFENCE_COMPARE_EXCHANGE(&v->counter, old, value);                           \
	}                                                                                          \
	/* False: what it is goes to `old`. */                                                     \
	static inline bool prefix##_try_cmpxchg(type *v, value_type *old, value_type value)        \
	{                                                                                          \
		value_type seen = prefix##_cmpxchg(v, *old, value);                                \
		bool is_done = seen == *old;                                                       \
                                                                                                   \
		*old = seen;                                                                       \
		return is_done;                                                                    \
	}                                                                                          \
	static inline bool prefix##_inc_not_zero(type *v)                                          \
	{                                                                                          \
		value_type old = prefix##_read(v), seen;                                           \
                                                                                                   \
		while (old != 0) {                                                                 \
			seen = prefix##_cmpxchg(v, old, old + 1);                                  \
			if (seen == old)                                                           \
				return true;                                                       \
			old = seen;                                                                \
		}                                                                                  \
		return false;                                                                      \
	}

UFENCE_ATOMIC(atomic, atomic_t, int)
UFENCE_ATOMIC(atomic64, atomic64_t, s64)

#undef UFENCE_ATOMIC

#endif

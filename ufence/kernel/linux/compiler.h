/* Single accesses, orders, annotations. */
#ifndef UFENCE_LINUX_COMPILER_H
#define UFENCE_LINUX_COMPILER_H

#include <linux/ufence.h>

#define READ_ONCE(x) UFENCE_LOAD(&(x))
#define WRITE_ONCE(x, value) UFENCE_STORE(&(x), value)
#define smp_load_acquire(p) UFENCE_LOAD_ACQUIRE(p)
#define smp_store_release(p, value) UFENCE_STORE_RELEASE(p, value)
#define smp_store_mb(x, value) ((void)UFENCE_EXCHANGE(&(x), value))
#define xchg(p, value) UFENCE_EXCHANGE(p, value)
#define cmpxchg(p, old, value) UFENCE_COMPARE_EXCHANGE(p, old, value)
#define try_cmpxchg(p, old, value)                                                                 \
	__extension__({                                                                            \
		__typeof__(old) ufence_at = (old);                                                 \
		const __typeof__(*ufence_at) ufence_wanted = *ufence_at;                           \
		*ufence_at = UFENCE_COMPARE_EXCHANGE(p, ufence_wanted, value);                     \
		*ufence_at == ufence_wanted;                                                       \
	})
#define cmpxchg64(p, old, value) cmpxchg(p, old, value)
#define xchg_relaxed(p, value) xchg(p, value)
#define cmpxchg_relaxed(p, old, value) cmpxchg(p, old, value)
#define barrier() __asm__ __volatile__("" ::: "memory")
#define smp_mb() UFENCE_FENCE(__ATOMIC_SEQ_CST)
#define smp_rmb() UFENCE_FENCE(__ATOMIC_ACQUIRE)
#define smp_wmb() UFENCE_FENCE(__ATOMIC_RELEASE)
#ifndef mb
#define mb() smp_mb()
#define rmb() smp_rmb()
#define wmb() smp_wmb()
#endif
#define smp_mb__before_atomic() smp_mb()
#define smp_mb__after_atomic() smp_mb()
#define smp_mb__after_spinlock() smp_mb()

#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

#ifndef __PASTE
#define __PASTE(a, b) UFENCE_PASTE(a, b)
#define UFENCE_PASTE(a, b) a##b
#endif
#ifndef __UNIQUE_ID
#define __UNIQUE_ID(prefix) __PASTE(__PASTE(prefix, _), __COUNTER__)
#endif
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#ifndef noinline
#define noinline __attribute__((noinline))
#endif
#ifndef __packed
#define __packed __attribute__((packed))
#endif
#ifndef __aligned
#define __aligned(bytes) __attribute__((aligned(bytes)))
#endif
#ifndef fallthrough
#define fallthrough __attribute__((fallthrough))
#endif
#ifndef __cleanup
#define __cleanup(function) __attribute__((cleanup(function)))
#endif
#ifndef __must_check
#define __must_check __attribute__((warn_unused_result))
#endif
#ifndef __maybe_unused
#define __maybe_unused __attribute__((unused))
#endif
#ifndef __always_unused
#define __always_unused __attribute__((unused))
#endif
#ifndef __printf
#define __printf(format_at, first_at) __attribute__((format(printf, format_at, first_at)))
#endif
/* For the kernel's static checker. */
#ifndef __rcu
#define __rcu
#endif
#ifndef __user
#define __user
#endif
#ifndef __iomem
#define __iomem
#endif
#ifndef __force
#define __force
#endif
#ifndef __acquires
#define __acquires(x)
#define __releases(x)
#define __must_hold(x)
#endif

#endif

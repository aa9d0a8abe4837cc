/*
 * What the headers of this folder share: exported names, atomics. Always ours. The others may be
 * replaced, one by one, by a shim of the same name that stands earlier on the include path.
 */
#ifndef UFENCE_LINUX_UFENCE_H
#define UFENCE_LINUX_UFENCE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define UFENCE_C_BEGIN extern "C" {
#define UFENCE_C_END }
#define UFENCE_STATIC_ASSERT(condition, text) static_assert(condition, text)
#define UFENCE_CAST(type, value) static_cast<type>(value)
#else
#define UFENCE_C_BEGIN
#define UFENCE_C_END
#define UFENCE_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#define UFENCE_CAST(type, value) ((type)(value))
#endif

/*
 * A function or object that has the kernel's name in sources is ufence_NAME in libufence.so, so that
 * programs and other libraries may have symbols with the kernel's names.
 */
#define UFENCE_KERNEL(name) __asm__("ufence_" #name) __attribute__((visibility("default")))
#define UFENCE_EXPORT __attribute__((visibility("default")))

/* The one door to atomics for C. */
#define UFENCE_LOAD(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define UFENCE_LOAD_ACQUIRE(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define UFENCE_STORE(p, value) __atomic_store_n(p, value, __ATOMIC_RELAXED)
#define UFENCE_STORE_RELEASE(p, value) __atomic_store_n(p, value, __ATOMIC_RELEASE)
#define UFENCE_EXCHANGE(p, value) __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST)
#define UFENCE_ADD(p, value) __atomic_fetch_add(p, value, __ATOMIC_SEQ_CST)
#define UFENCE_SUB(p, value) __atomic_fetch_sub(p, value, __ATOMIC_SEQ_CST)
#define UFENCE_OR(p, value) __atomic_fetch_or(p, value, __ATOMIC_SEQ_CST)
#define UFENCE_AND(p, value) __atomic_fetch_and(p, value, __ATOMIC_SEQ_CST)
#define UFENCE_XOR(p, value) __atomic_fetch_xor(p, value, __ATOMIC_SEQ_CST)
/* What it was before. */
#define UFENCE_COMPARE_EXCHANGE(p, old, value)                                                     \
	__extension__({                                                                            \
		__typeof__(*(p)) ufence_old = (old);                                               \
		__atomic_compare_exchange_n(p, &ufence_old, value, 0, __ATOMIC_SEQ_CST,            \
					    __ATOMIC_SEQ_CST);                                     \
		ufence_old;                                                                        \
	})

/*
 * Fences, for the sources that have them. A race detector knows only accesses: for it each fence is one
 * to a word that all have in common.
 */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define UFENCE_FENCES_ARE_ACCESSES 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define UFENCE_FENCES_ARE_ACCESSES 1
#endif
#ifdef UFENCE_FENCES_ARE_ACCESSES
__attribute__((weak)) unsigned int ufence_fence_word;
#define UFENCE_FENCE(order) ((void)__atomic_fetch_add(&ufence_fence_word, 0U, __ATOMIC_SEQ_CST))
#else
#define UFENCE_FENCE(order) __atomic_thread_fence(order)
#endif

#endif

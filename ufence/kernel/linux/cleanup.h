/*
 * What is given back at the end of its scope; C alone, which has no destructors.
 *
 *     guard(spinlock)(&lock);                      locked until the end of the block
 *     scoped_guard(rcu) { ... }                    for one statement
 *     struct foo *f __free(kfree) = ...;           freed, unless no_free_ptr(f) takes it away
 */
#ifndef UFENCE_LINUX_CLEANUP_H
#define UFENCE_LINUX_CLEANUP_H

#include <linux/compiler.h>
#include <linux/ufence.h>

#ifndef __cplusplus

/* --- Pointers. `free` sees the pointer as _T. --- */

#define DEFINE_FREE(name, type, free)                                                              \
	static inline void __free_##name(void *p)                                                  \
	{                                                                                          \
		type _T = *(type *)p;                                                              \
		free;                                                                              \
	}
#define __free(name) __cleanup(__free_##name)
#define no_free_ptr(p)                                                                             \
	__extension__({                                                                            \
		__auto_type ufence_at = &(p);                                                      \
		__auto_type ufence_taken = *ufence_at;                                             \
		*ufence_at = NULL;                                                                 \
		ufence_taken;                                                                      \
	})
#define return_ptr(p) return no_free_ptr(p)
#define retain_and_null_ptr(p) ((void)no_free_ptr(p))

/* --- Classes: a type with what makes one, and with what ends it, which sees it as _T. --- */

#define DEFINE_CLASS(name, type, exit, init, ...)                                                  \
	typedef type class_##name##_t;                                                             \
	static inline void class_##name##_destructor(type *p)                                      \
	{                                                                                          \
		type _T = *p;                                                                      \
		exit;                                                                              \
	}                                                                                          \
	static inline type class_##name##_constructor(__VA_ARGS__)                                 \
	{                                                                                          \
		type t = init;                                                                     \
		return t;                                                                          \
	}
#define EXTEND_CLASS(name, suffix, init, ...)                                                      \
	typedef class_##name##_t class_##name##suffix##_t;                                         \
	static inline void class_##name##suffix##_destructor(class_##name##_t *p)                  \
	{                                                                                          \
		class_##name##_destructor(p);                                                      \
	}                                                                                          \
	static inline class_##name##_t class_##name##suffix##_constructor(__VA_ARGS__)             \
	{                                                                                          \
		class_##name##_t t = init;                                                         \
		return t;                                                                          \
	}
#define CLASS(name, variable)                                                                      \
	class_##name##_t variable __cleanup(class_##name##_destructor) = class_##name##_constructor

/* --- Guards: classes whose object says whether something is locked. --- */

#define guard(name) CLASS(name, __UNIQUE_ID(ufence_guard))
#define __guard_ptr(name) class_##name##_lock_ptr
#define scoped_guard(name, ...)                                                                    \
	UFENCE_SCOPED_GUARD(name, __UNIQUE_ID(ufence_scope), __UNIQUE_ID(ufence_once), __VA_ARGS__)
#define UFENCE_SCOPED_GUARD(name, scope, once, ...)                                                \
	for (CLASS(name, scope)(__VA_ARGS__), *once = &scope;                                      \
	     once && __guard_ptr(name)(&scope); once = NULL)
/* Leaves with `fail` where it is not locked. */
#define scoped_cond_guard(name, fail, ...)                                                         \
	UFENCE_SCOPED_COND_GUARD(name, fail, __UNIQUE_ID(ufence_scope), __UNIQUE_ID(ufence_once),  \
				 __VA_ARGS__)
#define UFENCE_SCOPED_COND_GUARD(name, fail, scope, once, ...)                                     \
	for (CLASS(name, scope)(__VA_ARGS__), *once = &scope; once; once = NULL)                   \
		if (!__guard_ptr(name)(&scope)) {                                                  \
			fail;                                                                      \
		} else

/* Of what is locked through a pointer, the object itself. */
#define DEFINE_GUARD(name, type, lock, unlock)                                                     \
	DEFINE_CLASS(name, type, if (_T) { unlock; }, __extension__({ lock; _T; }), type _T)       \
	static inline void *class_##name##_lock_ptr(class_##name##_t *p)                           \
	{                                                                                          \
		return (void *)*p;                                                                 \
	}
/* `condition` locks, or is false. */
#define DEFINE_GUARD_COND(name, suffix, condition)                                                 \
	EXTEND_CLASS(name, suffix, __extension__({                                                 \
		if (_T && !(condition))                                                            \
			_T = NULL;                                                                 \
		_T;                                                                                \
	}), class_##name##_t _T)                                                                   \
	static inline void *class_##name##suffix##_lock_ptr(class_##name##_t *p)                   \
	{                                                                                          \
		return (void *)*p;                                                                 \
	}

/* Of what has a lock (_T->lock), and room for what its locking returns. */
#define UFENCE_LOCK_GUARD_TYPE(name, type, unlock, ...)                                            \
	typedef struct {                                                                           \
		type *lock;                                                                        \
		__VA_ARGS__;                                                                       \
	} class_##name##_t;                                                                        \
	static inline void class_##name##_destructor(class_##name##_t *_T)                         \
	{                                                                                          \
		if (_T->lock) {                                                                    \
			unlock;                                                                    \
		}                                                                                  \
	}                                                                                          \
	static inline void *class_##name##_lock_ptr(class_##name##_t *_T)                          \
	{                                                                                          \
		return (void *)_T->lock;                                                           \
	}
#define DEFINE_LOCK_GUARD_1(name, type, lock_it, unlock, ...)                                      \
	UFENCE_LOCK_GUARD_TYPE(name, type, unlock, __VA_ARGS__)                                    \
	static inline class_##name##_t class_##name##_constructor(type *l)                         \
	{                                                                                          \
		class_##name##_t ufence_guarded = { .lock = l }, *_T = &ufence_guarded;            \
		lock_it;                                                                           \
		return ufence_guarded;                                                             \
	}
#define DEFINE_LOCK_GUARD_1_COND(name, suffix, condition)                                          \
	EXTEND_CLASS(name, suffix, __extension__({                                                 \
		class_##name##_t ufence_guarded = { .lock = l }, *_T = &ufence_guarded;            \
		if (_T->lock && !(condition))                                                      \
			_T->lock = NULL;                                                           \
		ufence_guarded;                                                                    \
	}), __typeof__(((class_##name##_t *)0)->lock) l)                                           \
	static inline void *class_##name##suffix##_lock_ptr(class_##name##_t *p)                   \
	{                                                                                          \
		return class_##name##_lock_ptr(p);                                                 \
	}
#define DEFINE_LOCK_GUARD_0(name, lock_it, unlock, ...)                                            \
	UFENCE_LOCK_GUARD_TYPE(name, void, unlock, __VA_ARGS__)                                    \
	static inline class_##name##_t class_##name##_constructor(void)                            \
	{                                                                                          \
		class_##name##_t ufence_guarded = { .lock = (void *)1 }, *_T = &ufence_guarded;    \
		(void)_T;                                                                          \
		lock_it;                                                                           \
		return ufence_guarded;                                                             \
	}

#endif
#endif

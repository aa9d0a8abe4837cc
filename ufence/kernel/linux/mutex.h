/* Mutexes: they spin shortly, then sleep. Zeroed memory is an unlocked one. */
#ifndef UFENCE_LINUX_MUTEX_H
#define UFENCE_LINUX_MUTEX_H

#include <linux/cleanup.h>
#include <linux/compiler.h>
#include <linux/lockdep.h>
#include <linux/types.h>
#include <linux/ufence.h>

UFENCE_C_BEGIN

struct mutex {
	u32 ufence_word;
};

#define DEFINE_MUTEX(name) struct mutex name = { 0 }

void mutex_lock(struct mutex *lock) UFENCE_KERNEL(mutex_lock);
/* 0; -EINTR: a signal handler ran that was not installed with SA_RESTART. */
int mutex_lock_interruptible(struct mutex *lock) UFENCE_KERNEL(mutex_lock_interruptible);
int mutex_trylock(struct mutex *lock) UFENCE_KERNEL(mutex_trylock);
void mutex_unlock(struct mutex *lock) UFENCE_KERNEL(mutex_unlock);

UFENCE_C_END

static inline void mutex_init(struct mutex *lock)
{
	WRITE_ONCE(lock->ufence_word, 0U);
}

static inline bool mutex_is_locked(struct mutex *lock)
{
	return READ_ONCE(lock->ufence_word) != 0;
}

#define mutex_destroy(lock) ((void)(lock))
#define mutex_lock_nested(lock, subclass) mutex_lock(lock)
#define mutex_lock_nest_lock(lock, nest_lock) mutex_lock(lock)
#define mutex_lock_killable(lock) (mutex_lock(lock), 0)
#define mutex_lock_interruptible_nested(lock, subclass) mutex_lock_interruptible(lock)

#ifdef DEFINE_GUARD
DEFINE_GUARD(mutex, struct mutex *, mutex_lock(_T), mutex_unlock(_T))
DEFINE_GUARD_COND(mutex, _try, mutex_trylock(_T))
DEFINE_GUARD_COND(mutex, _intr, mutex_lock_interruptible(_T) == 0)
#endif

#endif

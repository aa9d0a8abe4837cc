/* Spinlocks of a program's own, in place of the library's; and its own kfree() of fences. */
#ifndef UFENCE_OTHER_SHIM_LINUX_SPINLOCK_H
#define UFENCE_OTHER_SHIM_LINUX_SPINLOCK_H

#include <linux/compiler.h>
#include <linux/lockdep.h>

typedef struct {
	unsigned int holders, taken;
} spinlock_t;

static inline void spin_lock_init(spinlock_t *lock)
{
	lock->holders = lock->taken = 0;
}

static inline void spin_lock(spinlock_t *lock)
{
	while (UFENCE_EXCHANGE(&lock->holders, 1U))
		;
	lock->taken++;
}

static inline void spin_unlock(spinlock_t *lock)
{
	smp_store_release(&lock->holders, 0U);
}

void other_kfree(void *fence);
#define UFENCE_KFREE other_kfree

#endif

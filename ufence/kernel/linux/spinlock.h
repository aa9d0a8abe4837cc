/*
 * Spinlocks: they spin shortly, then sleep. There are no interrupts to disable; what the kernel would
 * run in one (an array's or a chain's own signaling) runs when the thread drops its last spinlock.
 * Zeroed memory is an unlocked lock.
 */
#ifndef UFENCE_LINUX_SPINLOCK_H
#define UFENCE_LINUX_SPINLOCK_H

#include <linux/cleanup.h>
#include <linux/compiler.h>
#include <linux/lockdep.h>
#include <linux/types.h>
#include <linux/ufence.h>

/* dma-fence.h: the library knows this kind of lock. */
#define UFENCE_SPINLOCK 1

UFENCE_C_BEGIN

typedef struct spinlock {
	u32 word;
} spinlock_t;
typedef spinlock_t raw_spinlock_t;

#define __SPIN_LOCK_UNLOCKED(name) { 0 }
#define DEFINE_SPINLOCK(name) spinlock_t name = __SPIN_LOCK_UNLOCKED(name)
#define DEFINE_RAW_SPINLOCK(name) DEFINE_SPINLOCK(name)

void spin_lock(spinlock_t *lock) UFENCE_KERNEL(spin_lock);
void spin_unlock(spinlock_t *lock) UFENCE_KERNEL(spin_unlock);
int spin_trylock(spinlock_t *lock) UFENCE_KERNEL(spin_trylock);

UFENCE_C_END

static inline void spin_lock_init(spinlock_t *lock)
{
	WRITE_ONCE(lock->word, 0U);
}

static inline int spin_is_locked(spinlock_t *lock)
{
	return READ_ONCE(lock->word) != 0;
}

#define assert_spin_locked(lock) ((void)(lock))

#define spin_lock_nested(lock, subclass) spin_lock(lock)
#define spin_lock_irq(lock) spin_lock(lock)
#define spin_unlock_irq(lock) spin_unlock(lock)
#define spin_lock_bh(lock) spin_lock(lock)
#define spin_unlock_bh(lock) spin_unlock(lock)
#define spin_lock_irqsave(lock, flags)                                                             \
	do {                                                                                       \
		(flags) = 0;                                                                       \
		spin_lock(lock);                                                                   \
	} while (0)
#define spin_lock_irqsave_nested(lock, flags, subclass) spin_lock_irqsave(lock, flags)
#define spin_unlock_irqrestore(lock, flags)                                                        \
	do {                                                                                       \
		(void)(flags);                                                                     \
		spin_unlock(lock);                                                                 \
	} while (0)

#define spin_trylock_irq(lock) spin_trylock(lock)
#define spin_trylock_bh(lock) spin_trylock(lock)
#define spin_trylock_irqsave(lock, flags) ((flags) = 0, spin_trylock(lock))
#define spin_lock_bh_nested(lock, subclass) spin_lock(lock)
#define spin_lock_nest_lock(lock, nest_lock) spin_lock(lock)
#define spin_needbreak(lock) 0
#define spin_is_contended(lock) 0

/* cleanup.h may be another one. */
#ifdef DEFINE_LOCK_GUARD_1
DEFINE_LOCK_GUARD_1(spinlock, spinlock_t, spin_lock(_T->lock), spin_unlock(_T->lock),
		    bool ufence_unused)
DEFINE_LOCK_GUARD_1_COND(spinlock, _try, spin_trylock(_T->lock))
DEFINE_LOCK_GUARD_1(spinlock_irq, spinlock_t, spin_lock_irq(_T->lock), spin_unlock_irq(_T->lock),
		    bool ufence_unused)
DEFINE_LOCK_GUARD_1(spinlock_bh, spinlock_t, spin_lock_bh(_T->lock), spin_unlock_bh(_T->lock),
		    bool ufence_unused)
DEFINE_LOCK_GUARD_1(spinlock_irqsave, spinlock_t, spin_lock_irqsave(_T->lock, _T->flags),
		    spin_unlock_irqrestore(_T->lock, _T->flags), unsigned long flags)
DEFINE_LOCK_GUARD_1_COND(spinlock_irqsave, _try, spin_trylock_irqsave(_T->lock, _T->flags))
#endif

#define assert_raw_spin_locked(lock) assert_spin_locked(lock)
#define raw_spin_trylock(lock) spin_trylock(lock)
#define raw_spin_lock_irq(lock) spin_lock(lock)
#define raw_spin_unlock_irq(lock) spin_unlock(lock)
#define raw_spin_lock_init(lock) spin_lock_init(lock)
#define raw_spin_lock(lock) spin_lock(lock)
#define raw_spin_unlock(lock) spin_unlock(lock)
#define raw_spin_lock_irqsave(lock, flags) spin_lock_irqsave(lock, flags)
#define raw_spin_unlock_irqrestore(lock, flags) spin_unlock_irqrestore(lock, flags)

#endif

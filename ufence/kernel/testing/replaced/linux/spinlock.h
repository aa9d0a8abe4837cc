/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_SPINLOCK_H
#define UFENCE_REPLACED_LINUX_SPINLOCK_H

#include <pthread.h>
#include <linux/lockdep.h>
/* A large one. */
typedef struct {
	pthread_mutex_t lock;
} spinlock_t;
static inline void spin_lock_init(spinlock_t *lock)
{
	pthread_mutex_init(&lock->lock, NULL);
}
static inline void spin_lock(spinlock_t *lock)
{
	pthread_mutex_lock(&lock->lock);
}
static inline void spin_unlock(spinlock_t *lock)
{
	pthread_mutex_unlock(&lock->lock);
}
#define spin_lock_irqsave(lock, flags) do { (flags) = 0; spin_lock(lock); } while (0)
#define spin_unlock_irqrestore(lock, flags) do { (void)(flags); spin_unlock(lock); } while (0)

#endif

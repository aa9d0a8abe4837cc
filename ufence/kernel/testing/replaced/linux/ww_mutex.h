/* A small header of a program's own. */
#ifndef UFENCE_REPLACED_LINUX_WW_MUTEX_H
#define UFENCE_REPLACED_LINUX_WW_MUTEX_H

#include <linux/errno.h>
#include <pthread.h>
#include <linux/types.h>
/* Of those who lock one at a time. */
struct ww_class {
	int unused;
};
struct ww_acquire_ctx {
	int held;
};
struct ww_mutex {
	pthread_mutex_t lock;
	struct ww_acquire_ctx *ctx;
	int is_locked;
};
#define DEFINE_WW_CLASS(name) struct ww_class name = { 0 }
static inline void ww_mutex_init(struct ww_mutex *lock, struct ww_class *ww_class)
{
	(void)ww_class;
	pthread_mutex_init(&lock->lock, NULL);
	lock->ctx = NULL;
	lock->is_locked = 0;
}
static inline void ww_mutex_destroy(struct ww_mutex *lock)
{
	pthread_mutex_destroy(&lock->lock);
}
static inline int ww_mutex_lock(struct ww_mutex *lock, struct ww_acquire_ctx *ctx)
{
	if (ctx && lock->ctx == ctx)
		return -EALREADY;
	pthread_mutex_lock(&lock->lock);
	lock->ctx = ctx;
	lock->is_locked = 1;
	return 0;
}
/* An older one never comes: they never give way. */
#define ww_acquire_init(ctx, ww_class) ((void)((ctx)->held = 0))
#define ww_acquire_done(ctx) ((void)(ctx))
#define ww_acquire_fini(ctx) ((void)(ctx))
#define ww_mutex_lock_interruptible(lock, ctx) ww_mutex_lock(lock, ctx)
#define ww_mutex_lock_slow(lock, ctx) ((void)ww_mutex_lock(lock, ctx))
#define ww_mutex_lock_slow_interruptible(lock, ctx) ww_mutex_lock(lock, ctx)
static inline int ww_mutex_trylock(struct ww_mutex *lock, struct ww_acquire_ctx *ctx)
{
	if (pthread_mutex_trylock(&lock->lock))
		return 0;
	lock->ctx = ctx;
	lock->is_locked = 1;
	return 1;
}
static inline void ww_mutex_unlock(struct ww_mutex *lock)
{
	lock->ctx = NULL;
	lock->is_locked = 0;
	pthread_mutex_unlock(&lock->lock);
}
static inline bool ww_mutex_is_locked(struct ww_mutex *lock)
{
	return lock->is_locked != 0;
}

#endif

/*
 * Wound/wait mutexes, for those who lock several of them in any order, with an acquire context. Classes
 * share one order of ages.
 */
#ifndef UFENCE_LINUX_WW_MUTEX_H
#define UFENCE_LINUX_WW_MUTEX_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/ufence.h>

/* dma-resv.h: it knows this kind of lock. */
#define UFENCE_WW_MUTEX 1

UFENCE_C_BEGIN

struct ww_class {
	bool ufence_unused;
};

struct ww_acquire_ctx {
	u64 ufence_context[2];
};

struct ww_mutex {
	__extension__ union {
		u64 ufence_mutex[8];
		struct mutex base; /* for the annotations of lockdep.h alone */
	};
};

/* An unlocked one; as ww_mutex_init() leaves it. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define UFENCE_WW_MUTEX_INIT { { { 0, 10ULL << 32 } } }
#else
#define UFENCE_WW_MUTEX_INIT { { { 0, 10 } } }
#endif
#define DEFINE_WW_MUTEX(name, ww_class) struct ww_mutex name = UFENCE_WW_MUTEX_INIT

/* Those that wait/die end as those that wound/wait: a younger one gives way. */
#define DEFINE_WW_CLASS(name) struct ww_class name = { false }
#define DEFINE_WD_CLASS(name) struct ww_class name = { false }

void ww_acquire_init(struct ww_acquire_ctx *ctx, const struct ww_class *ww_class)
	UFENCE_KERNEL(ww_acquire_init);
/* It holds nothing any more. */
void ww_acquire_fini(struct ww_acquire_ctx *ctx) UFENCE_KERNEL(ww_acquire_fini);

void ww_mutex_init(struct ww_mutex *lock, const struct ww_class *ww_class)
	UFENCE_KERNEL(ww_mutex_init);
void ww_mutex_destroy(struct ww_mutex *lock) UFENCE_KERNEL(ww_mutex_destroy);
/*
 * 0; -EDEADLK: unlock all that the context holds, then lock_slow; -EALREADY: the context holds it. The
 * interruptible ones: -EINTR, a signal handler ran that was not installed with SA_RESTART.
 */
int ww_mutex_lock(struct ww_mutex *lock, struct ww_acquire_ctx *ctx) UFENCE_KERNEL(ww_mutex_lock);
int ww_mutex_lock_interruptible(struct ww_mutex *lock, struct ww_acquire_ctx *ctx)
	UFENCE_KERNEL(ww_mutex_lock_interruptible);
/* The context holds nothing. */
void ww_mutex_lock_slow(struct ww_mutex *lock, struct ww_acquire_ctx *ctx)
	UFENCE_KERNEL(ww_mutex_lock_slow);
int ww_mutex_lock_slow_interruptible(struct ww_mutex *lock, struct ww_acquire_ctx *ctx)
	UFENCE_KERNEL(ww_mutex_lock_slow_interruptible);
int ww_mutex_trylock(struct ww_mutex *lock, struct ww_acquire_ctx *ctx)
	UFENCE_KERNEL(ww_mutex_trylock);
void ww_mutex_unlock(struct ww_mutex *lock) UFENCE_KERNEL(ww_mutex_unlock);
bool ww_mutex_is_locked(struct ww_mutex *lock) UFENCE_KERNEL(ww_mutex_is_locked);
/* The context that it is locked with, or NULL. */
struct ww_acquire_ctx *ufence_ww_mutex_ctx(struct ww_mutex *lock) UFENCE_EXPORT;

UFENCE_C_END

#define ww_acquire_done(ctx) ((void)(ctx))

#endif

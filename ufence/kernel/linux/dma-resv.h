/*
 * Reservation objects: the fences of a buffer, each with what it is used for.
 *
 * The functions here have the kernel's names; what they call takes the object's list, or its lock, so that
 * the lock may be another ww_mutex.h's.
 */
#ifndef UFENCE_LINUX_DMA_RESV_H
#define UFENCE_LINUX_DMA_RESV_H

#include <linux/compiler.h>
#include <linux/dma-fence.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/types.h>
#include <linux/ufence.h>
#include <linux/ww_mutex.h>

UFENCE_C_BEGIN

#ifdef UFENCE_WW_MUTEX
extern const struct ww_class reservation_ww_class UFENCE_KERNEL(reservation_ww_class);
#else
extern struct ww_class reservation_ww_class;
__attribute__((weak)) DEFINE_WW_CLASS(reservation_ww_class);
#endif

/* Who asks for one usage gets the earlier ones as well. */
enum dma_resv_usage {
	DMA_RESV_USAGE_KERNEL,
	DMA_RESV_USAGE_WRITE,
	DMA_RESV_USAGE_READ,
	DMA_RESV_USAGE_BOOKKEEP,
};

struct dma_resv_list;

struct dma_resv {
	struct ww_mutex lock;
	struct dma_resv_list __rcu *fences; /* changed under the lock */
};

/* To be begun and, without the lock, ended. */
struct dma_resv_iter {
	struct dma_resv *obj;
	enum dma_resv_usage usage;
	struct dma_fence *fence; /* the current one, without a lock with a reference */
	enum dma_resv_usage fence_usage;
	unsigned int index; /* of the next */
	struct dma_resv_list *fences; /* something else: an unlocked walk starts again */
	unsigned int num_fences;
	bool is_restarted;
	u64 ufence_serial; /* of `fences`: an address may come again */
	struct dma_resv_list **ufence_list;
};

/* --- What the library does --- */

void ufence_dma_resv_fini(struct dma_resv_list **list) UFENCE_EXPORT;
void ufence_dma_resv_unreserve(struct dma_resv_list **list) UFENCE_EXPORT;
int ufence_dma_resv_reserve(struct dma_resv_list **list, unsigned int num_fences) UFENCE_EXPORT;
void ufence_dma_resv_add(struct dma_resv_list **list, struct dma_fence *fence,
			 enum dma_resv_usage usage) UFENCE_EXPORT;
void ufence_dma_resv_replace(struct dma_resv_list **list, u64 context, struct dma_fence *fence,
			     enum dma_resv_usage usage) UFENCE_EXPORT;
int ufence_dma_resv_copy(struct dma_resv_list **to, struct dma_resv_list **from) UFENCE_EXPORT;
int ufence_dma_resv_get(struct dma_resv_list **list, enum dma_resv_usage usage,
			unsigned int *num_fences, struct dma_fence ***fences) UFENCE_EXPORT;
int ufence_dma_resv_get_one(struct dma_resv_list **list, enum dma_resv_usage usage,
			    struct dma_fence **fence) UFENCE_EXPORT;
long ufence_dma_resv_wait(struct dma_resv_list **list, enum dma_resv_usage usage, bool intr,
			  unsigned long timeout) UFENCE_EXPORT;
void ufence_dma_resv_tell(struct dma_resv_list **list, enum dma_resv_usage usage,
			  ktime_t deadline) UFENCE_EXPORT;
bool ufence_dma_resv_test(struct dma_resv_list **list, enum dma_resv_usage usage) UFENCE_EXPORT;

/* --- Walking --- */

/* Without the lock: pending fences, each with a reference until the next step. */
struct dma_fence *dma_resv_iter_first_unlocked(struct dma_resv_iter *cursor)
	UFENCE_KERNEL(dma_resv_iter_first_unlocked);
struct dma_fence *dma_resv_iter_next_unlocked(struct dma_resv_iter *cursor)
	UFENCE_KERNEL(dma_resv_iter_next_unlocked);
/* Lock held: all fences, no references. */
struct dma_fence *dma_resv_iter_first(struct dma_resv_iter *cursor)
	UFENCE_KERNEL(dma_resv_iter_first);
struct dma_fence *dma_resv_iter_next(struct dma_resv_iter *cursor) UFENCE_KERNEL(dma_resv_iter_next);

UFENCE_C_END

/* What an access has to wait for. */
static inline enum dma_resv_usage dma_resv_usage_rw(bool write)
{
	return write ? DMA_RESV_USAGE_READ : DMA_RESV_USAGE_WRITE;
}

static inline void dma_resv_init(struct dma_resv *obj)
{
	ww_mutex_init(&obj->lock, &reservation_ww_class);
	RCU_INIT_POINTER(obj->fences, NULL);
}

/* Nobody uses it any more. */
static inline void dma_resv_fini(struct dma_resv *obj)
{
	ufence_dma_resv_fini(&obj->fences);
	ww_mutex_destroy(&obj->lock);
}

/* --- The lock --- */

/* As ww_mutex_lock(): 0, -EDEADLK, -EALREADY. */
static inline int dma_resv_lock(struct dma_resv *obj, struct ww_acquire_ctx *ctx)
{
	return ww_mutex_lock(&obj->lock, ctx);
}

static inline int dma_resv_lock_interruptible(struct dma_resv *obj, struct ww_acquire_ctx *ctx)
{
	return ww_mutex_lock_interruptible(&obj->lock, ctx);
}

static inline void dma_resv_lock_slow(struct dma_resv *obj, struct ww_acquire_ctx *ctx)
{
	ww_mutex_lock_slow(&obj->lock, ctx);
}

static inline int dma_resv_lock_slow_interruptible(struct dma_resv *obj, struct ww_acquire_ctx *ctx)
{
	return ww_mutex_lock_slow_interruptible(&obj->lock, ctx);
}

static inline bool dma_resv_trylock(struct dma_resv *obj)
{
	return ww_mutex_trylock(&obj->lock, NULL) != 0;
}

static inline bool dma_resv_is_locked(struct dma_resv *obj)
{
	return ww_mutex_is_locked(&obj->lock) != 0;
}

static inline struct ww_acquire_ctx *dma_resv_locking_ctx(struct dma_resv *obj)
{
#ifdef UFENCE_WW_MUTEX
	return ufence_ww_mutex_ctx(&obj->lock);
#else
	return READ_ONCE(obj->lock.ctx);
#endif
}

/* What was reserved and not used is given back. */
static inline void dma_resv_reset_max_fences(struct dma_resv *obj)
{
	ufence_dma_resv_unreserve(&obj->fences);
}

static inline void dma_resv_unlock(struct dma_resv *obj)
{
	dma_resv_reset_max_fences(obj);
	ww_mutex_unlock(&obj->lock);
}

#define dma_resv_held(obj) dma_resv_is_locked(obj)
#define dma_resv_assert_held(obj) ((void)(obj))

/* --- Changing it: lock held --- */

/* The next num_fences adds, until the unlock, will succeed: 0; -ENOMEM; -EINVAL. */
static inline int dma_resv_reserve_fences(struct dma_resv *obj, unsigned int num_fences)
{
	return ufence_dma_resv_reserve(&obj->fences, num_fences);
}

/*
 * In the place of the first one of its context that is not later and whose usage is the same or a later one,
 * or that is signaled; else it takes what was reserved for one. Takes a reference of its own; no container.
 */
static inline void dma_resv_add_fence(struct dma_resv *obj, struct dma_fence *fence,
				      enum dma_resv_usage usage)
{
	ufence_dma_resv_add(&obj->fences, fence, usage);
}

static inline void dma_resv_replace_fences(struct dma_resv *obj, uint64_t context,
					   struct dma_fence *fence, enum dma_resv_usage usage)
{
	ufence_dma_resv_replace(&obj->fences, context, fence, usage);
}

/* The lock of dst. */
static inline int dma_resv_copy_fences(struct dma_resv *dst, struct dma_resv *src)
{
	return ufence_dma_resv_copy(&dst->fences, &src->fences);
}

static inline void dma_resv_iter_begin(struct dma_resv_iter *cursor, struct dma_resv *obj,
				       enum dma_resv_usage usage)
{
	cursor->obj = obj;
	cursor->usage = usage;
	cursor->fence = NULL;
	cursor->ufence_list = &obj->fences;
}

/* Drops the reference of a walk without the lock. */
static inline void dma_resv_iter_end(struct dma_resv_iter *cursor)
{
	dma_fence_put(cursor->fence);
}

static inline enum dma_resv_usage dma_resv_iter_usage(struct dma_resv_iter *cursor)
{
	return cursor->fence_usage;
}

/* Forget what was collected. True for the first. */
static inline bool dma_resv_iter_is_restarted(struct dma_resv_iter *cursor)
{
	return cursor->is_restarted;
}

#define dma_resv_for_each_fence_unlocked(cursor, fence)                                            \
	for (fence = dma_resv_iter_first_unlocked(cursor); fence;                                  \
	     fence = dma_resv_iter_next_unlocked(cursor))
#define dma_resv_for_each_fence(cursor, obj, usage, fence)                                         \
	for (dma_resv_iter_begin(cursor, obj, usage), fence = dma_resv_iter_first(cursor); fence;  \
	     fence = dma_resv_iter_next(cursor))

/* --- Looking: no lock needed --- */

/* Who gets them frees the array and drops the references. 0; -ENOMEM. */
static inline int dma_resv_get_fences(struct dma_resv *obj, enum dma_resv_usage usage,
				      unsigned int *num_fences, struct dma_fence ***fences)
{
	return ufence_dma_resv_get(&obj->fences, usage, num_fences, fences);
}

/* One fence for all: NULL, itself, or an array. 0; -ENOMEM. */
static inline int dma_resv_get_singleton(struct dma_resv *obj, enum dma_resv_usage usage,
					 struct dma_fence **fence)
{
	return ufence_dma_resv_get_one(&obj->fences, usage, fence);
}

/* Jiffies left, at least 1; 0: not by then; or an errno, as dma_fence_wait_timeout(). */
static inline long dma_resv_wait_timeout(struct dma_resv *obj, enum dma_resv_usage usage, bool intr,
					 unsigned long timeout)
{
	return ufence_dma_resv_wait(&obj->fences, usage, intr, timeout);
}

static inline void dma_resv_set_deadline(struct dma_resv *obj, enum dma_resv_usage usage,
					 ktime_t deadline)
{
	ufence_dma_resv_tell(&obj->fences, usage, deadline);
}

static inline bool dma_resv_test_signaled(struct dma_resv *obj, enum dma_resv_usage usage)
{
	return ufence_dma_resv_test(&obj->fences, usage);
}

/* A line for each fence up to READ; lock held. */
static inline void dma_resv_describe(struct dma_resv *obj, struct seq_file *seq)
{
	static const char *const names[] = { "kernel", "write", "read", "bookkeep" };
	struct dma_resv_iter cursor;
	struct dma_fence *fence;

	dma_resv_for_each_fence(&cursor, obj, DMA_RESV_USAGE_READ, fence) {
		seq_printf(seq, "\t%s fence:", names[dma_resv_iter_usage(&cursor)]);
		dma_fence_describe(fence, seq);
	}
}

#endif

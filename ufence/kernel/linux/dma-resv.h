/* Reservation objects: the fences of a buffer, each with what it is used for. */
#ifndef UFENCE_LINUX_DMA_RESV_H
#define UFENCE_LINUX_DMA_RESV_H

#include <linux/dma-fence.h>
#include <linux/ww_mutex.h>

#if __has_include(<linux/slab.h>)
#include <linux/slab.h>
#endif

UFENCE_C_BEGIN

extern const struct ww_class reservation_ww_class UFENCE_KERNEL(reservation_ww_class);

/* Who asks for one usage gets the earlier ones as well. */
enum dma_resv_usage {
	DMA_RESV_USAGE_KERNEL,
	DMA_RESV_USAGE_WRITE,
	DMA_RESV_USAGE_READ,
	DMA_RESV_USAGE_BOOKKEEP,
};

struct dma_resv_list;

struct dma_resv {
	u64 ufence_resv[14];
};

/* To be begun and ended. */
struct dma_resv_iter {
	struct dma_resv *obj;
	enum dma_resv_usage usage;
	struct dma_fence *fence; /* the current one, without a lock with a reference */
	enum dma_resv_usage fence_usage;
	struct dma_resv_list *fences; /* something else: an unlocked walk starts again */
	bool is_restarted;
	bool ufence_begun; /* the walk without a lock */
	u64 ufence_cursor[8];
};

/* What an access has to wait for. */
static inline enum dma_resv_usage dma_resv_usage_rw(bool write)
{
	return write ? DMA_RESV_USAGE_READ : DMA_RESV_USAGE_WRITE;
}

void dma_resv_init(struct dma_resv *obj) UFENCE_KERNEL(dma_resv_init);
void dma_resv_fini(struct dma_resv *obj) UFENCE_KERNEL(dma_resv_fini);

/* --- The lock --- */

/* 0; -EDEADLK: unlock all that the context holds, then lock_slow; -EALREADY: the context holds it. */
int dma_resv_lock(struct dma_resv *obj, struct ww_acquire_ctx *ctx) UFENCE_KERNEL(dma_resv_lock);
void dma_resv_lock_slow(struct dma_resv *obj, struct ww_acquire_ctx *ctx)
	UFENCE_KERNEL(dma_resv_lock_slow);
bool dma_resv_trylock(struct dma_resv *obj) UFENCE_KERNEL(dma_resv_trylock);
bool dma_resv_is_locked(struct dma_resv *obj) UFENCE_KERNEL(dma_resv_is_locked);
struct ww_acquire_ctx *dma_resv_locking_ctx(struct dma_resv *obj)
	UFENCE_KERNEL(dma_resv_locking_ctx);
void dma_resv_unlock(struct dma_resv *obj) UFENCE_KERNEL(dma_resv_unlock);

static inline int dma_resv_lock_interruptible(struct dma_resv *obj, struct ww_acquire_ctx *ctx)
{
	return dma_resv_lock(obj, ctx);
}

static inline int dma_resv_lock_slow_interruptible(struct dma_resv *obj, struct ww_acquire_ctx *ctx)
{
	dma_resv_lock_slow(obj, ctx);
	return 0;
}

#define dma_resv_held(obj) dma_resv_is_locked(obj)
#define dma_resv_assert_held(obj) ((void)(obj))
#define dma_resv_reset_max_fences(obj) ((void)(obj))

/* --- Changing it: lock held --- */

/* The next num_fences adds, until the unlock, will succeed: 0; -ENOMEM; -EINVAL. */
int dma_resv_reserve_fences(struct dma_resv *obj, unsigned int num_fences)
	UFENCE_KERNEL(dma_resv_reserve_fences);
/* Takes a reference of its own; no container. */
void dma_resv_add_fence(struct dma_resv *obj, struct dma_fence *fence, enum dma_resv_usage usage)
	UFENCE_KERNEL(dma_resv_add_fence);
void dma_resv_replace_fences(struct dma_resv *obj, uint64_t context, struct dma_fence *fence,
			     enum dma_resv_usage usage) UFENCE_KERNEL(dma_resv_replace_fences);
int dma_resv_copy_fences(struct dma_resv *dst, struct dma_resv *src)
	UFENCE_KERNEL(dma_resv_copy_fences);

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
void dma_resv_iter_end(struct dma_resv_iter *cursor) UFENCE_KERNEL(dma_resv_iter_end);

static inline void dma_resv_iter_begin(struct dma_resv_iter *cursor, struct dma_resv *obj,
				       enum dma_resv_usage usage)
{
	cursor->obj = obj;
	cursor->usage = usage;
	cursor->fence = NULL;
	cursor->fences = NULL;
	cursor->is_restarted = false;
	cursor->ufence_begun = false;
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

/* --- Looking: no lock needed --- */

/* Who gets them frees the array and drops the references. 0; -ENOMEM. */
int dma_resv_get_fences(struct dma_resv *obj, enum dma_resv_usage usage, unsigned int *num_fences,
			struct dma_fence ***fences) UFENCE_KERNEL(dma_resv_get_fences);
int dma_resv_get_singleton(struct dma_resv *obj, enum dma_resv_usage usage,
			   struct dma_fence **fence) UFENCE_KERNEL(dma_resv_get_singleton);
long dma_resv_wait_timeout(struct dma_resv *obj, enum dma_resv_usage usage, bool intr,
			   unsigned long timeout) UFENCE_KERNEL(dma_resv_wait_timeout);
void dma_resv_set_deadline(struct dma_resv *obj, enum dma_resv_usage usage, ktime_t deadline)
	UFENCE_KERNEL(dma_resv_set_deadline);
bool dma_resv_test_signaled(struct dma_resv *obj, enum dma_resv_usage usage)
	UFENCE_KERNEL(dma_resv_test_signaled);

UFENCE_C_END

#define dma_resv_for_each_fence_unlocked(cursor, fence)                                            \
	for (fence = dma_resv_iter_first_unlocked(cursor); fence;                                  \
	     fence = dma_resv_iter_next_unlocked(cursor))
#define dma_resv_for_each_fence(cursor, obj, usage, fence)                                         \
	for (dma_resv_iter_begin(cursor, obj, usage), fence = dma_resv_iter_first(cursor); fence;  \
	     fence = dma_resv_iter_next(cursor))

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

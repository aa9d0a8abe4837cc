/*
 * Fences with the kernel's interface, over those of libufence: struct dma_fence is a fence of the
 * library in the caller's memory, with the kernel's fields. It can go wherever a fence goes (waits,
 * containers, descriptors), and the library's own functions work on it.
 *
 * Contracts are the kernel's (7.3); where they differ, ufence/kernel/README.md says so.
 */
#ifndef UFENCE_LINUX_DMA_FENCE_H
#define UFENCE_LINUX_DMA_FENCE_H

#include <limits.h>
#include <stdio.h>

#include <linux/bitops.h>
#ifndef __cplusplus /* others have macros called so */
#include <linux/bug.h>
#endif
#include <linux/compiler.h>
#include <linux/err.h>
#include <linux/jiffies.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/timekeeping.h>
#include <linux/types.h>
#include <linux/ufence.h>
#include <linux/wait.h>

#ifndef __rcu
#define __rcu
#endif
#ifndef MAX_SCHEDULE_TIMEOUT
#define MAX_SCHEDULE_TIMEOUT LONG_MAX
#endif
UFENCE_STATIC_ASSERT(HZ == 1000, "timeouts of libufence are in milliseconds");

UFENCE_C_BEGIN

struct dma_fence;
struct dma_fence_cb;

/* Lock of the fence held. May free the cb. */
typedef void (*dma_fence_func_t)(struct dma_fence *fence, struct dma_fence_cb *cb);

/* dma_fence_add_callback() sets it up; the node is an empty list head unless the cb is queued. */
struct dma_fence_cb {
	struct list_head node;
	dma_fence_func_t func;
	u64 ufence_node[8];
};

/* What the library has to know of the code that made a fence; NULL: spinlock.h, rcupdate.h, malloc(). */
struct ufence_fence_services {
	void (*lock)(void *spinlock);
	void (*unlock)(void *spinlock);
	/* A grace period of the library's has passed since the last reference. */
	void (*free)(void *fence);
	/* Around its ops, inside a section of the library's; NULL: none beside that. */
	void (*read_lock)(void);
	void (*read_unlock)(void);
};

struct dma_fence {
	/* The fence. What has no name of the kernel's is the library's alone. */
	u32 ufence_state;
	struct kref refcount;
	u64 context;
	u64 seqno;
	__extension__ union {
		__extension__ struct {
			ktime_t timestamp; /* from TIMESTAMP on */
			void *ufence_callbacks;
		};
		struct rcu_head rcu; /* once the last reference is gone */
	};
	int error; /* to be read once it is signaled */
	u8 ufence_kind;
	u8 ufence_lock;
	unsigned short ufence_generation;
	void *ufence_word[2];
	/* Who completes it. */
	const void *ufence_type;
	unsigned long ufence_is_polled; /* there is a `signaled` op to ask */
	const struct dma_fence_ops __rcu *ops; /* NULL once it is signaled, unless wait or release */
	unsigned long flags;
	const struct ufence_fence_services *ufence_services;
	__extension__ union {
		spinlock_t *extern_lock;
		spinlock_t inline_lock; /* with INLINE_LOCK */
	};
} __attribute__((aligned(16)));

UFENCE_STATIC_ASSERT(sizeof(struct dma_fence) <= 160, "the inline lock may have 48 bytes");
UFENCE_STATIC_ASSERT(sizeof(struct kref) == 4, "the count is the library's");
UFENCE_STATIC_ASSERT(sizeof(struct rcu_head) == 2 * sizeof(void *), "what is deferred is the library's");

/* At the front of containers, which lie as the library has them, however large a spinlock is. */
#define UFENCE_DMA_FENCE_BASE                                                                      \
	__extension__ union {                                                                      \
		struct dma_fence base;                                                             \
		u64 ufence_room[20];                                                               \
	}

enum dma_fence_flag_bits {
	DMA_FENCE_FLAG_INITIALIZED_BIT,
	DMA_FENCE_FLAG_INLINE_LOCK_BIT,
	DMA_FENCE_FLAG_SEQNO64_BIT,
	DMA_FENCE_FLAG_SIGNALED_BIT,
	DMA_FENCE_FLAG_TIMESTAMP_BIT,
	DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT,
	DMA_FENCE_FLAG_USER_BITS, /* from here on the issuer's; last */
};

/*
 * All inside an RCU read section, but wait. With wait or release the ops stay after the signal, and
 * their code has to.
 */
struct dma_fence_ops {
	const char *(*get_driver_name)(struct dma_fence *fence);
	const char *(*get_timeline_name)(struct dma_fence *fence);
	/* Lock held, at most once. False: it is complete (with fence->error), or can't be enabled. */
	bool (*enable_signaling)(struct dma_fence *fence);
	/* Lock held or not. True stays true. */
	bool (*signaled)(struct dma_fence *fence);
	/* Jiffies left, 0, or an errno. */
	signed long (*wait)(struct dma_fence *fence, bool intr, signed long timeout);
	/* Instead of dma_fence_free(): frees it after a grace period. */
	void (*release)(struct dma_fence *fence);
	/* No lock held. A hint. */
	void (*set_deadline)(struct dma_fence *fence, ktime_t deadline);
};

/* --- Life --- */

/* dma_fence_init() is below. */
void ufence_dma_fence_init(struct dma_fence *fence, const struct dma_fence_ops *ops, u64 context,
			   u64 seqno, unsigned long flags,
			   const struct ufence_fence_services *services) UFENCE_EXPORT;
struct dma_fence *dma_fence_get(struct dma_fence *fence) UFENCE_KERNEL(dma_fence_get);
void dma_fence_put(struct dma_fence *fence) UFENCE_KERNEL(dma_fence_put);
/* NULL: its last reference is gone. */
struct dma_fence *dma_fence_get_rcu(struct dma_fence *fence) UFENCE_KERNEL(dma_fence_get_rcu);
struct dma_fence *dma_fence_get_rcu_safe(struct dma_fence __rcu **fencep)
	UFENCE_KERNEL(dma_fence_get_rcu_safe);
/* For kref_put() on the count. */
void dma_fence_release(struct kref *kref) UFENCE_KERNEL(dma_fence_release);
void dma_fence_free(struct dma_fence *fence) UFENCE_KERNEL(dma_fence_free);
u64 dma_fence_context_alloc(unsigned int num) UFENCE_KERNEL(dma_fence_context_alloc);
struct dma_fence *dma_fence_get_stub(void) UFENCE_KERNEL(dma_fence_get_stub);
/* NULL: no memory. */
struct dma_fence *dma_fence_allocate_private_stub(ktime_t timestamp)
	UFENCE_KERNEL(dma_fence_allocate_private_stub);

/* --- Locking --- */

/* On a signaled fence it waits until the callbacks have returned, unless this thread runs them. */
void ufence_dma_fence_lock(struct dma_fence *fence) UFENCE_EXPORT;
void ufence_dma_fence_unlock(struct dma_fence *fence) UFENCE_EXPORT;

#define dma_fence_lock_irqsave(fence, flags)                                                       \
	do {                                                                                       \
		(flags) = 0;                                                                       \
		ufence_dma_fence_lock(fence);                                                      \
	} while (0)
#define dma_fence_unlock_irqrestore(fence, flags)                                                  \
	do {                                                                                       \
		(void)(flags);                                                                     \
		ufence_dma_fence_unlock(fence);                                                    \
	} while (0)
#define dma_fence_assert_held(fence) lockdep_assert_held(dma_fence_spinlock(fence))

/* --- Signaling --- */

void dma_fence_signal(struct dma_fence *fence) UFENCE_KERNEL(dma_fence_signal);
void dma_fence_signal_locked(struct dma_fence *fence) UFENCE_KERNEL(dma_fence_signal_locked);
void dma_fence_signal_timestamp(struct dma_fence *fence, ktime_t timestamp)
	UFENCE_KERNEL(dma_fence_signal_timestamp);
void dma_fence_signal_timestamp_locked(struct dma_fence *fence, ktime_t timestamp)
	UFENCE_KERNEL(dma_fence_signal_timestamp_locked);
/* True: it was signaled already. */
bool dma_fence_check_and_signal(struct dma_fence *fence) UFENCE_KERNEL(dma_fence_check_and_signal);
bool dma_fence_check_and_signal_locked(struct dma_fence *fence)
	UFENCE_KERNEL(dma_fence_check_and_signal_locked);
void dma_fence_set_error(struct dma_fence *fence, int error) UFENCE_KERNEL(dma_fence_set_error);

bool ufence_dma_fence_poll(struct dma_fence *fence) UFENCE_EXPORT;
bool ufence_dma_fence_poll_locked(struct dma_fence *fence) UFENCE_EXPORT;
ktime_t dma_fence_timestamp(struct dma_fence *fence) UFENCE_KERNEL(dma_fence_timestamp);

bool dma_fence_begin_signalling(void) UFENCE_KERNEL(dma_fence_begin_signalling);
void dma_fence_end_signalling(bool cookie) UFENCE_KERNEL(dma_fence_end_signalling);
void __dma_fence_might_wait(void) UFENCE_KERNEL(__dma_fence_might_wait);

/* --- Waiting, callbacks --- */

/* 0; -ENOENT: signaled already, it will not run; -EINVAL. */
int dma_fence_add_callback(struct dma_fence *fence, struct dma_fence_cb *cb, dma_fence_func_t func)
	UFENCE_KERNEL(dma_fence_add_callback);
/* True: it will not run. False: it ran; it does not run any more. */
bool dma_fence_remove_callback(struct dma_fence *fence, struct dma_fence_cb *cb)
	UFENCE_KERNEL(dma_fence_remove_callback);
/* For those who look whether its cb_list is empty: callbacks are queued on it that have not begun to run. */
bool ufence_dma_fence_has_callbacks(struct dma_fence *fence) UFENCE_EXPORT;
void dma_fence_enable_sw_signaling(struct dma_fence *fence)
	UFENCE_KERNEL(dma_fence_enable_sw_signaling);
/* The same, in later kernels. */
void dma_fence_enable_signaling(struct dma_fence *fence)
	UFENCE_KERNEL(dma_fence_enable_sw_signaling);
/* Jiffies left, at least 1; 0: not by then; or an errno. */
signed long dma_fence_wait_timeout(struct dma_fence *fence, bool intr, signed long timeout)
	UFENCE_KERNEL(dma_fence_wait_timeout);
signed long dma_fence_default_wait(struct dma_fence *fence, bool intr, signed long timeout)
	UFENCE_KERNEL(dma_fence_default_wait);
signed long dma_fence_wait_any_timeout(struct dma_fence **fences, u32 count, bool intr,
				       signed long timeout, u32 *idx)
	UFENCE_KERNEL(dma_fence_wait_any_timeout);
void dma_fence_set_deadline(struct dma_fence *fence, ktime_t deadline)
	UFENCE_KERNEL(dma_fence_set_deadline);

/* --- Names: inside an RCU read section --- */

const char *dma_fence_driver_name(struct dma_fence *fence) UFENCE_KERNEL(dma_fence_driver_name);
const char *dma_fence_timeline_name(struct dma_fence *fence) UFENCE_KERNEL(dma_fence_timeline_name);
/* The line of dma_fence_describe(), cut to the size. */
void ufence_dma_fence_describe(struct dma_fence *fence, char *line, size_t size) UFENCE_EXPORT;

/* --- Order --- */

/* As 32 bits that wrap, unless SEQNO64. */
bool __dma_fence_is_later(struct dma_fence *fence, u64 a, u64 b)
	UFENCE_KERNEL(__dma_fence_is_later);
/* False, with a report, if the contexts differ. */
bool dma_fence_is_later(struct dma_fence *f1, struct dma_fence *f2)
	UFENCE_KERNEL(dma_fence_is_later);
/* The later one, or NULL if that is signaled; NULL, with a report, if the contexts differ. */
struct dma_fence *dma_fence_later(struct dma_fence *f1, struct dma_fence *f2)
	UFENCE_KERNEL(dma_fence_later);

/* --- Kinds --- */

extern const struct dma_fence_ops dma_fence_array_ops UFENCE_KERNEL(dma_fence_array_ops);
extern const struct dma_fence_ops dma_fence_chain_ops UFENCE_KERNEL(dma_fence_chain_ops);

UFENCE_C_END

static inline spinlock_t *dma_fence_spinlock(struct dma_fence *fence)
{
	return test_bit(DMA_FENCE_FLAG_INLINE_LOCK_BIT, &fence->flags) ? &fence->inline_lock
								       : fence->extern_lock;
}

#if defined(UFENCE_SPINLOCK) && defined(UFENCE_RCUPDATE) && !defined(UFENCE_KFREE)
#define UFENCE_FENCE_SERVICES NULL
#else
/* Some of it is a shim's; the fence, also a signaled one, calls into the code that made it. */
#ifndef UFENCE_KFREE
#include <stdlib.h>
#define UFENCE_KFREE free
#endif

static inline void ufence_shim_lock(void *lock)
{
	spin_lock(UFENCE_CAST(spinlock_t *, lock));
}

static inline void ufence_shim_unlock(void *lock)
{
	spin_unlock(UFENCE_CAST(spinlock_t *, lock));
}

#ifdef UFENCE_RCUPDATE
#define UFENCE_SHIM_READ_LOCK NULL
#define UFENCE_SHIM_READ_UNLOCK NULL

static inline void ufence_shim_free(void *fence)
{
	UFENCE_KFREE(fence);
}
#else
/* Its readers are waited for as well as the library's, one after the other. */
#define UFENCE_SHIM_READ_LOCK ufence_shim_read_lock
#define UFENCE_SHIM_READ_UNLOCK ufence_shim_read_unlock

static inline void ufence_shim_read_lock(void)
{
	rcu_read_lock();
}

static inline void ufence_shim_read_unlock(void)
{
	rcu_read_unlock();
}

static inline void ufence_shim_free_now(struct rcu_head *head)
{
	UFENCE_KFREE(UFENCE_CAST(void *, UFENCE_CAST(char *, UFENCE_CAST(void *, head)) -
					 offsetof(struct dma_fence, rcu)));
}

static inline void ufence_shim_free(void *fence)
{
	call_rcu(&UFENCE_CAST(struct dma_fence *, fence)->rcu, ufence_shim_free_now);
}
#endif

static const struct ufence_fence_services ufence_shim_services __attribute__((unused)) = {
	ufence_shim_lock, ufence_shim_unlock,	 ufence_shim_free,
	UFENCE_SHIM_READ_LOCK, UFENCE_SHIM_READ_UNLOCK,
};
#define UFENCE_FENCE_SERVICES (&ufence_shim_services)
#endif

static inline void ufence_dma_fence_init_lock(struct dma_fence *fence,
					      const struct dma_fence_ops *ops, spinlock_t *lock,
					      u64 context, u64 seqno, unsigned long flags)
{
	if (lock) {
		fence->extern_lock = lock;
	} else {
		spin_lock_init(&fence->inline_lock);
		flags |= BIT(DMA_FENCE_FLAG_INLINE_LOCK_BIT);
	}
	ufence_dma_fence_init(fence, ops, context, seqno, flags, UFENCE_FENCE_SERVICES);
}

/* lock: NULL, the fence has its own. The seqno is compared as 32 bits. Allocates nothing. */
static inline void dma_fence_init(struct dma_fence *fence, const struct dma_fence_ops *ops,
				  spinlock_t *lock, u64 context, u64 seqno)
{
	ufence_dma_fence_init_lock(fence, ops, lock, context, seqno, 0);
}

static inline void dma_fence_init64(struct dma_fence *fence, const struct dma_fence_ops *ops,
				    spinlock_t *lock, u64 context, u64 seqno)
{
	ufence_dma_fence_init_lock(fence, ops, lock, context, seqno,
				   BIT(DMA_FENCE_FLAG_SEQNO64_BIT));
}

/* Of memory that was zeroed or is a fence. */
static inline bool dma_fence_was_initialized(struct dma_fence *fence)
{
	return fence && test_bit(DMA_FENCE_FLAG_INITIALIZED_BIT, &fence->flags);
}

/* --- Looking --- */

/* Never polls. After true, the error is readable. */
static inline bool dma_fence_test_signaled_flag(struct dma_fence *fence)
{
	return test_bit_acquire(DMA_FENCE_FLAG_SIGNALED_BIT, &fence->flags);
}

/* Polls: may signal it, and run its callbacks here. */
static inline bool dma_fence_is_signaled(struct dma_fence *fence)
{
	return dma_fence_test_signaled_flag(fence) ||
	       (fence->ufence_is_polled && ufence_dma_fence_poll(fence));
}

static inline bool dma_fence_is_signaled_locked(struct dma_fence *fence)
{
	return dma_fence_test_signaled_flag(fence) ||
	       (fence->ufence_is_polled && ufence_dma_fence_poll_locked(fence));
}

/* 0 not signaled; 1; or its error. An array that is done may still be told of errors, and drop them. */
static inline int dma_fence_get_status(struct dma_fence *fence)
{
	if (!dma_fence_is_signaled(fence))
		return 0;
	return UFENCE_LOAD(&fence->error) < 0 ? UFENCE_LOAD(&fence->error) : 1;
}

static inline int dma_fence_get_status_locked(struct dma_fence *fence)
{
	if (!dma_fence_is_signaled_locked(fence))
		return 0;
	return UFENCE_LOAD(&fence->error) < 0 ? UFENCE_LOAD(&fence->error) : 1;
}

/* 0, or an errno. */
static inline signed long dma_fence_wait(struct dma_fence *fence, bool intr)
{
	signed long left = dma_fence_wait_timeout(fence, intr, MAX_SCHEDULE_TIMEOUT);

	return left < 0 ? left : 0;
}

static inline bool dma_fence_is_later_or_same(struct dma_fence *f1, struct dma_fence *f2)
{
	return f1 == f2 || dma_fence_is_later(f1, f2);
}

/* "context:seqno timeline driver signalled" or "unsignalled"; of a signaled fence without the names. */
static inline void dma_fence_describe(struct dma_fence *fence, struct seq_file *seq)
{
	char line[256];

	ufence_dma_fence_describe(fence, line, sizeof(line));
	seq_printf(seq, "%s", line);
}

/* --- Containers: told apart by their ops, also once they are signaled --- */

static inline bool dma_fence_is_array(struct dma_fence *fence)
{
	return rcu_access_pointer(fence->ops) == &dma_fence_array_ops;
}

static inline bool dma_fence_is_chain(struct dma_fence *fence)
{
	return rcu_access_pointer(fence->ops) == &dma_fence_chain_ops;
}

static inline bool dma_fence_is_container(struct dma_fence *fence)
{
	return dma_fence_is_array(fence) || dma_fence_is_chain(fence);
}

#endif

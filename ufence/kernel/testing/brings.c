/* What code finds that includes <linux/dma-fence.h> and no other header, as most fence files of drivers do. */
#include <linux/dma-fence.h>

#include "ufence/kernel/testing/brings.h"

static DEFINE_SPINLOCK(lock);
static DECLARE_WAIT_QUEUE_HEAD(queue);
static atomic_t count = ATOMIC_INIT(0);

struct entry {
	struct list_head node;
	struct kref kref;
};

static void release(struct kref *kref)
{
	list_del_init(&container_of(kref, struct entry, kref)->node);
}

int what_dma_fence_h_brings(struct dma_fence *fence)
{
	LIST_HEAD(entries);
	struct entry entry, *at, *next;
	unsigned long flags;
	u64 context = 0;

	if (WARN_ON(!fence) || WARN_ON_ONCE(IS_ERR(fence)) || WARN_ONCE(!fence->seqno, "seqno 0"))
		return -EINVAL;
	BUG_ON(!dma_fence_was_initialized(fence));
	kref_init(&entry.kref);
	list_add_tail(&entry.node, &entries);
	scoped_guard(rcu) context = READ_ONCE(fence->context);
	spin_lock_irqsave(&lock, flags);
	list_for_each_entry_safe(at, next, &entries, node) kref_put(&at->kref, release);
	spin_unlock_irqrestore(&lock, flags);
	atomic_inc(&count);
	set_bit(DMA_FENCE_FLAG_USER_BITS, &fence->flags);
	pr_debug("%llu\n", context);
	might_sleep();
	if (!wait_event_timeout(queue, atomic_read(&count) > 0, msecs_to_jiffies(1)))
		return -ETIME;
	return list_empty(&entries) && ktime_after(ktime_get(), 0) ? 0 : -EBUSY;
}

/* A ring as kernel drivers have it: fences in the driver's own structs, a lock of its own, an interrupt that
 * signals what the hardware has passed. And a consumer that merges some of them. */
#include <stdio.h>
#include <stdlib.h>

#include <linux/dma-fence-array.h>
#include <linux/dma-fence-unwrap.h>
#include <linux/dma-fence.h>
#include <linux/list.h>

struct ring {
	spinlock_t lock;
	struct list_head pending; /* of struct request, in order of seqno; under the lock */
	u64 context, last_seqno;
	unsigned int hw_seqno; /* what the hardware has completed */
};

struct request {
	struct dma_fence fence;
	struct ring *ring;
	struct list_head link;
};

static const char *driver_name(struct dma_fence *fence)
{
	(void)fence;
	return "example";
}

static const char *timeline_name(struct dma_fence *fence)
{
	(void)fence;
	return "ring";
}

static void release(struct dma_fence *fence)
{
	kfree_rcu(container_of(fence, struct request, fence), fence.rcu);
}

static const struct dma_fence_ops ops = {
	.get_driver_name = driver_name,
	.get_timeline_name = timeline_name,
	.release = release,
};

static struct dma_fence *emit(struct ring *ring)
{
	struct request *request = calloc(1, sizeof(*request));

	if (!request)
		exit(1);
	request->ring = ring;
	spin_lock(&ring->lock);
	dma_fence_init(&request->fence, &ops, &ring->lock, ring->context, ++ring->last_seqno);
	dma_fence_get(&request->fence); /* the list's */
	list_add_tail(&request->link, &ring->pending);
	spin_unlock(&ring->lock);
	return &request->fence;
}

static void interrupt(struct ring *ring)
{
	struct request *request, *next;

	spin_lock(&ring->lock);
	list_for_each_entry_safe(request, next, &ring->pending, link) {
		if (request->fence.seqno > ring->hw_seqno)
			break;
		list_del(&request->link);
		dma_fence_signal_locked(&request->fence);
		dma_fence_put(&request->fence);
	}
	spin_unlock(&ring->lock);
}

int main(void)
{
	struct ring ring = {.context = dma_fence_context_alloc(1)};
	struct dma_fence *fences[3], *merged;
	int before, between, after;

	spin_lock_init(&ring.lock);
	INIT_LIST_HEAD(&ring.pending);
	for (int i = 0; i < 3; i++)
		fences[i] = emit(&ring);
	merged = dma_fence_unwrap_merge(fences[0], fences[2]);
	if (!merged)
		return 1;
	before = dma_fence_is_signaled(merged);
	ring.hw_seqno = 2;
	interrupt(&ring);
	between = dma_fence_is_signaled(merged);
	ring.hw_seqno = 3;
	interrupt(&ring);
	if (dma_fence_wait(merged, false))
		return 1;
	after = dma_fence_is_signaled(merged);
	printf("before %d, after two %d, after three %d\n", before, between, after);
	dma_fence_put(merged);
	for (int i = 0; i < 3; i++)
		dma_fence_put(fences[i]);
	rcu_barrier();
	return before == 0 && between == 0 && after == 1 ? 0 : 1;
}

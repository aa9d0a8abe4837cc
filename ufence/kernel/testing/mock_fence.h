/* Fences for the tests. */
#ifndef UFENCE_KERNEL_TESTING_MOCK_FENCE_H
#define UFENCE_KERNEL_TESTING_MOCK_FENCE_H

#include <linux/dma-fence.h>
#include <linux/slab.h>

static const char *mock_name(struct dma_fence *fence)
{
	(void)fence;
	return "mock";
}

static const struct dma_fence_ops mock_ops = {
	.get_driver_name = mock_name,
	.get_timeline_name = mock_name,
};

/* A fence of a context and seqno, with a lock of its own. */
static inline struct dma_fence *mock_fence_of(u64 context, u64 seqno)
{
	struct dma_fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL);

	if (fence)
		dma_fence_init(fence, &mock_ops, NULL, context, seqno);
	return fence;
}

static inline struct dma_fence *mock_fence(void)
{
	return mock_fence_of(dma_fence_context_alloc(1), 1);
}

#endif

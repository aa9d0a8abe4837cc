/* Arrays: a fence made of fences, signaled with the last of them, or with the first. */
#ifndef UFENCE_LINUX_DMA_FENCE_ARRAY_H
#define UFENCE_LINUX_DMA_FENCE_ARRAY_H

#include <linux/atomic.h>
#include <linux/dma-fence.h>
#include <linux/types.h>
#include <linux/ufence.h>

UFENCE_C_BEGIN

struct dma_fence_array;

struct dma_fence_array_cb {
	struct dma_fence_cb cb;
	struct dma_fence_array *array;
};

struct dma_fence_array {
	UFENCE_DMA_FENCE_BASE;
	unsigned int num_fences;
	atomic_t num_pending;
	struct dma_fence **fences; /* its own, with a reference of each */
	void *ufence_work[2]; /* its own signaling, when the last of its fences is signaled */
	struct dma_fence_array_cb *callbacks; /* behind this struct */
};

struct dma_fence_array *dma_fence_array_alloc(int num_fences) UFENCE_KERNEL(dma_fence_array_alloc);
/* Owns the array of pointers, which is free()d, and the references. `any`: signaled with the first. */
void ufence_dma_fence_array_init(struct dma_fence_array *array, int num_fences,
				 struct dma_fence **fences, u64 context, unsigned int seqno,
				 bool any) UFENCE_EXPORT;
/* NULL: no memory, and nothing is owned. */
struct dma_fence_array *ufence_dma_fence_array_create(int num_fences, struct dma_fence **fences,
						      u64 context, unsigned int seqno,
						      bool any) UFENCE_EXPORT;
/* Are all its fences, or the fence, of this context? */
bool dma_fence_match_context(struct dma_fence *fence, u64 context)
	UFENCE_KERNEL(dma_fence_match_context);
/* A fence that is no array is its own first. */
struct dma_fence *dma_fence_array_first(struct dma_fence *head) UFENCE_KERNEL(dma_fence_array_first);
struct dma_fence *dma_fence_array_next(struct dma_fence *head, unsigned int index)
	UFENCE_KERNEL(dma_fence_array_next);

UFENCE_C_END

/* The last argument, signal_on_any, may be left out: later kernels have none. */
#define dma_fence_array_init(array, num_fences, fences, context, ...)                              \
	UFENCE_ARRAY_INIT(array, num_fences, fences, context, __VA_ARGS__, false, 0)
#define UFENCE_ARRAY_INIT(array, num_fences, fences, context, seqno, any, ...)                     \
	ufence_dma_fence_array_init(array, num_fences, fences, context, seqno, any)
#define dma_fence_array_create(num_fences, fences, context, ...)                                   \
	UFENCE_ARRAY_CREATE(num_fences, fences, context, __VA_ARGS__, false, 0)
#define UFENCE_ARRAY_CREATE(num_fences, fences, context, seqno, any, ...)                          \
	ufence_dma_fence_array_create(num_fences, fences, context, seqno, any)

static inline struct dma_fence_array *to_dma_fence_array(struct dma_fence *fence)
{
	if (!fence || !dma_fence_is_array(fence))
		return NULL;
	return UFENCE_CAST(struct dma_fence_array *, UFENCE_CAST(void *, fence));
}

#define dma_fence_array_for_each(fence, index, head)                                               \
	for ((index) = 0, (fence) = dma_fence_array_first(head); (fence);                          \
	     ++(index), (fence) = dma_fence_array_next(head, index))

#endif

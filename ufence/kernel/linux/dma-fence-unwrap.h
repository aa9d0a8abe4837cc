/* The fences inside of containers: a chain of arrays, flattened. */
#ifndef UFENCE_LINUX_DMA_FENCE_UNWRAP_H
#define UFENCE_LINUX_DMA_FENCE_UNWRAP_H

#include <linux/dma-fence.h>
#include <linux/types.h>
#include <linux/ufence.h>

UFENCE_C_BEGIN

struct dma_fence_unwrap {
	struct dma_fence *chain;
	struct dma_fence *array;
	unsigned int index;
};

struct dma_fence *dma_fence_unwrap_first(struct dma_fence *head, struct dma_fence_unwrap *cursor)
	UFENCE_KERNEL(dma_fence_unwrap_first);
struct dma_fence *dma_fence_unwrap_next(struct dma_fence_unwrap *cursor)
	UFENCE_KERNEL(dma_fence_unwrap_next);
/* NULL: no memory. */
struct dma_fence *__dma_fence_unwrap_merge(size_t num_fences, struct dma_fence **fences,
					   struct dma_fence_unwrap *cursors)
	UFENCE_KERNEL(__dma_fence_unwrap_merge);
/* Keeps the latest of each context in front, puts the others; how many are left. */
size_t dma_fence_dedup_array(struct dma_fence **fences, size_t num_fences)
	UFENCE_KERNEL(dma_fence_dedup_array);

UFENCE_C_END

/* Who breaks out puts cursor->chain. */
#define dma_fence_unwrap_for_each(fence, cursor, head)                                             \
	for (fence = dma_fence_unwrap_first(head, cursor); fence;                                  \
	     fence = dma_fence_unwrap_next(cursor))

/* One fence for several, of which any may be NULL; NULL: no memory. */
#define dma_fence_unwrap_merge(...)                                                                \
	__extension__({                                                                            \
		struct dma_fence *ufence_merged[] = { __VA_ARGS__ };                               \
		struct dma_fence_unwrap                                                            \
			ufence_cursors[sizeof(ufence_merged) / sizeof(ufence_merged[0])];          \
		__dma_fence_unwrap_merge(sizeof(ufence_merged) / sizeof(ufence_merged[0]),         \
					 ufence_merged, ufence_cursors);                           \
	})

#endif

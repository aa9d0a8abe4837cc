/* Chains: the points of a timeline, each a fence and a link to the point before. */
#ifndef UFENCE_LINUX_DMA_FENCE_CHAIN_H
#define UFENCE_LINUX_DMA_FENCE_CHAIN_H

#include <linux/compiler.h>
#include <linux/dma-fence.h>
#include <linux/slab.h>
#include <linux/types.h>
#include <linux/ufence.h>

UFENCE_C_BEGIN

struct dma_fence_chain {
	UFENCE_DMA_FENCE_BASE;
	struct dma_fence __rcu *prev; /* with a reference */
	u64 prev_seqno;
	struct dma_fence *fence; /* with a reference */
	__extension__ union {
		struct dma_fence_cb cb;
		void *ufence_work[2]; /* when the callback has run: to go on from there */
	};
};

/* Memory for a node, or NULL; free() for one that was not initialized. */
struct dma_fence_chain *dma_fence_chain_alloc(void) UFENCE_KERNEL(dma_fence_chain_alloc);
void dma_fence_chain_free(struct dma_fence_chain *chain) UFENCE_KERNEL(dma_fence_chain_free);
/* Owns the references of prev, which may be NULL, and fence. */
void dma_fence_chain_init(struct dma_fence_chain *chain, struct dma_fence *prev,
			  struct dma_fence *fence, u64 seqno) UFENCE_KERNEL(dma_fence_chain_init);
/*
 * Takes over the reference to the fence; a reference to the node before that is pending, or NULL. Unlinks
 * what is signaled in between.
 */
struct dma_fence *dma_fence_chain_walk(struct dma_fence *fence) UFENCE_KERNEL(dma_fence_chain_walk);
/*
 * Makes it the node whose signaling completes the point: 0, and NULL if that is complete and gone;
 * -EINVAL: no chain, or not submitted yet.
 */
int dma_fence_chain_find_seqno(struct dma_fence **fencep, u64 seqno)
	UFENCE_KERNEL(dma_fence_chain_find_seqno);

UFENCE_C_END

static inline struct dma_fence_chain *to_dma_fence_chain(struct dma_fence *fence)
{
	if (!fence || !dma_fence_is_chain(fence))
		return NULL;
	return UFENCE_CAST(struct dma_fence_chain *, UFENCE_CAST(void *, fence));
}

/* What a node contains, or the fence itself. */
static inline struct dma_fence *dma_fence_chain_contained(struct dma_fence *fence)
{
	struct dma_fence_chain *chain = to_dma_fence_chain(fence);

	return chain ? chain->fence : fence;
}

/* iter has a reference; who breaks out puts it. */
#define dma_fence_chain_for_each(iter, head)                                                       \
	for (iter = dma_fence_get(head); iter; iter = dma_fence_chain_walk(iter))

#endif

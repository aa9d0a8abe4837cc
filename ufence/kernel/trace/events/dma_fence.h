/*
 * The trace points of fences, for issuers that fire them themselves: the static ones of the library, which
 * fires all of them but dma_fence_emit for what it does itself.
 */
#ifndef UFENCE_TRACE_EVENTS_DMA_FENCE_H
#define UFENCE_TRACE_EVENTS_DMA_FENCE_H

#include <linux/dma-fence.h>
#include <linux/types.h>
#include <linux/ufence.h>

UFENCE_C_BEGIN

void trace_dma_fence_emit(struct dma_fence *fence) UFENCE_KERNEL(trace_dma_fence_emit);
void trace_dma_fence_init(struct dma_fence *fence) UFENCE_KERNEL(trace_dma_fence_init);
void trace_dma_fence_destroy(struct dma_fence *fence) UFENCE_KERNEL(trace_dma_fence_destroy);
void trace_dma_fence_enable_signal(struct dma_fence *fence)
	UFENCE_KERNEL(trace_dma_fence_enable_signal);
void trace_dma_fence_signaled(struct dma_fence *fence) UFENCE_KERNEL(trace_dma_fence_signaled);
void trace_dma_fence_wait_start(struct dma_fence *fence) UFENCE_KERNEL(trace_dma_fence_wait_start);
void trace_dma_fence_wait_end(struct dma_fence *fence) UFENCE_KERNEL(trace_dma_fence_wait_end);

UFENCE_C_END

/* A nop while nobody looks: firing them costs nothing that could be saved. */
#define trace_dma_fence_emit_enabled() true
#define trace_dma_fence_signaled_enabled() true

#endif

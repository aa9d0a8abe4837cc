/* brings.c for its test. */
#ifndef UFENCE_KERNEL_TESTING_BRINGS_H
#define UFENCE_KERNEL_TESTING_BRINGS_H

struct dma_fence;

/* 0 */
int what_dma_fence_h_brings(struct dma_fence *fence);

#endif

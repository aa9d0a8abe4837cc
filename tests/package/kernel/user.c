/* Kernel-style code, with functions of its own that have names of the kernel's. */
#include <stdio.h>
#include <stdlib.h>

#include <drm/drm_exec.h>
#include <linux/dma-fence-array.h>
#include <linux/dma-fence-chain.h>
#include <linux/dma-fence-unwrap.h>
#include <linux/dma-fence.h>

struct request {
	int id;
	struct dma_fence fence;
};

static const char *name(struct dma_fence *fence)
{
	(void)fence;
	return "request";
}

static void free_request(struct dma_fence *fence)
{
	kfree_rcu(container_of(fence, struct request, fence), fence.rcu);
}

static const struct dma_fence_ops request_ops = {
	.get_driver_name = name,
	.get_timeline_name = name,
	.release = free_request,
};

/* A buffer has the fence of its user. */
static int is_added_to_a_buffer(struct dma_fence *fence)
{
	struct drm_gem_object buffer = { .size = 1 };
	struct drm_exec exec;
	int failed = 0;

	drm_gem_private_object_init(NULL, &buffer, 1);
	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT, 1);
	drm_exec_until_all_locked(&exec) {
		failed = drm_exec_prepare_obj(&exec, &buffer, 1);
		drm_exec_retry_on_contention(&exec);
	}
	if (!failed)
		dma_resv_add_fence(buffer.resv, fence, DMA_RESV_USAGE_WRITE);
	drm_exec_fini(&exec);
	failed = failed || dma_resv_test_signaled(buffer.resv, DMA_RESV_USAGE_WRITE);
	drm_gem_object_release(&buffer);
	return !failed;
}

int main(void)
{
	struct request *request = calloc(1, sizeof(*request));
	struct dma_fence *merged;
	char text[100];
	struct seq_file seq = { .buf = text, .size = sizeof(text) };

	if (!request)
		return 1;
	dma_fence_init(&request->fence, &request_ops, NULL, dma_fence_context_alloc(1), 1);
	merged = dma_fence_unwrap_merge(&request->fence, dma_fence_get_stub());
	dma_fence_describe(merged, &seq);
	if (!is_added_to_a_buffer(&request->fence))
		return 1;
	dma_fence_signal(&request->fence);
	if (merged != &request->fence || dma_fence_wait(merged, false) ||
	    dma_fence_get_status(merged) != 1)
		return 1;
	dma_fence_put(merged);
	dma_fence_put(&request->fence);
	rcu_barrier();
	printf("%s", text);
	return 0;
}

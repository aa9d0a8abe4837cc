#include "tools/ufence/testing/hang_kernel_fence.h"

#include "ufence/kernel/linux/dma-fence.h"

namespace ufence {

void wait_for_a_kernel_fence() {
  static const dma_fence_ops ops = [] {
    dma_fence_ops its{};
    its.get_driver_name = [](dma_fence*) { return "test device"; };
    its.get_timeline_name = [](dma_fence*) { return "kernel's queue"; };
    return its;
  }();
  static spinlock_t lock;
  static dma_fence never;
  spin_lock_init(&lock);
  dma_fence_init(&never, &ops, &lock, dma_fence_context_alloc(1), 1);
  static_cast<void>(dma_fence_wait(&never, false));
}

}  // namespace ufence

// What arrays and chains do when a fence inside of them is signaled, outside of that fence's lock.
#pragma once

#include "ufence/kernel/linux/dma-fence.h"

namespace ufence {

void array_work(dma_fence& f) noexcept;
void chain_work(dma_fence& f) noexcept;
/// Of one that stands for a fence of another kind (interop.h).
void stand_in_work(dma_fence& f) noexcept;

}  // namespace ufence

// For the program that hangs: apart from it, since the kernel's headers have names of its own.
#pragma once

namespace ufence {

/// Waits for ever for a struct dma_fence, as drivers of the kernel make them.
void wait_for_a_kernel_fence();

}  // namespace ufence

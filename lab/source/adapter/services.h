// The services that the kernel's sources are given in place of the rest of the kernel.
#pragma once

namespace ufence::lab::kernel_source {

/// Whether the thread that runs holds a spinlock of the kernel's sources.
[[nodiscard]] bool holds_spinlock();

}  // namespace ufence::lab::kernel_source

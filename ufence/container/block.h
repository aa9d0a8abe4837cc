// Memory of containers: it comes and goes by the batch (rcu::reclaim()), so what is given back is
// kept for the next ones.
#pragma once

#include <cstddef>

namespace ufence::detail {

/// Aligned to 64 bytes, or nullptr.  Threads: any. Blocks: never.
[[nodiscard]] void* allocate_block(std::size_t bytes) noexcept;
/// @param bytes  as it was allocated
void free_block(void* memory, std::size_t bytes) noexcept;

}  // namespace ufence::detail

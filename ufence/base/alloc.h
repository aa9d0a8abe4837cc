// Where the library's own memory comes from. Fault-injecting tests put a file of this name earlier on
// the include path; it makes the n-th call fail.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>

namespace ufence {

/// Memory for max_align_t, or nullptr. Free with deallocate().
[[nodiscard]] inline void* allocate(std::size_t bytes) noexcept { return std::malloc(bytes); }
inline void deallocate(void* memory) noexcept { std::free(memory); }

/// Zeroed pages that are never given back, or nullptr.
[[nodiscard]] inline void* allocate_pages(std::size_t bytes) noexcept {
  void* memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace ufence

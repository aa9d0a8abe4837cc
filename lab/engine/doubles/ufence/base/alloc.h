// Double of ufence/base/alloc.h for the lab: the memory of the scenario.
#pragma once

#include <cstddef>
#include <source_location>

#include "lab/engine/hooks.h"

namespace ufence {

[[nodiscard]] inline void* allocate(
    std::size_t bytes, std::source_location where = std::source_location::current()) noexcept {
  return lab::hooks::allocate(bytes, alignof(std::max_align_t), where);
}
[[nodiscard]] inline void* allocate_aligned(
    std::size_t alignment, std::size_t bytes,
    std::source_location where = std::source_location::current()) noexcept {
  return lab::hooks::allocate(bytes, alignment, where);
}
inline void deallocate(void* memory,
                       std::source_location where = std::source_location::current()) noexcept {
  lab::hooks::deallocate(memory, where);
}
// Each block comes from there, and goes back; a scenario about what is kept lets some be kept.
inline constinit std::size_t kept_bytes_max = 0;

// Few slots in a span, so that scenarios can afford to fill and to empty some.
inline constexpr std::size_t fence_region_bytes = std::size_t{16} * 1024;
inline constexpr std::size_t fence_span_bytes = std::size_t{512};

[[nodiscard]] inline void* allocate_pages(
    std::size_t bytes, std::source_location where = std::source_location::current()) noexcept {
  return lab::hooks::allocate_pages(bytes, where);
}
[[nodiscard]] inline bool give_pages_back(
    void* pages, std::size_t bytes,
    std::source_location where = std::source_location::current()) noexcept {
  lab::hooks::give_pages_back(pages, bytes, where);
  return true;
}

inline void poison(const volatile void* memory, std::size_t bytes,
                   std::source_location where = std::source_location::current()) noexcept {
  lab::hooks::poison(const_cast<const void*>(memory), bytes, true, where);
}
inline void unpoison(const volatile void* memory, std::size_t bytes,
                     std::source_location where = std::source_location::current()) noexcept {
  lab::hooks::poison(const_cast<const void*>(memory), bytes, false, where);
}

}  // namespace ufence

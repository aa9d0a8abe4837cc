// A double of ufence/base/alloc.h that counts allocations and lets the n-th one fail.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace ufence {
namespace testing {

/// What the library has allocated so far, and when it is refused. Set by one thread between calls.
struct allocations {
  static inline std::atomic<long> asked = 0;   // since reset()
  static inline std::atomic<long> refuse = 0;  // the n-th after reset() fails; 0: none
  static inline std::atomic<long> refuse_all = 0;
  static inline std::atomic<long> living = 0;  // blocks that were not given back; without pages

  static void reset(long refuse_nth = 0) noexcept {
    asked = 0;
    refuse = refuse_nth;
  }
  [[nodiscard]] static bool is_refused() noexcept { return ++asked == refuse || refuse_all != 0; }
};

}  // namespace testing

[[nodiscard]] inline void* allocate(std::size_t bytes) noexcept {
  if (testing::allocations::is_refused()) return nullptr;
  void* memory = std::malloc(bytes);
  if (memory != nullptr) ++testing::allocations::living;
  return memory;
}
[[nodiscard]] inline void* allocate_aligned(std::size_t alignment, std::size_t bytes) noexcept {
  if (testing::allocations::is_refused()) return nullptr;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) & ~(alignment - 1));
  if (memory != nullptr) ++testing::allocations::living;
  return memory;
}
inline void deallocate(void* memory) noexcept {
  if (memory != nullptr) --testing::allocations::living;
  std::free(memory);
}

// Each block comes from here, and goes back.
inline constexpr std::size_t kept_bytes_max = 0;

inline constexpr std::size_t fence_region_bytes = std::size_t{64} * 1024;
inline constexpr std::size_t fence_span_bytes = std::size_t{4} * 1024;

[[nodiscard]] inline void* allocate_pages(std::size_t bytes) noexcept {
  if (testing::allocations::is_refused()) return nullptr;
  void* memory = std::aligned_alloc(bytes, bytes);
  return memory == nullptr ? nullptr : std::memset(memory, 0, bytes);
}
[[nodiscard]] inline bool give_pages_back(void* pages, std::size_t bytes) noexcept {
  return ::madvise(pages, bytes, MADV_DONTNEED) == 0;
}

inline void poison(const volatile void*, std::size_t) noexcept {}
inline void unpoison(const volatile void*, std::size_t) noexcept {}

}  // namespace ufence

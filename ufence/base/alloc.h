// Where the library's own memory comes from. Fault-injecting tests put a file of this name earlier
// on the include path; it makes the n-th call fail.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#define UFENCE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UFENCE_ASAN 1
#endif
#endif
#ifdef UFENCE_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace ufence {

/// Memory for max_align_t, or nullptr. Free with deallocate().
[[nodiscard]] inline void* allocate(std::size_t bytes) noexcept { return std::malloc(bytes); }
/// The same with a larger alignment, a power of two.
[[nodiscard]] inline void* allocate_aligned(std::size_t alignment, std::size_t bytes) noexcept {
  return std::aligned_alloc(alignment, (bytes + alignment - 1) & ~(alignment - 1));
}
inline void deallocate(void* memory) noexcept { std::free(memory); }

/// How many bytes the library keeps in free blocks of one size instead of giving them back; none
/// where a sanitizer watches them.
#ifdef UFENCE_ASAN
inline constexpr std::size_t kept_bytes_max = 0;
#else
inline constexpr std::size_t kept_bytes_max = std::size_t{512} * 1024;
#endif

/// Zeroed pages that are never given back, or nullptr.
[[nodiscard]] inline void* allocate_pages(std::size_t bytes) noexcept {
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

/// Marks memory that nobody may touch until unpoison(); AddressSanitizer and a model checker watch
/// it.
inline void poison([[maybe_unused]] const volatile void* memory,
                   [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef UFENCE_ASAN
  __asan_poison_memory_region(memory, bytes);
#endif
}
inline void unpoison([[maybe_unused]] const volatile void* memory,
                     [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef UFENCE_ASAN
  __asan_unpoison_memory_region(memory, bytes);
#endif
}

}  // namespace ufence

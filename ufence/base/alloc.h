// Where the library's own memory comes from. Fault-injecting tests put a file of this name earlier
// on the include path; it makes the n-th call fail.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
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

/// Of the memory of fences: how much address space is taken at once, and how much memory is given
/// back at once.
inline constexpr std::size_t fence_region_bytes = std::size_t{2} * 1024 * 1024;
inline constexpr std::size_t fence_span_bytes = std::size_t{16} * 1024;

/// Zeroed pages, aligned to their size, or nullptr. The address space stays for ever.
/// @param bytes  a power of two, and whole pages
[[nodiscard]] inline void* allocate_pages(std::size_t bytes) noexcept {
  void* const taken =
      ::mmap(nullptr, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (taken == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<char*>(taken);
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(begin) & (bytes - 1);
  if (before != 0) ::munmap(begin, before);
  ::munmap(begin + before + bytes, bytes - before);
  // One page that is used must not take the memory of 512. Where there are no huge pages it fails.
  static_cast<void>(::madvise(begin + before, bytes, MADV_NOHUGEPAGE));
  return begin + before;
}
/// Has the system take the memory of such pages, which read as zeros from then on, and are there
/// again when somebody writes to them. A thread that reads them meanwhile sees what they had, or
/// zeros.
/// @return  false: the system does not take it, and nothing has changed
[[nodiscard]] inline bool give_pages_back(void* pages, std::size_t bytes) noexcept {
  return ::madvise(pages, bytes, MADV_DONTNEED) == 0;
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

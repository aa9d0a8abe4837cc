// How much memory fences take, for tests of what goes back to the system.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "ufence/fence/fence.h"

namespace ufence::testing {

inline constexpr std::size_t page_bytes = 4096;
// What may stay of a large number of fences: what the library keeps, and where caches of threads
// have a slot.
inline constexpr std::size_t stay_bytes_max = std::size_t{4} * 1024 * 1024;

// How many there are to be: UFENCE_FENCES for long runs.
inline std::size_t many_fences() {
  const char* const text = std::getenv("UFENCE_FENCES");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 300'000;
}

struct process_size {
  std::size_t address_space_bytes = 0;
  std::size_t resident_bytes = 0;
};
inline process_size size_of_process() {
  std::ifstream file("/proc/self/statm");
  process_size pages;
  file >> pages.address_space_bytes >> pages.resident_bytes;
  return {pages.address_space_bytes * page_bytes, pages.resident_bytes * page_bytes};
}

// The pages that some fences lie in.
class pages_of {
 public:
  explicit pages_of(const std::vector<fence_ref>& fences) {
    for (const fence_ref& f : fences) {
      const std::uintptr_t page = reinterpret_cast<std::uintptr_t>(f.get()) / page_bytes;
      if (pages_.empty() || pages_.back() != page) pages_.push_back(page);
    }
    std::ranges::sort(pages_);
    pages_.erase(std::ranges::unique(pages_).begin(), pages_.end());
  }
  [[nodiscard]] std::size_t bytes() const { return pages_.size() * page_bytes; }
  [[nodiscard]] std::size_t resident_bytes() const {
    std::size_t resident = 0;
    for (const std::uintptr_t page : pages_) {
      unsigned char is_there = 0;
      if (::mincore(reinterpret_cast<void*>(page * page_bytes), page_bytes, &is_there) != 0)
        return SIZE_MAX;
      resident += is_there & 1U;
    }
    return resident * page_bytes;
  }

 private:
  std::vector<std::uintptr_t> pages_;
};

inline std::vector<fence_ref> make_signaled(std::size_t count) {
  std::vector<fence_ref> all;
  all.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    new_fence made = fence::create(1, i).value();
    made.signal.signal();
    all.push_back(std::move(made.fence));
  }
  return all;
}

}  // namespace ufence::testing

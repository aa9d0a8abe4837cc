// One loaded instance of a driver module, or a reader process in place of one, as the run sees it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "ufence/base/atomic.h"
#include "ufence/issuer/host.h"

namespace ufence::tool {

/// The modules of the run.
enum class driver : std::uint8_t { uring, cpu };
inline constexpr std::array<driver, 2> all_drivers{driver::uring, driver::cpu};

[[nodiscard]] constexpr std::size_t index_of(driver d) { return static_cast<std::size_t>(d); }
[[nodiscard]] constexpr const char* name_of(driver d) {
  return d == driver::uring ? "uring" : "cpu";
}

/// Owned by the run; outlives the module, or process, as long as a fence of it is referred to.
class instance {
 public:
  instance(device_ref loaded, driver d) : device(std::move(loaded)), which(d) {}

  const device_ref device;  // null: of a reader process
  const driver which;
  // relaxed: set before the unload begins; a thread that reads it has seen a fence signaled by that unload.
  atomic<bool> is_unloading{false};
  // Unmapped, and accounted for. Of the thread that unloads; of others once that is over.
  bool is_gone = false;

  // Completed jobs that set it up. Constant once it is in use.
  std::uint64_t jobs_of_load = 0;

  /// The run has got a fence of it; true: which has outlived the module already.
  bool refer() {
    // relaxed, as all of these: it only counts
    return fences_.fetch_add(1, mo::relaxed) >= unmapped;
  }
  void forget() { fences_.fetch_sub(1, mo::relaxed); }
  [[nodiscard]] bool has_fences() const { return fences_.load(mo::relaxed) % unmapped != 0; }
  /// The module is unmapped: how many fences have outlived it, without those that refer() tells of.
  std::uint64_t note_unmapped() { return fences_.fetch_add(unmapped, mo::relaxed); }

 private:
  static constexpr std::uint64_t unmapped = std::uint64_t{1} << 63U;
  atomic<std::uint64_t> fences_{0};  // that the run refers to; and `unmapped`
};

}  // namespace ufence::tool

// One loaded instance of a driver module, as the run sees it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

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

/// Owned by the run; outlives the module as long as a fence of it is referred to.
struct instance {
  instance(device_ref loaded, driver d) : device(std::move(loaded)), which(d) {}

  const device_ref device;
  const driver which;
  // relaxed: a count that whoever unloads reads once the module is gone.
  atomic<std::int64_t> fences_referred{0};
  // relaxed: set before the unload begins; who reads it has seen a fence signaled by that unload.
  atomic<bool> is_unloading{false};
  // Unmapped, and accounted for. Whoever unloads; others once that is over.
  bool is_gone = false;
};

}  // namespace ufence::tool

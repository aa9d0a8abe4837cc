// How much of a run is in flight at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tools/ufence/run/run_options.h"

namespace ufence::tool {

struct run_limits {
  std::size_t files = 0;
  std::size_t blocks = 0;
  std::size_t blocks_per_file = 0;
};

/// Raises the limit of descriptors as far as it goes; what is started afterwards inherits it.
[[nodiscard]] run_limits limits_of(const run_options& options);

}  // namespace ufence::tool

// One run of `ufence run`, from loading the modules to the summary.
#pragma once

#include "tools/ufence/run/run_options.h"

namespace ufence::tool {

/// @return  the exit status: 0; 1 there were problems; 128 + n ended by signal n
[[nodiscard]] int run(const run_options& options);

}  // namespace ufence::tool

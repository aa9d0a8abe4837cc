// `ufence worker`: hashes files for anybody who runs a job in the namespace.
#pragma once

#include <cstdint>
#include <string>

#include "tools/net/link_arguments.h"

namespace ufence::tool {

struct worker_options {
  link_arguments server;
  std::string folder;  // where the shared folder lies here; empty: where the run has it
  std::string driver_path;
  unsigned workers = 1;
  bool quiet = false;
};

/// Until it is interrupted, or can't go on. @return  the exit status
[[nodiscard]] int work(const worker_options& options);

}  // namespace ufence::tool

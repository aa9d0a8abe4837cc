// What `ufence run` was asked to do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ufence/issuer/host.h"

namespace ufence::tool {

struct run_options {
  std::vector<std::string> inputs;
  std::string output;  // empty: stdout, or nowhere with json
  unsigned workers = 1;
  std::uint64_t block_bytes = 0;
  std::uint64_t reload_every_ms = 0;  // 0: never
  unload_policy policy = unload_policy::drain;
  bool holds = false;
  std::string driver_path;  // empty: see driver_directory()
  bool json = false;
  bool quiet = false;
};

}  // namespace ufence::tool

// `ufence run --hosts`: hands the files of a folder out to workers, and puts their sums in order.
#pragma once

#include <string>

#include "tools/net/link_arguments.h"

namespace ufence::tool {

struct host_run_options {
  link_arguments server;
  std::string input = ".";
  std::string output;  // empty: stdout, or nowhere with json
  bool sends_files = false;
  bool json = false;
  bool quiet = false;
};

/// @return  the exit status
[[nodiscard]] int run_on_hosts(const host_run_options& options);

}  // namespace ufence::tool

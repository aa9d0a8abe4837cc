// What `ufence run` was asked to do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ufence/issuer/host.h"

namespace ufence::tool {

/// How the fences of reads come to who hashes.
enum class read_path : std::uint8_t {
  direct,     // the module is in this process
  sync_file,  // from a reader process, as descriptors
  syncobj,    // the same, as points of one shared timeline for each file
};

struct run_options {
  std::vector<std::string> inputs;
  bool keeps_order = false;  // of the inputs: else all files are sorted by path
  std::string output;  // empty: stdout, or nowhere with json
  unsigned workers = 1;
  std::uint64_t block_bytes = 0;
  std::uint64_t reload_every_ms = 0;  // 0: never
  bool watches = false;  // reloads a module when its file changes
  unload_policy policy = unload_policy::drain;
  bool holds = false;
  read_path via = read_path::direct;
  std::uint64_t kill_reader_every_ms = 0;         // 0: never
  std::string reader_program = "/proc/self/exe";  // this one, even if its file has gone
  std::string driver_path;                        // empty: see driver_directory()
  bool json = false;
  bool quiet = false;
};

}  // namespace ufence::tool

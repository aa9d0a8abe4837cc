// The options of `ufence run`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ufence/issuer/host.h"
#include "ufence/sched/entity.h"

namespace ufence::tool {

/// How the fences of reads come to the threads that hash.
enum class read_path : std::uint8_t {
  direct,     // the module is in this process
  sync_file,  // from a reader process, as descriptors
  syncobj,    // the same, as points of one shared timeline for each file
};

/// One of those who share the modules.
struct client_share {
  sched::priority rank = sched::priority::normal;
  std::uint32_t weight = 0;     // 0: of its rank
  std::string name = "normal";  // of its share, for people
};

struct run_options {
  std::vector<std::string> inputs;
  bool keeps_order = false;  // of the inputs: else all files are sorted by path
  std::string output;        // empty: stdout, or nowhere with json
  unsigned workers = 1;
  std::uint64_t block_bytes = 0;
  std::uint64_t reload_every_ms = 0;  // 0: never
  bool watches = false;               // reloads a module when its file changes
  unload_policy policy = unload_policy::drain;
  std::vector<client_share> clients{1};  // the inputs are dealt out to them
  std::uint64_t timeout_ms = 0;          // of a job that a module has; 0: none
  bool holds = false;
  read_path via = read_path::direct;
  std::uint64_t kill_reader_every_ms = 0;         // 0: never
  std::string reader_program = "/proc/self/exe";  // this one, even if its file has gone
  std::string record;       // what happens to its fences, to this file; empty: not at all
  std::string driver_path;  // empty: see driver_directory()
  std::string hosts;        // a namespace: other hosts do the work; empty: this one does
  bool json = false;
  bool quiet = false;
};

}  // namespace ufence::tool

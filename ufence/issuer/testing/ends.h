// What the driver `ends` tells about the end of the process: a page that a test shares with its child.
#pragma once

#include <atomic>
#include <cstdint>

namespace ufence::ends {

struct page {
  std::atomic<std::uint32_t> stops, exits;
  std::atomic<std::uint32_t> statics_gone;       // destructors of its static objects that have run
  std::atomic<std::uint32_t> stopped_too_late;   // stop() or exit() found one gone
  std::atomic<std::uint32_t> ran_too_late;       // its thread found one gone
  std::atomic<std::uint32_t> thread_runs;
};

enum opcode : std::uint32_t {
  attach,     // args: page*; starts the thread
  exit_here,  // submit() calls exit()
  exit_in_thread,
};

}  // namespace ufence::ends

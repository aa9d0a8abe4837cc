#include "tools/ufence/run/run_limits.h"

#include <sys/resource.h>

#include <algorithm>

namespace ufence::tool {
namespace {

constexpr std::uint64_t buffer_memory_max = 64UL << 20U;
constexpr std::size_t blocks_min = 2;     // however large they are
constexpr std::size_t blocks_max = 1024;  // however small they are
constexpr std::size_t blocks_per_file_max = 8;
constexpr std::size_t files_in_flight_max = 128;
// Each is a thread in both processes.
constexpr std::size_t timelines_max = 32;
// Descriptors for everything but what is in flight: streams, directories of the walk, the modules'.
constexpr std::size_t reserved_descriptors = 40;

std::size_t descriptors_left() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 4 * blocks_max;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return std::max<std::size_t>(limit.rlim_cur, reserved_descriptors + 2) - reserved_descriptors;
}

}  // namespace

run_limits limits_of(const run_options& options) {
  const std::size_t left = descriptors_left();
  run_limits limits;
  limits.blocks =
      std::clamp<std::size_t>(buffer_memory_max / options.block_bytes, blocks_min, blocks_max);
  // Each file in flight has at most two descriptors: its own and its directory's.
  limits.files = std::clamp<std::size_t>(left / 2, 1, files_in_flight_max);
  if (options.via != read_path::direct) {
    // Half of them for the fences: two in this process for a moment; in the reader three for each
    // read, with the file's.
    limits.files = std::clamp<std::size_t>(left / 4, 1, files_in_flight_max);
    if (options.via == read_path::syncobj) limits.files = std::min(limits.files, timelines_max);
    limits.blocks = std::clamp<std::size_t>(left / 4, blocks_min, limits.blocks);
  }
  limits.blocks_per_file = std::min(blocks_per_file_max, limits.blocks);
  return limits;
}

}  // namespace ufence::tool

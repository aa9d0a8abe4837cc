// Helpers that the tests of this layer share.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "ufence/fence/testing/support.h"
#include "ufence/sync/sync_file.h"

namespace ufence::testing {

/// The events that poll() tells of a descriptor now.
[[nodiscard]] inline short events_of(int fd) {
  pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, 0) < 0 ? short{-1} : p.revents;
}
/// Waits until a descriptor is readable, with a bound.
[[nodiscard]] inline bool becomes_readable(int fd) {
  pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, 120'000) == 1 && (p.revents & POLLIN) != 0;
}

struct leaf_info {
  std::string driver, timeline;
  int status;
  std::uint64_t timestamp_ns;
};
struct file_info {
  std::string name;
  int status = 0;
  std::vector<leaf_info> leaves;

  [[nodiscard]] int count(int leaf_status) const {
    int n = 0;
    for (const leaf_info& leaf : leaves) n += leaf.status == leaf_status ? 1 : 0;
    return n;
  }
};
/// Everything that a sync file tells; a status of -1000 if it can't be had.
[[nodiscard]] inline file_info info_of(int file) {
  file_info told;
  ::sync_file_info info{};
  if (sync_file_get_info(file, info)) {
    told.status = -1000;
    return told;
  }
  std::vector<::sync_fence_info> leaves(info.num_fences);
  info.sync_fence_info = reinterpret_cast<std::uintptr_t>(leaves.data());
  if (info.num_fences != 0 && sync_file_get_info(file, info)) {
    told.status = -1000;
    return told;
  }
  told.name = info.name;
  told.status = info.status;
  for (std::uint32_t i = 0; i < info.num_fences; ++i) {
    told.leaves.push_back(
        {leaves[i].driver_name, leaves[i].obj_name, leaves[i].status, leaves[i].timestamp_ns});
  }
  return told;
}
/// The status alone, as a caller that only counts gets it.
[[nodiscard]] inline int status_of(int file) {
  ::sync_file_info info{};
  return sync_file_get_info(file, info) ? -1000 : info.status;
}

}  // namespace ufence::testing

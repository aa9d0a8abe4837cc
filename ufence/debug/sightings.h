// Since when things were seen again and again: a fence does not know when it was made. Inside the layer
// only.
#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "ufence/debug/snapshot.h"

namespace ufence::debug {

/// Threads: one at a time.
class sightings {
 public:
  /// Notes what is pending in a snapshot, and forgets what no longer is. Ages in the snapshot become at
  /// least the time since it was first seen.
  void update(snapshot& of);

 private:
  using fence_key = std::pair<std::uint64_t, std::uint64_t>;  // context and seqno
  std::map<fence_key, std::int64_t> fences_;                  // first seen, ns
  std::map<fence_key, std::int64_t> timelines_;               // with their oldest pending seqno
};

}  // namespace ufence::debug

// The points of one import that somebody has a fence of. Inside the layer only.
#pragma once

#include <cstdint>
#include <vector>

#include "ufence/fence/signaler.h"
#include "ufence/net/importer.h"

namespace ufence::detail {

/// Threads: one at a time, that of its importer's (host_link's lock): a value and the end of a lease that
/// come at once are heard one after the other, and the first one decides for good.
class awaited_points {
 public:
  /// Throws std::bad_alloc: `right` is the caller's still.
  void add(std::uint64_t point, signaler&& right);
  /// Decides those that the importer knows about, the lowest first: reached, or never any more.
  void advance(const importer& known, settlement& later) noexcept;
  /// All with this error, the lowest first.
  void fail(int error, settlement& later) noexcept;

 private:
  struct awaited {
    std::uint64_t point;
    signaler right;
  };
  void decide_lowest(int error, settlement& later) noexcept;

  std::vector<awaited> heap_;  // the lowest point in front
};

}  // namespace ufence::detail

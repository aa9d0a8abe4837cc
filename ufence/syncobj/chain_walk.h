// The fences of many points, where those of one syncobj are found in one walk along its chain: the
// cost grows with points and handles, not with their product. Inside the library only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>

#include "ufence/container/chain.h"
#include "ufence/syncobj/point_waiter.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence {

/// The order to walk in: the points of one syncobj one after the other, later ones first.
/// `order` has an index for each point.
inline void order_for_walk(std::span<const syncobj_point> points,
                           std::span<std::size_t> order) noexcept {
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    const syncobj* const one = points[a].object.get();
    const syncobj* const other = points[b].object.get();
    if (one != other) return std::less<>()(one, other);
    return points[a].point > points[b].point;
  });
}

/// Finds fences as syncobj::find_fence() does, from where it found the one before if that is later on
/// the same chain. Right in any order, cheap in the one above. One thread's.
class chain_walk {
 public:
  /// @return  as syncobj::find_fence()
  [[nodiscard]] result<fence_ref> find(const syncobj_point& p) noexcept {
    const bool goes_on = p.object == object_ && at_ && p.point != 0 && p.point <= point_;
    if (!goes_on) {
      result<fence_ref> newest = p.object->current();
      if (!newest) return newest;
      if (!has_point(*newest, p.point)) return failure(EINVAL);
      object_ = p.object;
      context_ = *newest ? (*newest)->context() : 0;
      at_ = std::move(*newest);
    }
    point_ = p.point;
    // Beyond the chain's own context there is nothing to find: what is there stands for all points
    // before.
    if (p.point != 0 && at_->context() == context_) at_ = fence_of_point(std::move(at_), p.point);
    return at_;
  }

 private:
  syncobj_ref object_;
  fence_ref at_;
  std::uint64_t context_ = 0;
  std::uint64_t point_ = 0;
};

}  // namespace ufence

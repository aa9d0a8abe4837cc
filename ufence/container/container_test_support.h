// What the tests of containers share.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "ufence/container/chain.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/testing/small_stack.h"

namespace ufence {

inline new_fence make_fence(std::uint64_t context = fence::allocate_contexts(1),
                            std::uint64_t seqno = 1) {
  return std::move(*fence::create(context, seqno));
}

inline std::vector<new_fence> make_fences(std::size_t n) {
  std::vector<new_fence> made;
  for (std::size_t i = 0; i < n; ++i) made.push_back(make_fence());
  return made;
}
inline std::vector<fence_ref> refs_of(const std::vector<new_fence>& made) {
  std::vector<fence_ref> refs;
  for (const new_fence& f : made) refs.push_back(f.fence);
  return refs;
}
/// Signals those that the test left pending.
inline void signal_all(std::vector<new_fence>& made) {
  for (new_fence& f : made) {
    if (f.signal) f.signal.signal();
  }
}

/// Fences, and a chain over them with one point each.
struct chain_of_fences {
  std::vector<new_fence> fences;
  std::vector<fence_ref> points;

  explicit chain_of_fences(std::size_t n, std::function<std::uint64_t(std::size_t)> point = {}) {
    for (std::size_t i = 0; i < n; ++i) {
      fences.push_back(make_fence());
      points.push_back(*fence_chain::create(points.empty() ? fence_ref() : points.back(),
                                            fences.back().fence, point ? point(i) : i + 1));
    }
  }
  ~chain_of_fences() {
    for (new_fence& f : fences) f.signal.signal();
  }
  [[nodiscard]] const fence_ref& tail() const { return points.back(); }
};

inline std::vector<fence*> leaves_of(const fence_ref& f) {
  std::vector<fence*> found;
  leaves below(f);
  while (fence* leaf = below.next()) found.push_back(leaf);
  return found;
}

using testing::on_small_stack;

}  // namespace ufence

// Chains under random commands, against a reference that keeps every point in a plain list.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <vector>

#include "ufence/container/container_test_support.h"

namespace ufence {
namespace {

constexpr std::size_t none = SIZE_MAX;

struct naive_point {
  fence_ref node;  // null: the test has dropped it
  std::uint64_t point;
  std::uint64_t previous_point;  // 0: starts a context
  std::size_t context;           // the index of its first point
};

class world {
 public:
  world() {
    // A chain may start with a fence that is none.
    if (*rc::gen::arbitrary<bool>()) {
      fences_.push_back(
          make_fence(fence::allocate_contexts(1), *rc::gen::inRange<std::uint64_t>(0, 200)));
      points_.push_back(
          {.node = fences_.back().fence, .point = 0, .previous_point = 0, .context = 0});
      starts_with_fence_ = true;
    }
  }
  ~world() {
    for (new_fence& f : fences_) {
      if (f.signal) f.signal.signal();
    }
  }
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  void step() {
    switch (*rc::gen::inRange(0, 8)) {
      case 0:
      case 1:
      case 2: return append();
      case 3:
      case 4: return signal();
      case 5: return find();
      case 6: return look();
      default: return drop();
    }
  }

 private:
  [[nodiscard]] bool is_chain(std::size_t i) const { return !(starts_with_fence_ && i == 0); }
  [[nodiscard]] bool is_done(std::size_t i) const { return fences_[i].fence->is_signaled(); }
  [[nodiscard]] std::size_t any() const {
    return points_.empty() ? none : *rc::gen::inRange<std::size_t>(0, points_.size());
  }

  void append() {
    const std::size_t i = points_.size();
    const auto point = *rc::gen::inRange<std::uint64_t>(1, 100);
    if (i != 0 && !points_.back().node) return;  // nothing to append to
    fences_.push_back(make_fence());
    const fence_ref before = i == 0 ? fence_ref() : points_.back().node;
    const fence_ref node = *fence_chain::create(before, fences_.back().fence, point);
    const bool is_after_chain = i != 0 && is_chain(i - 1);
    const bool joins = is_after_chain && point > points_.back().point;
    const std::uint64_t shown = is_after_chain ? std::max(point, points_.back().point) : point;
    points_.push_back({.node = node,
                       .point = shown,
                       .previous_point = joins ? points_.back().point : 0,
                       .context = joins ? points_.back().context : i});
    RC_ASSERT(node->seqno() == shown);
    RC_ASSERT(fence_chain::from(*node)->previous_point() == points_.back().previous_point);
    RC_ASSERT((i == 0 || (node->context() == before->context()) == joins));
  }
  void signal() {
    const std::size_t i = any();
    if (i == none || !fences_[i].signal) return;
    fences_[i].signal.signal(*rc::gen::element(0, -EIO, -ENODATA));
  }
  // The test keeps the chain by its last node alone, as its users do.
  void drop() {
    const std::size_t i = any();
    if (i != none && i + 1 != points_.size()) points_[i].node.reset();
  }

  void find() {
    const std::size_t from = any();
    if (from == none || !points_[from].node) return;
    const auto point = *rc::gen::inRange<std::uint64_t>(0, 110);
    fence_ref at = points_[from].node;
    const std::error_code failed = fence_chain::find_seqno(at, point);
    std::size_t expected = from;
    if (point != 0) {
      const bool is_there = is_chain(from) && point <= points_[from].point;
      RC_ASSERT(failed == errno_code(is_there ? 0 : EINVAL));
      if (is_there) expected = naive_find(from, point);
    }
    if (expected == none) {
      RC_ASSERT(!at);
    } else {
      RC_ASSERT(at);
      RC_ASSERT(&fence_chain::contained_in(*at) == fences_[expected].fence.get());
    }
  }
  // The first node backwards that completes the point, or with which another context begins.
  [[nodiscard]] std::size_t naive_find(std::size_t from, std::uint64_t point) const {
    for (std::size_t i = from;;) {
      const bool ends = !is_chain(i) || points_[i].context != points_[from].context ||
                        points_[i].previous_point < point;
      if (ends) return i;
      do {
        if (i-- == 0) return none;
      } while (is_done(i));
    }
  }

  void look() {
    const std::size_t i = any();
    if (i == none || !points_[i].node || !is_chain(i)) return;
    fence_ref node = points_[i].node;
    std::size_t pending = 0;
    std::size_t failed = none;
    for (std::size_t at = i + 1; at-- > 0;) {
      if (!is_done(at)) ++pending;
      if (fences_[at].fence->error() < 0) failed = at;
    }
    RC_ASSERT(node->poll() == (pending == 0));
    RC_ASSERT(node->error() == 0);
    const fence_ref found = fence_chain::from(*node)->first_failed();
    RC_ASSERT(found.get() == (failed == none ? nullptr : fences_[failed].fence.get()));
    RC_ASSERT(error_origin(node) == found);
    std::size_t walked = is_done(i) ? 0 : 1;
    for (fence_ref at = fence_chain::walk(*node); at; at = fence_chain::walk(*at)) ++walked;
    RC_ASSERT(walked == pending);
  }

  bool starts_with_fence_ = false;
  std::vector<new_fence> fences_;  // contained in the points
  std::vector<naive_point> points_;
};

RC_GTEST_PROP(chain_model, agrees_with_a_naive_reference, ()) {
  for (int worlds = 0; worlds < 20; ++worlds) {
    world w;
    const int steps = *rc::gen::inRange(1, 80);
    for (int i = 0; i < steps; ++i) w.step();
  }
}

}  // namespace
}  // namespace ufence

// merge, dedup and leaves over random containers, against a reference in plain sets.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/container_test_support.h"
#include "ufence/container/unwrap.h"

namespace ufence {
namespace {

// A container or a leaf, and what is in it, as numbers in `world`.
struct naive {
  fence_ref real;
  std::set<std::size_t> leaves;       // of all that is inside
  std::vector<std::size_t> children = {};  // in `world::things`; of a leaf none
  bool has_chain = false;
};

struct world {
  std::vector<new_fence> fences;
  std::vector<naive> things;

  world() {
    const auto contexts = *rc::gen::inRange<std::uint64_t>(1, 8);
    const std::uint64_t first = fence::allocate_contexts(contexts);
    const auto n = *rc::gen::inRange<std::size_t>(1, 40);
    for (std::size_t i = 0; i < n; ++i) {
      // One context, one order: no two have the same seqno.
      fences.push_back(make_fence(first + *rc::gen::inRange<std::uint64_t>(0, contexts), i));
      things.push_back({.real = fences.back().fence, .leaves = {i}});
    }
    const auto containers = *rc::gen::inRange(0, 12);
    for (int i = 0; i < containers; ++i) {
      if (*rc::gen::arbitrary<bool>()) {
        add_array();
      } else {
        add_chain();
      }
    }
  }
  ~world() {
    for (new_fence& f : fences) {
      if (f.signal) f.signal.signal();
    }
  }
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  [[nodiscard]] std::size_t any() const {
    return *rc::gen::inRange<std::size_t>(0, things.size());
  }
  // The leaves that a walk tells which visits each container once.
  void walk(std::size_t thing, std::set<std::size_t>& visited,
            std::multiset<fence*>& found) const {
    const naive& n = things[thing];
    if (n.children.empty()) {
      found.insert(n.real.get());
    } else if (visited.insert(thing).second) {
      for (const std::size_t child : n.children) walk(child, visited, found);
    }
  }
  void add_array() {
    naive made;
    std::vector<fence_ref> children;
    const auto n = *rc::gen::inRange(1, 6);
    for (int i = 0; i < n; ++i) take(made, children, any());
    made.real = *fence_array::create(children);
    things.push_back(std::move(made));
  }
  void add_chain() {
    naive made;
    made.has_chain = true;
    std::vector<fence_ref> contained;
    const auto n = *rc::gen::inRange(1, 6);
    for (int i = 0; i < n; ++i) take(made, contained, any());
    std::uint64_t point = 0;
    for (const fence_ref& f : contained) made.real = *fence_chain::create(made.real, f, ++point);
    things.push_back(std::move(made));
  }
  void take(naive& into, std::vector<fence_ref>& list, std::size_t thing) const {
    const naive& from = things[thing];
    list.push_back(from.real);
    into.children.push_back(thing);
    into.leaves.insert(from.leaves.begin(), from.leaves.end());
    into.has_chain = into.has_chain || from.has_chain;
  }

  void signal_some() {
    for (new_fence& f : fences) {
      if (f.signal && *rc::gen::arbitrary<bool>()) f.signal.signal(error());
    }
  }
  static int error() { return *rc::gen::element(0, 0, -EIO, -ENODATA); }

  // The latest pending fence of each context, in the order of contexts.
  [[nodiscard]] std::vector<fence*> latest(const std::set<std::size_t>& leaves) const {
    std::map<std::uint64_t, fence*> found;
    for (const std::size_t i : leaves) {
      fence* f = fences[i].fence.get();
      if (f->is_signaled()) continue;
      fence*& at = found[f->context()];
      if (at == nullptr || at->seqno() < f->seqno()) at = f;
    }
    std::vector<fence*> sorted;
    for (const auto& [context, f] : found) sorted.push_back(f);
    return sorted;
  }
};

RC_GTEST_PROP(merge_model, unwraps_every_leaf_that_is_in_a_container, ()) {
  const world w;
  for (std::size_t i = 0; i < w.things.size(); ++i) {
    std::set<std::size_t> visited;
    std::multiset<fence*> expected;
    w.walk(i, visited, expected);
    const std::vector<fence*> found = leaves_of(w.things[i].real);
    RC_ASSERT(std::multiset<fence*>(found.begin(), found.end()) == expected);
    std::set<fence*> all;
    for (const std::size_t leaf : w.things[i].leaves) all.insert(w.fences[leaf].fence.get());
    RC_ASSERT(std::set<fence*>(found.begin(), found.end()) == all);
  }
}

RC_GTEST_PROP(merge_model, keeps_the_latest_pending_fence_of_each_context, ()) {
  world w;
  w.signal_some();
  naive all;
  std::vector<fence_ref> args;
  const auto n = *rc::gen::inRange(0, 6);
  for (int i = 0; i < n; ++i) w.take(all, args, w.any());

  std::vector<fence*> pending = w.latest(all.leaves);
  const fence_ref merged = *merge(args);
  if (pending.empty()) {
    std::int64_t newest = 0;
    for (const std::size_t i : all.leaves) {
      newest = std::max(newest, w.fences[i].fence->timestamp_ns());
    }
    RC_ASSERT(merged->is_signaled());
    // A chain has dropped what was signaled before its end.
    RC_ASSERT(merged->timestamp_ns() <= newest);
    RC_ASSERT((all.has_chain || merged->timestamp_ns() == newest));
    return;
  }
  RC_ASSERT(leaves_of(merged) == pending);

  // It ends with the last of them, and with the first error.
  merged->enable_signaling();
  int first_error = 0;
  while (!pending.empty()) {
    RC_ASSERT(!merged->is_signaled());
    const auto at = pending.begin() + *rc::gen::inRange<std::ptrdiff_t>(0, std::ssize(pending));
    const auto made = std::ranges::find(w.fences, *at, [](auto& f) { return f.fence.get(); });
    const int error = world::error();
    if (first_error == 0) first_error = error;
    made->signal.signal(error);
    pending.erase(at);
  }
  RC_ASSERT(merged->is_signaled());
  RC_ASSERT(merged->error() == first_error);
}

RC_GTEST_PROP(merge_model, dedup_keeps_the_latest_of_each_context, ()) {
  const world w;
  std::vector<fence_ref> list;
  std::set<std::size_t> numbers;
  const auto n = *rc::gen::inRange(0, 60);
  for (int i = 0; i < n; ++i) {
    const auto number = *rc::gen::inRange<std::size_t>(0, w.fences.size());
    numbers.insert(number);
    list.push_back(w.fences[number].fence);
  }
  const std::vector<fence*> expected = w.latest(numbers);
  list.resize(dedup(list));
  RC_ASSERT(list.size() == expected.size());
  for (std::size_t i = 0; i < list.size(); ++i) RC_ASSERT(list[i].get() == expected[i]);
}

}  // namespace
}  // namespace ufence

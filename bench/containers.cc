// Fences made of fences, one thread.
#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "bench/benchmarks.h"
#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/fence.h"
#include "ufence/rcu/rcu.h"

namespace ufence::bench {
namespace {

template <class T>
T take(result<T> made) {
  require(made.has_value(), "no memory");
  return *std::move(made);
}

new_fence make_fence(std::uint64_t context, std::uint64_t seqno) {
  return take(fence::create(context, seqno));
}

}  // namespace

void array_of_64(session& s) {
  constexpr unsigned children = 64;
  const std::uint64_t contexts = fence::allocate_contexts(children);
  std::array<signaler, children> rights;
  std::array<fence_ref, children> fences;
  s.compare(
      {.name = "array_of_64",
       .what = "create 64 fences and an array of them, enable it, signal all, release all",
       .baseline = "64 uncontended locked instructions",
       .target = 21.4,
       .kernel_told_ns = 8'985},
      s.how_much().scaled(200),
      [&](std::uint64_t n) {
        return time_calls(n, [&] {
          for (unsigned i = 0; i < children; ++i) {
            new_fence made = make_fence(contexts + i, 1);
            rights[i] = std::move(made.signal);
            fences[i] = std::move(made.fence);
          }
          const fence_ref array = take(fence_array::adopt(fences));
          array->enable_signaling();
          for (signaler& right : rights) right.signal();
          require(array->is_signaled(), "an array is signaled with its last child");
        });
      },
      locked_instructions(children));
}

namespace {

constexpr unsigned nodes = 1'000;
constexpr double kernel_walk_told_ns = 13'400;

// A chain whose fences are pending.
struct pending_chain {
  std::vector<signaler> rights;
  fence_ref tail;

  pending_chain() {
    const std::uint64_t context = fence::allocate_contexts(1);
    for (unsigned point = 1; point <= nodes; ++point) {
      new_fence made = make_fence(context, point);
      rights.push_back(std::move(made.signal));
      tail = take(fence_chain::create(tail, made.fence, point));
    }
  }
  ~pending_chain() {
    for (signaler& right : rights) right.signal();
  }
};

}  // namespace

void chain_walk_rcu(session& s) {
  const pending_chain chain;
  s.compare(
      {.name = "chain_walk_rcu",
       .what = "walk over 1,000 nodes inside an RCU read section",
       .baseline = "1,000 uncontended locked instructions",
       .target = 0.73,
       .kernel_told_ns = kernel_walk_told_ns},
      s.how_much().scaled(200),
      [&](std::uint64_t n) {
        return time_calls(n, [&] {
          const rcu::read_section section;
          unsigned seen = 0;
          std::uint64_t point = nodes;
          for (fence* at = chain.tail.get(); at != nullptr;) {
            require(at->seqno() == point--, "points come in order");
            ++seen;
            const fence_chain* node = fence_chain::from(*at);
            at = node != nullptr ? node->previous_rcu() : nullptr;
          }
          require(seen == nodes, "all nodes are met");
        });
      },
      locked_instructions(nodes));
}

void chain_walk(session& s) {
  const pending_chain chain;
  s.compare(
      {.name = "chain_walk",
       .what = "walk over 1,000 pending nodes with a reference to each",
       .baseline = "1,000 uncontended locked instructions",
       .target = 2.33,
       .kernel_told_ns = kernel_walk_told_ns},
      s.how_much().scaled(200),
      [&](std::uint64_t n) {
        return time_calls(n, [&] {
          unsigned seen = 0;
          for (fence_ref at = chain.tail; at; at = fence_chain::walk(*at)) ++seen;
          require(seen == nodes, "all nodes are met");
        });
      },
      locked_instructions(nodes));
}

void chain_build_signal_collect(session& s) {
  s.compare(
      {.name = "chain_build_signal_collect",
       .what = "a node of 1,000: its fence made, chained, signaled, collected by a walk",
       .baseline = "1 uncontended locked instruction",
       .target = 32.6,
       .kernel_told_ns = 214},
      s.how_much().quick ? nodes : 20 * nodes,
      [&](std::uint64_t n) {
        std::vector<signaler> rights;
        rights.reserve(nodes);
        const std::uint64_t context = fence::allocate_contexts(1);
        return time_calls(n / nodes, [&] {
          fence_ref tail;
          for (unsigned point = 1; point <= nodes; ++point) {
            new_fence made = make_fence(context, point);
            rights.push_back(std::move(made.signal));
            tail = take(fence_chain::create(std::move(tail), std::move(made.fence), point));
          }
          for (signaler& right : rights) right.signal();
          require(!fence_chain::walk(*tail), "all are collected");
          rights.clear();
        });
      },
      locked_instructions(1));
}

void merge_two_arrays(session& s) {
  constexpr unsigned contexts = 32;
  const std::uint64_t first = fence::allocate_contexts(contexts);
  std::vector<signaler> rights;
  const auto array_at = [&](std::uint64_t seqno) {
    std::vector<fence_ref> fences;
    for (unsigned i = 0; i < contexts; ++i) {
      new_fence made = make_fence(first + i, seqno);
      rights.push_back(std::move(made.signal));
      fences.push_back(std::move(made.fence));
    }
    return take(fence_array::create(fences));
  };
  const std::array both{array_at(1), array_at(2)};

  struct point {
    std::uint64_t context;
    std::uint64_t seqno;
  };
  using points = std::vector<std::shared_ptr<point>>;
  const auto points_at = [&](std::uint64_t seqno) {
    points made;
    for (unsigned i = 0; i < contexts; ++i) {
      made.push_back(std::make_shared<point>(point{.context = first + i, .seqno = seqno}));
    }
    return made;
  };
  const points a = points_at(2);
  const points b = points_at(1);

  s.compare(
      {.name = "merge_two_arrays",
       .what = "merge of two arrays of 32 fences over 32 contexts, and its release",
       .baseline = "std::set_union of two sorted std::vector<std::shared_ptr>, and its end",
       .target = 1.2},
      s.how_much().scaled(2'000),
      [&](std::uint64_t n) {
        return time_calls(n, [&] {
          const fence_ref merged = take(merge(both));
          keep(merged.get());
        });
      },
      [&](std::uint64_t n) {
        return time_calls(n, [&] {
          points merged;
          std::ranges::set_union(
              a, b, std::back_inserter(merged), {}, [](const auto& p) { return p->context; },
              [](const auto& p) { return p->context; });
          keep(merged.data());
        });
      });
  for (signaler& right : rights) right.signal();
}

}  // namespace ufence::bench

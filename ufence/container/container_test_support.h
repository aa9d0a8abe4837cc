// What the tests of containers share.
#pragma once

#include <pthread.h>

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "ufence/container/chain.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/fence.h"

namespace ufence {

inline new_fence make_fence(std::uint64_t context = fence::allocate_contexts(1),
                            std::uint64_t seqno = 1) {
  return std::move(*fence::create(context, seqno));
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

/// Runs a body on a thread whose stack has 128 KiB.
inline void on_small_stack(std::function<void()> body) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, std::size_t{128} * 1024);
  pthread_t thread;
  const int failed = pthread_create(
      &thread, &attributes,
      [](void* run) -> void* { (*static_cast<std::function<void()>*>(run))(); return nullptr; },
      &body);
  pthread_attr_destroy(&attributes);
  if (failed == 0) pthread_join(thread, nullptr);
}

}  // namespace ufence

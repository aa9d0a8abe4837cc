// The interface in C against the one in C++ over which it is thin.
#include <cstdint>
#include <utility>

#include "bench/benchmarks.h"
#include "ufence/fence/fence.h"
#include "ufence/ufence.h"

namespace ufence::bench {
namespace {

// A fence as both interfaces see it.
struct seen_twice {
  seen_twice() noexcept {
    require(ufence_fence_create(ufence_fence_allocate_contexts(1), 1, &c, &right) == 0,
            "no memory for a fence");
    result<new_fence> made = fence::create(fence::allocate_contexts(1), 1);
    require(made.has_value(), "no memory for a fence");
    cpp = *std::move(made);
  }
  ~seen_twice() {
    if (right != nullptr) signal();
    ufence_fence_put(c);
  }
  seen_twice(const seen_twice&) = delete;
  seen_twice& operator=(const seen_twice&) = delete;

  void signal() noexcept {
    ufence_signaler_signal(std::exchange(right, nullptr), 0);
    cpp.signal.signal();
  }

  ufence_fence* c = nullptr;
  ufence_signaler* right = nullptr;
  new_fence cpp;
};

}  // namespace

void c_is_signaled(session& s) {
  seen_twice made;
  made.signal();
  s.compare(
      {.name = "c_is_signaled",
       .what = "ufence_fence_is_signaled() of a fence marked signaled",
       .baseline = "fence::is_signaled(), inline in the caller",
       .target = 1.1},
      s.how_much().scaled(400'000),
      [&](std::uint64_t n) { return time_calls(n, [&] { keep(ufence_fence_is_signaled(made.c)); }); },
      [&](std::uint64_t n) { return time_calls(n, [&] { keep(made.cpp.fence->is_signaled()); }); });
}

void c_create_signal_release(session& s) {
  const std::uint64_t context = ufence_fence_allocate_contexts(1);
  s.compare(
      {.name = "c_create_signal_release",
       .what = "ufence_fence_create(), _signaler_signal(), _fence_put()",
       .baseline = "fence::create(), signal(), drop",
       .target = 1.1},
      s.how_much().scaled(10'000),
      [context](std::uint64_t n) {
        std::uint64_t signaled = 0;
        const batch_time time = time_calls(n, [&] {
          ufence_fence* f = nullptr;
          ufence_signaler* right = nullptr;
          if (ufence_fence_create(context, 1, &f, &right) != 0) return;
          if (ufence_signaler_signal(right, 0) == 1) ++signaled;
          ufence_fence_put(f);
        });
        require(signaled == n, "each fence is signaled");
        return time;
      },
      [context](std::uint64_t n) {
        return time_calls(n, [&] {
          result<new_fence> made = fence::create(context, 1);
          if (made) keep(made->signal.signal());
        });
      });
}

void c_add_remove_callback(session& s) {
  seen_twice made;
  ufence_fence_cb c_node{};
  c_node.fn = [](ufence_fence*, ufence_fence_cb*) {};
  callback node([](callback&, fence&) noexcept {});
  s.compare(
      {.name = "c_add_remove_callback",
       .what = "ufence_fence_add_callback(), _remove_callback()",
       .baseline = "add_callback(), remove_callback() in C++",
       .target = 1.1},
      s.how_much().scaled(20'000),
      [&](std::uint64_t n) {
        std::uint64_t removed = 0;
        const batch_time time = time_calls(n, [&] {
          if (ufence_fence_add_callback(made.c, &c_node) != 0) return;
          if (ufence_fence_remove_callback(made.c, &c_node) == 1) ++removed;
        });
        require(removed == n, "each callback is removed");
        return time;
      },
      [&](std::uint64_t n) {
        return time_calls(n, [&] {
          static_cast<void>(made.cpp.fence->add_callback(node));
          keep(*made.cpp.fence->remove_callback(node));
        });
      });
}

}  // namespace ufence::bench

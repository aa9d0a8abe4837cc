// Containers of the kernel's interface ask the fences inside of them one inside the other, as the
// kernel's do. These may be shared: a walk remembers where it was, and asks no container twice.
#pragma once

#include <cstdint>
#include <utility>

#include "ufence/container/visited.h"
#include "ufence/fence/thread_state.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/kernel/linux/dma-fence-array.h"
#include "ufence/kernel/linux/dma-fence-chain.h"

namespace ufence {

/// In an op of a container that asks its children the same. The outermost one on this thread has what
/// the walk has visited; ops of issuers, and callbacks, which may begin other walks, do not see it.
class container_visit {
  struct walk {
    // Which container is asked now, and in whose op. An op of that one goes on with the walk; what its
    // callbacks begin does not.
    const fence* asked = nullptr;
    const frame* asked_in = nullptr;
    // A container is polled before it is told a deadline.
    detail::visited_containers polled = {};
    detail::visited_containers told_deadline = {};
  };

 public:
  container_visit() noexcept
      : thread_(thread_state::mine()),
        found_(static_cast<walk*>(std::exchange(thread_.visited, nullptr))),
        walk_(found_ != nullptr && goes_on(*found_) ? *found_ : own_) {}
  ~container_visit() { thread_.visited = found_; }
  container_visit(const container_visit&) = delete;
  container_visit& operator=(const container_visit&) = delete;

  /// dma_fence_is_signaled() of a child; of a container that this walk has asked before its flag.
  [[nodiscard]] bool poll(dma_fence* child) noexcept {
    bool is_signaled = false;
    if (!ask(child, &walk::polled, [&](dma_fence* f) { is_signaled = dma_fence_is_signaled(f); })) {
      is_signaled = dma_fence_test_signaled_flag(child);
    }
    return is_signaled;
  }
  /// dma_fence_set_deadline() of a child, unless this walk has told it before.
  void set_deadline(dma_fence* child, ktime_t deadline) noexcept {
    static_cast<void>(ask(child, &walk::told_deadline,
                          [&](dma_fence* f) { dma_fence_set_deadline(f, deadline); }));
  }
  /// Goes on to a node of a chain that the walk has from dma_fence_chain_walk(), to tell the deadline to what
  /// it contains. False: this walk has told it, and all before it.
  [[nodiscard]] bool tells_on_from(dma_fence* at) noexcept {
    constexpr std::uint32_t of_link_and_walk = 2;
    return !dma_fence_is_chain(at) ||
           walk_.told_deadline.enter(kernel_fence::of(*at), of_link_and_walk);
  }

 private:
  // False: it is a container that was asked before.
  template <class Ask>
  [[nodiscard]] bool ask(dma_fence* child, detail::visited_containers walk::*visited,
                         Ask what) noexcept {
    if (!dma_fence_is_container(child)) {
      what(child);
      return true;
    }
    constexpr std::uint32_t of_parent = 1;
    if (!(walk_.*visited).enter(kernel_fence::of(*child), of_parent)) return false;
    // What is asked below goes back to this one, which may be polled and told.
    const fence* const was_asked = std::exchange(walk_.asked, &kernel_fence::of(*child));
    const frame* const was_asked_in = std::exchange(walk_.asked_in, thread_.top);
    thread_.visited = &walk_;
    what(child);
    thread_.visited = nullptr;
    walk_.asked = was_asked;
    walk_.asked_in = was_asked_in;
    return true;
  }

  [[nodiscard]] bool goes_on(const walk& w) const noexcept {
    const frame* op = thread_.top;
    return op != nullptr && op->node == nullptr && op->of == w.asked && op->outer == w.asked_in;
  }

  thread_state& thread_;
  walk* const found_;
  walk& walk_;
  walk own_;
};

}  // namespace ufence

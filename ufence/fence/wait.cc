#include "ufence/fence/wait.h"

#include <array>
#include <memory>
#include <new>
#include <optional>

#include "ufence/base/alloc.h"
#include "ufence/base/futex.h"
#include "ufence/base/futex_until.h"
#include "ufence/fence/embedded_fence.h"
#include "ufence/fence/live.h"
#include "ufence/fence/report.h"
#include "ufence/fence/signalling.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/trace.h"

namespace ufence {

// --- One fence ---

std::error_code fence::may_wait() noexcept {
  rank_check_none();
  detail::check_may_wait();
  if (thread_state::mine().involves(*this)) return errno_code(EDEADLK);
  if (is_inherited()) return errno_code(EOWNERDEAD);
  return {};
}

// EINTR: a signal handler ran, and the caller asked for that.
std::error_code fence::wait_for(std::uint32_t bits, std::int64_t deadline_ns,
                                bool is_interruptible) noexcept {
  bool expired = deadline_ns <= 0;
  std::optional<detail::sleeping_thread> listed;
  for (;;) {
    // [FENCE.18] acquire: see the result, the callbacks' and retire's effects; pairs with
    // [FENCE.3], [FENCE.9], [FENCE.28], [FENCE.10], [FENCE.24], [FENCE.26], [FENCE.27], [FENCE.36]
    std::uint32_t s = state_.load(mo::acquire);
    if ((s & bits) == bits) return {};
    if (bits == fence_state::settled && (s & fence_state::signaled) != 0 &&
        has_nothing_to_settle()) {
      return {};
    }
    if (expired) return errno_code(ETIME);
    if ((s & fence_state::waiters) == 0) {
      // relaxed: the transition sees the bit in the same word
      if (!state_.compare_exchange_weak(s, s | fence_state::waiters, mo::relaxed, mo::relaxed)) {
        continue;
      }
      s |= fence_state::waiters;
    }
    if (!listed) listed.emplace(*this, bits);
    if (is_interruptible) {
      const int how = futex_wait_interruptible(state_, s, deadline_ns, futex_class::state);
      if (how == -EINTR) return errno_code(EINTR);
      expired = how == -ETIME;
    } else {
      expired = futex_wait(state_, s, deadline_ns, futex_class::state) == -ETIME;
    }
  }
}

std::error_code fence::wait(absolute_deadline deadline_ns) noexcept {
  if (is_signaled()) return {};
  if (const std::error_code refused = may_wait()) return refused;
  UFENCE_TRACE(wait_start, *this);
  enable_signaling();
  std::error_code failed;
  const int op_result =
      is_foreign() ? embedded_fence::of(*this).type().wait(*this, deadline_ns) : 0;
  if (op_result < 0) {
    failed = is_signaled() ? std::error_code() : errno_code(-op_result);
  } else {
    failed = wait_for(fence_state::signaled, deadline_ns);
    // A timeline may have completed it without marking it.
    if (failed && is_signaled()) failed = {};
  }
  UFENCE_TRACE_ERROR(wait_end, *this, -failed.value());
  return failed;
}

std::error_code fence::wait_result(absolute_deadline deadline_ns) noexcept {
  if (const std::error_code failed = wait(deadline_ns)) return failed;
  const int how = error();
  return how < 0 ? errno_code(-how) : std::error_code();
}

// Debug builds tell a thread that waits for what it holds itself (F4): the settlement of a fence
// that it decided a moment ago. Another thread may have been handed it, so it is told after a while
// only.
std::error_code fence::wait_for_settling(std::uint32_t bits, std::int64_t deadline_ns) noexcept {
#if defined(UFENCE_DEBUG_CHECKS) && UFENCE_DEBUG_CHECKS
  constexpr std::int64_t patience_ns = 500'000'000;
  const std::int64_t look_again_ns = deadline_after(patience_ns);
  if (deadline_ns > look_again_ns && thread_state::mine().decided_lately(*this)) {
    if (!wait_for(bits, look_again_ns)) return {};
    send_report({.kind = report_kind::own_settlement_wait,
                 .context = context(),
                 .seqno = seqno(),
                 .driver_name = driver_name(),
                 .timeline_name = timeline_name(),
                 .text = "a thread waits for a fence that it decided and has not settled"});
  }
#endif
  return wait_for(bits, deadline_ns);
}

namespace {

// A wait of this thread as a recording has it: one that the static points do not know of.
class recorded_wait {
 public:
  recorded_wait(const fence& f, std::uint64_t count) noexcept : of_(&f) {
    if (trace::is_recording()) [[unlikely]]
      trace::record_wait(trace::event::wait_start, f, count);
  }
  /// By this fence, if it did not fail.
  void ended_by(const fence& f) noexcept { of_ = &f; }
  std::error_code failed(std::error_code how) noexcept {
    error_ = -how.value();
    return how;
  }
  ~recorded_wait() {
    if (trace::is_recording()) [[unlikely]]
      trace::record_wait(trace::event::wait_end, *of_, 0, error_);
  }
  recorded_wait(const recorded_wait&) = delete;
  recorded_wait& operator=(const recorded_wait&) = delete;

 private:
  const fence* of_;
  int error_ = 0;
};

}  // namespace

std::error_code fence::wait_settled(absolute_deadline deadline_ns) noexcept {
  if (is_settled()) return {};
  if (const std::error_code refused = may_wait()) return refused;
  recorded_wait wait(*this, 1);
  enable_signaling();
  return wait.failed(wait_for_settling(fence_state::settled, deadline_ns));
}

std::error_code fence::wait_quiesced(absolute_deadline deadline_ns) noexcept {
  constexpr std::uint32_t quiesced = fence_state::signaled | fence_state::retired;
  if (!wait_for(quiesced, 0)) return {};
  if (const std::error_code refused = may_wait()) return refused;
  recorded_wait wait(*this, 1);
  if (is_ordered()) enable_signaling();
  return wait.failed(wait_for_settling(quiesced, deadline_ns));
}

// --- Several fences ---

namespace {

constexpr std::size_t none_signaled = SIZE_MAX;

std::size_t first_signaled(std::span<const fence_ref> fences) noexcept {
  for (std::size_t i = 0; i < fences.size(); ++i) {
    if (fences[i]->is_signaled()) return i;
  }
  return none_signaled;
}

bool has_null(std::span<const fence_ref> fences) noexcept {
  for (const fence_ref& f : fences) {
    if (!f) return true;
  }
  return false;
}

// Wakes the waiter of a wait for any.
struct any_node : callback {
  any_node() noexcept : callback(&any_node::run) {}
  static void run(callback& node, fence&) noexcept {
    atomic<std::uint32_t>& woken = *static_cast<any_node&>(node).woken;
    // relaxed: the waiter looks at the fences themselves
    woken.store(1, mo::relaxed);
    futex_wake_all(woken);
  }
  atomic<std::uint32_t>* woken = nullptr;
};

}  // namespace

callback_function detail::callback_of_wait_any() noexcept { return &any_node::run; }

// Waits for any of several fences that are enabled, not inherited, and not null.
class any_waiter {
 public:
  any_waiter(std::span<const fence_ref> fences, std::int64_t deadline_ns) noexcept
      : fences_(fences), deadline_ns_(deadline_ns) {}

  // One futex_waitv on the state words. -ENOSYS: the kernel has none.
  result<std::size_t> by_futex() noexcept {
    std::array<futex_waiter, futex_wait_any_max> words;
    bool expired = deadline_ns_ <= 0;
    std::optional<detail::sleeping_thread> listed;
    for (;;) {
      for (std::size_t i = 0; i < fences_.size(); ++i) {
        atomic<std::uint32_t>& state = fences_[i]->state_;
        // relaxed: the transition sees the bit in the same word; is_signaled() acquires
        const std::uint32_t s = state.fetch_or(fence_state::waiters, mo::relaxed);
        words[i] = {.word = &state, .expected = s | fence_state::waiters};
      }
      const std::size_t found = first_signaled(fences_);
      if (found != none_signaled) return found;
      if (expired) return failure(ETIME);
      if (!listed) listed.emplace(fences_);
      const int rc = futex_wait_any({words.data(), fences_.size()}, deadline_ns_);
      if (rc == -ENOSYS) return failure(ENOSYS);
      expired = rc == -ETIME;
    }
  }

  // A callback on each.
  result<std::size_t> by_callbacks() noexcept {
    std::array<any_node, stack_nodes_max> on_stack;
    struct freer {
      void operator()(void* memory) const noexcept { deallocate(memory); }
    };
    std::unique_ptr<void, freer> on_heap;
    any_node* nodes = on_stack.data();
    if (fences_.size() > on_stack.size()) {
      on_heap.reset(allocate(fences_.size() * sizeof(any_node)));
      if (!on_heap) return failure(ENOMEM);
      nodes = static_cast<any_node*>(on_heap.get());
      std::uninitialized_default_construct_n(nodes, fences_.size());
    }
    atomic<std::uint32_t> woken{0};
    std::size_t queued = 0;
    bool pending = true;
    for (; queued < fences_.size() && pending; ++queued) {
      nodes[queued].woken = &woken;
      pending = !fences_[queued]->add_callback(nodes[queued]);
    }
    const result<std::size_t> found = pending ? sleep_on(woken) : first_signaled(fences_);
    // Our callbacks never wait for one, so this can't end in a circle.
    while (queued != 0) {
      --queued;
      static_cast<void>(fences_[queued]->remove_callback(nodes[queued]));
    }
    return found;
  }

 private:
  static constexpr std::size_t stack_nodes_max = 32;

  result<std::size_t> sleep_on(const atomic<std::uint32_t>& woken) noexcept {
    const detail::sleeping_thread listed(fences_);
    std::size_t found = none_signaled;
    const bool is_any = futex_wait_until(woken, deadline_ns_, [&](std::uint32_t& not_woken) noexcept {
      not_woken = 0;
      found = first_signaled(fences_);
      return found != none_signaled;
    });
    return is_any ? result<std::size_t>(found) : failure(ETIME);
  }

  const std::span<const fence_ref> fences_;
  const std::int64_t deadline_ns_;
};

result<std::size_t> wait_any(std::span<const fence_ref> fences,
                             absolute_deadline deadline_ns) noexcept {
  if (fences.empty() || has_null(fences)) return failure(EINVAL);
  if (const std::size_t found = first_signaled(fences); found != none_signaled) return found;
  for (const fence_ref& f : fences) {
    if (const std::error_code refused = f->may_wait()) return std::unexpected(refused);
  }
  recorded_wait wait(*fences[0], fences.size());
  for (const fence_ref& f : fences) f->enable_signaling();
  any_waiter waiter(fences, deadline_ns);
  result<std::size_t> found = failure(ENOSYS);
  if (fences.size() <= futex_wait_any_max) found = waiter.by_futex();
  if (!found && found.error() == errno_code(ENOSYS)) found = waiter.by_callbacks();
  if (found) {
    wait.ended_by(*fences[*found]);
  } else {
    static_cast<void>(wait.failed(found.error()));
  }
  return found;
}

std::error_code wait_all(std::span<const fence_ref> fences,
                         absolute_deadline deadline_ns) noexcept {
  if (has_null(fences)) return errno_code(EINVAL);
  for (const fence_ref& f : fences) f->enable_signaling();
  for (const fence_ref& f : fences) {
    if (const std::error_code failed = f->wait(deadline_ns)) return failed;
  }
  return {};
}

}  // namespace ufence

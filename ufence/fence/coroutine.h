// co_await a fence.
//
//     task consume(ufence::fence_ref f, ufence::executor& loop) {
//       const int status = co_await ufence::on(f, loop);   // 1 signaled, <0 signaled with that error
//       ...
//     }
#pragma once

#include <coroutine>

#include "ufence/fence/fence.h"

namespace ufence {

/// Where coroutines go on.
class executor {
 public:
  virtual ~executor() = default;
  /// Resumes the coroutine, soon, somewhere; never inside the call. Called by any thread, with no lock
  /// of ours held, inside a callback. Must not throw.
  virtual void post(std::coroutine_handle<> coroutine) noexcept = 0;
};

/// Waits in a coroutine. Without an executor the coroutine goes on inside the settling of the fence, as
/// a callback (F10), never inside a decide. Destroying a suspended coroutine removes its callback (F11).
class fence_awaiter : private callback {
 public:
  explicit fence_awaiter(fence_ref f, executor* where = nullptr) noexcept
      : callback(&fence_awaiter::run), fence_(std::move(f)), where_(where) {}
  ~fence_awaiter() {
    if (!is_queued_ || is_resumed_) return;
    const result<bool> removed = fence_->remove_callback(*this);
    if (!removed) detail::registration_deadlock(*fence_);
  }

  [[nodiscard]] bool await_ready() noexcept { return fence_->is_signaled(); }
  [[nodiscard]] bool await_suspend(std::coroutine_handle<> coroutine) noexcept {
    coroutine_ = coroutine;
    is_queued_ = true;
    // The callback may run, and the awaiter be gone, before add_callback() returns.
    const fence_ref f = fence_;
    const std::error_code refused = f->add_callback(*this);
    if (!refused) return true;
    is_queued_ = false;
    refused_ = refused == errno_code(ENOENT) ? 0 : -refused.value();
    return false;
  }
  /// 1 signaled; <0 signaled with that error; -EOWNERDEAD pending and inherited through fork().
  [[nodiscard]] int await_resume() noexcept {
    is_resumed_ = true;
    return refused_ != 0 ? refused_ : fence_->status();
  }

 private:
  static void run(callback& node, fence&) noexcept {
    auto& self = static_cast<fence_awaiter&>(node);
    const std::coroutine_handle<> coroutine = self.coroutine_;
    executor* where = self.where_;
    // As soon as the coroutine goes on the awaiter may be gone.
    if (where != nullptr) {
      where->post(coroutine);
    } else {
      coroutine.resume();
    }
  }

  fence_ref fence_;
  executor* where_;
  std::coroutine_handle<> coroutine_;
  bool is_queued_ = false;   // written before the callback may run
  bool is_resumed_ = false;  // by the coroutine itself
  int refused_ = 0;
};

/// co_await on(f): goes on in the settling thread; co_await on(f, loop): where the executor says.
[[nodiscard]] inline fence_awaiter on(fence_ref f) noexcept { return fence_awaiter(std::move(f)); }
[[nodiscard]] inline fence_awaiter on(fence_ref f, executor& where) noexcept {
  return fence_awaiter(std::move(f), &where);
}

}  // namespace ufence

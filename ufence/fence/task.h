// Coroutines that wait for fences, and a loop that runs them: for programs that have neither.
//
//     ufence::task<int> sum(ufence::fence_ref f, ufence::run_loop& loop) {
//       co_return co_await ufence::on(f, loop);
//     }
//     ufence::run_loop loop;
//     const int status = loop.run(sum(f, loop));
#pragma once

#include <condition_variable>
#include <coroutine>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>

#include "ufence/fence/coroutine.h"

namespace ufence {

template <class T>
class task;

namespace detail {

struct task_promise_base {
  // Goes on with the coroutine that awaits this one.
  struct at_end {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    [[nodiscard]] std::coroutine_handle<> await_suspend(
        std::coroutine_handle<Promise> ended) const noexcept {
      return ended.promise().next;
    }
    void await_resume() const noexcept {}
  };

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] at_end final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { failed = std::current_exception(); }

  std::coroutine_handle<> next = std::noop_coroutine();
  std::exception_ptr failed;
};

template <class T>
struct task_promise : task_promise_base {
  [[nodiscard]] task<T> get_return_object() noexcept;
  template <class Value>
  void return_value(Value&& value) {
    result.emplace(std::forward<Value>(value));
  }
  [[nodiscard]] T take() {
    if (failed) std::rethrow_exception(failed);
    return std::move(*result);
  }
  std::optional<T> result;
};

template <>
struct task_promise<void> : task_promise_base {
  [[nodiscard]] task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() const {
    if (failed) std::rethrow_exception(failed);
  }
};

}  // namespace detail

/// A coroutine that begins when it is awaited, or run by a run_loop, once; it gives a T, or throws.
/// Destroying one that waits for a fence removes its callback (F11).
template <class T = void>
class [[nodiscard]] task {
 public:
  using promise_type = detail::task_promise<T>;

  task(task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  task& operator=(task&&) = delete;
  ~task() {
    if (coroutine_) coroutine_.destroy();
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  [[nodiscard]] std::coroutine_handle<> await_suspend(std::coroutine_handle<> next) noexcept {
    coroutine_.promise().next = next;
    return coroutine_;
  }
  T await_resume() { return coroutine_.promise().take(); }

 private:
  friend promise_type;
  explicit task(std::coroutine_handle<promise_type> coroutine) noexcept : coroutine_(coroutine) {}

  std::coroutine_handle<promise_type> coroutine_;
};

template <class T>
task<T> detail::task_promise<T>::get_return_object() noexcept {
  return task<T>(std::coroutine_handle<task_promise>::from_promise(*this));
}
inline task<void> detail::task_promise<void>::get_return_object() noexcept {
  return task<void>(std::coroutine_handle<task_promise>::from_promise(*this));
}

/// An executor whose coroutines go on in the thread that calls run().
class run_loop final : public executor {
 public:
  run_loop() = default;
  run_loop(const run_loop&) = delete;
  run_loop& operator=(const run_loop&) = delete;

  /// Without memory the process ends: the coroutine could not go on.
  void post(std::coroutine_handle<> coroutine) noexcept override {
    const std::lock_guard guard(lock_);
    ready_.push_back(coroutine);
    changed_.notify_one();
  }

  /// Runs a task to its end, and whatever else is posted meanwhile. One thread at a time.
  /// @return  what the task gives; throws what it throws
  template <class T>
  T run(task<T> what) {
    bool is_done = false;  // guarded by the lock
    begin(what, *this, is_done);
    for (;;) {
      std::coroutine_handle<> next;
      {
        std::unique_lock guard(lock_);
        changed_.wait(guard, [&] { return is_done || !ready_.empty(); });
        if (is_done) return what.await_resume();
        next = ready_.front();
        ready_.pop_front();
      }
      next.resume();
    }
  }

 private:
  // A coroutine that begins at once and frees itself at its end.
  struct root {
    struct promise_type {
      [[nodiscard]] root get_return_object() const noexcept { return {}; }
      [[nodiscard]] std::suspend_never initial_suspend() const noexcept { return {}; }
      [[nodiscard]] std::suspend_never final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      void unhandled_exception() const noexcept { std::terminate(); }
    };
  };
  // Waits for a task's end, and leaves what it gives to others.
  template <class T>
  struct end_of {
    task<T>& what;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    [[nodiscard]] std::coroutine_handle<> await_suspend(std::coroutine_handle<> next) noexcept {
      return what.await_suspend(next);
    }
    void await_resume() const noexcept {}
  };
  // The task may end on another thread. As soon as the lock is dropped the loop may be gone.
  template <class T>
  static root begin(task<T>& what, run_loop& loop, bool& is_done) {
    co_await end_of<T>{what};
    const std::lock_guard guard(loop.lock_);
    is_done = true;
    loop.changed_.notify_one();
  }

  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<std::coroutine_handle<>> ready_;
};

}  // namespace ufence

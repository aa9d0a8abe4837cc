// Coroutines that wait for fences and go on in the program's own loop.
#include <condition_variable>
#include <coroutine>
#include <cstdio>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "ufence/fence/coroutine.h"
#include "ufence/fence/timeline.h"

namespace {

// Resumes on the thread that calls run_one(), never where the fence was signaled.
class event_loop : public ufence::executor {
 public:
  void post(std::coroutine_handle<> coroutine) noexcept override {
    const std::lock_guard guard(lock_);
    ready_.push_back(coroutine);
    changed_.notify_one();
  }
  void run_one() {
    std::unique_lock guard(lock_);
    changed_.wait(guard, [this] { return !ready_.empty(); });
    const std::coroutine_handle<> next = ready_.front();
    ready_.pop_front();
    guard.unlock();
    next.resume();
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<std::coroutine_handle<>> ready_;
};

// The smallest coroutine type: it starts at once and frees itself at its end.
struct task {
  struct promise_type {
    task get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

task consume(ufence::fence_ref first, ufence::fence_ref second, event_loop& loop, bool& done) {
  const int status = co_await ufence::on(first, loop);
  std::printf("the first ended with %d\n", status);
  const int second_status = co_await ufence::on(second, loop);
  std::printf("the second ended with %d\n", second_status);
  done = status == 1 && second_status == -5;
}

}  // namespace

int main() {
  auto issuer = ufence::timeline_issuer::create({.driver_name = "demo", .timeline_name = "ring"});
  if (!issuer) return 1;
  auto first = issuer->emit();
  auto second = issuer->emit();
  if (!first || !second) return 1;

  event_loop loop;
  bool done = false;
  consume(std::move(*first), std::move(*second), loop, done);
  std::thread device([&issuer] { issuer->signal_up_to(1); });
  loop.run_one();
  device.join();
  issuer->fail(-5);
  loop.run_one();
  return done ? 0 : 1;
}

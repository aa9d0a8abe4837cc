// co_await on a fence.
#include "ufence/fence/coroutine.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

// A coroutine that starts at once and is destroyed with its handle.
class task {
 public:
  struct promise_type {
    task get_return_object() {
      return task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
  explicit task(std::coroutine_handle<> coroutine) : coroutine_(coroutine) {}
  task(task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  task& operator=(task&&) = delete;
  ~task() {
    if (coroutine_) coroutine_.destroy();
  }
  [[nodiscard]] bool done() const { return coroutine_.done(); }

 private:
  std::coroutine_handle<> coroutine_;
};

// A coroutine that nobody holds.
struct detached {
  struct promise_type {
    detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

// Resumes on the thread that runs it.
class queue_executor : public executor {
 public:
  void post(std::coroutine_handle<> coroutine) noexcept override {
    const std::lock_guard guard(lock_);
    queue_.push_back(coroutine);
    changed_.notify_one();
  }
  // Resumes one; false if there is none in time.
  bool run_one(std::chrono::milliseconds at_most = std::chrono::seconds(120)) {
    std::coroutine_handle<> next;
    {
      std::unique_lock guard(lock_);
      if (!changed_.wait_for(guard, at_most, [&] { return !queue_.empty(); })) return false;
      next = queue_.front();
      queue_.pop_front();
    }
    next.resume();
    return true;
  }
  bool is_empty() {
    const std::lock_guard guard(lock_);
    return queue_.empty();
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<std::coroutine_handle<>> queue_;
};

task await(fence_ref f, std::optional<int>& status) { status = co_await on(std::move(f)); }
task await_there(fence_ref f, executor& where, std::optional<int>& status,
                 std::thread::id* resumed_in = nullptr) {
  status = co_await on(std::move(f), where);
  if (resumed_in != nullptr) *resumed_in = std::this_thread::get_id();
}

}  // namespace

TEST(coroutine, goes_on_without_suspending_if_the_fence_is_signaled) {
  new_fence made = make_fence();
  made.signal.signal(-EIO);
  std::optional<int> status;
  const task t = await(made.fence, status);
  EXPECT_EQ(status, -EIO);
  EXPECT_TRUE(t.done());
}

TEST(coroutine, goes_on_when_the_fence_settles_never_inside_a_decide) {
  new_fence made = make_fence();
  std::optional<int> status;
  const task t = await(made.fence, status);
  EXPECT_FALSE(status.has_value());
  settlement later;
  made.signal.decide(0, later);
  EXPECT_FALSE(status.has_value());
  later.settle();
  EXPECT_EQ(status, 1);
  EXPECT_TRUE(t.done());
}

TEST(coroutine, goes_on_where_the_executor_says) {
  new_fence made = make_fence();
  queue_executor loop;
  std::optional<int> status;
  std::thread::id resumed_in;
  const task t = await_there(made.fence, loop, status, &resumed_in);
  std::thread signals([&] { made.signal.signal(-ENODEV); });
  EXPECT_TRUE(loop.run_one());
  signals.join();
  EXPECT_EQ(status, -ENODEV);
  EXPECT_EQ(resumed_in, std::this_thread::get_id());
}

TEST(coroutine, an_executor_is_only_asked_if_there_was_something_to_wait_for) {
  queue_executor loop;
  std::optional<int> status;
  const task t = await_there(fence::stub(), loop, status);
  EXPECT_EQ(status, 1);
  EXPECT_TRUE(loop.is_empty());
}

TEST(coroutine, awaits_one_after_the_other) {
  timeline_issuer issuer = make_timeline();
  std::vector<int> seen;
  const auto consume = [](timeline_issuer& line, std::vector<int>& to) -> task {
    for (int i = 0; i < 5; ++i) {
      const fence_ref f = line.emit().value();
      to.push_back(co_await on(f));
    }
  };
  const task t = consume(issuer, seen);
  for (std::uint64_t seqno = 1; seqno <= 4; ++seqno) {
    issuer.signal_up_to(seqno);
    EXPECT_EQ(seen.size(), seqno);
  }
  issuer.fail(-EIO);
  EXPECT_EQ(seen, (std::vector<int>{1, 1, 1, 1, -EIO}));
  EXPECT_TRUE(t.done());
}

TEST(coroutine, destroyed_while_suspended_removes_its_callback) {
  new_fence made = make_fence();
  std::optional<int> status;
  {
    const task t = await(made.fence, status);
    EXPECT_FALSE(t.done());
  }
  settlement later;
  made.signal.decide(0, later);
  EXPECT_TRUE(later.empty()) << "no callback is left";
  EXPECT_FALSE(status.has_value());
}

TEST(coroutine, may_hold_the_last_reference) {
  timeline_issuer issuer = make_timeline();
  std::optional<int> status;
  const task t = await(issuer.emit().value(), status);
  issuer.signal_up_to(1);
  EXPECT_EQ(status, 1);
}

TEST(coroutine, may_signal_others_when_it_goes_on) {
  new_fence first = make_fence();
  new_fence second = make_fence();
  std::optional<int> in_second;
  const auto relay = [](fence_ref f, signaler right) -> task {
    right.signal(co_await on(f) == 1 ? 0 : -EIO);
  };
  const task a = relay(first.fence, std::move(second.signal));
  const task b = await(second.fence, in_second);
  first.signal.signal();
  EXPECT_EQ(in_second, 1);
}

TEST(coroutine, the_awaiter_may_hold_the_last_reference) {
  // The coroutine goes on elsewhere, ends and drops the fence while add_callback() has not
  // returned.
  const stress_clock clock(0.25);
  scripted_backend data;
  ufence::atomic<std::uint32_t> word{0};
  timeline_issuer issuer = make_timeline({.driver_name = "d",
                                          .timeline_name = "l",
                                          .initial_seqno = 0,
                                          .data = &data,
                                          .device_word = &word});
  std::jthread device([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) issuer.signal_up_to(issuer.line()->emitted());
  });
  const auto consume = [](timeline_issuer& line, std::atomic<int>& out) -> detached {
    fence_ref f = line.emit().value();
    out = co_await on(std::move(f));
  };
  for (long round = 0; round == 0 || clock.runs(); ++round) {
    std::atomic<int> status = 0;
    consume(issuer, status);
    ASSERT_TRUE(eventually([&] { return status == 1; }));
  }
}

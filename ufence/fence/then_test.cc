// What is built on callbacks for programs: functions that come after a fence, futures, tasks, durations.
#include "ufence/fence/then.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/chrono.h"
#include "ufence/fence/future.h"
#include "ufence/fence/task.h"
#include "ufence/fence/testing/support.h"

namespace ufence {
namespace {

using testing::make_fence;
using testing::scripted_callback;
using namespace std::chrono_literals;

TEST(then, runs_when_the_fence_is_signaled_and_gives_what_it_returns) {
  new_fence f = make_fence();
  int told = 0;
  const fence_ref after = then(f.fence, [&told](int status) { return told = status; }).value();
  EXPECT_EQ(told, 0);
  EXPECT_FALSE(after->is_signaled());
  EXPECT_NE(after->context(), f.fence->context());
  f.signal.signal(-EIO);
  EXPECT_EQ(told, -EIO);
  EXPECT_EQ(after->status(), -EIO);
}

TEST(then, runs_at_once_after_a_fence_that_is_signaled) {
  int told = 0;
  const fence_ref after = then(fence::stub(), [&told](int status) { told = status; }).value();
  EXPECT_EQ(told, 1);
  EXPECT_EQ(after->status(), 1);
}

TEST(then, needs_nobody_to_keep_anything) {
  new_fence f = make_fence();
  const auto alive = std::make_shared<int>(1);
  int told = 0;
  {
    const auto after = then(f.fence, [&told, alive](int status) { told = status; });
    EXPECT_EQ(alive.use_count(), 2);
  }
  f.fence.reset();
  f.signal.signal();
  EXPECT_EQ(told, 1);
  EXPECT_EQ(alive.use_count(), 1);
}

TEST(then, what_the_function_has_kept_is_gone_when_its_fence_is_signaled) {
  new_fence f = make_fence();
  auto alive = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = alive;
  const fence_ref after = then(f.fence, [kept = std::move(alive)](int) {}).value();
  bool is_gone = false;
  scripted_callback look([&](fence&) { is_gone = watch.expired(); });
  ASSERT_FALSE(after->add_callback(look));
  f.signal.signal();
  EXPECT_TRUE(is_gone);
}

TEST(then, makes_errors_of_exceptions) {
  new_fence f = make_fence();
  const fence_ref thrown = then(f.fence, [](int) { throw std::runtime_error("x"); }).value();
  const fence_ref no_memory = then(f.fence, [](int) { throw std::bad_alloc(); }).value();
  f.signal.signal();
  EXPECT_EQ(thrown->error(), -EIO);
  EXPECT_EQ(no_memory->error(), -ENOMEM);
}

TEST(then, is_a_chain) {
  new_fence f = make_fence();
  std::string order;
  const fence_ref first = then(f.fence, [&](int) { order += 'a'; }).value();
  const fence_ref second = then(first, [&](int) { order += 'b'; }).value();
  f.signal.signal();
  EXPECT_TRUE(second->is_signaled());
  EXPECT_EQ(order, "ab");
}

TEST(then, refuses_a_null_fence) {
  EXPECT_EQ(then(nullptr, [](int) {}).error(), errno_code(EINVAL));
}

TEST(future, is_ready_when_the_fence_is_signaled) {
  new_fence f = make_fence();
  std::future<int> pending = to_future(f.fence);
  EXPECT_EQ(pending.wait_for(0s), std::future_status::timeout);
  std::thread signaller([&] { f.signal.signal(-ETIME); });
  EXPECT_EQ(pending.get(), -ETIME);
  signaller.join();
  EXPECT_EQ(to_future(fence::stub()).get(), 1);
  EXPECT_THROW(static_cast<void>(to_future(nullptr)), std::system_error);
}

// --- Tasks ---

task<int> status_of(fence_ref f, run_loop& loop) { co_return co_await on(std::move(f), loop); }

task<int> sum_of(std::vector<fence_ref> fences, run_loop& loop) {
  int sum = 0;
  for (fence_ref& f : fences) sum += co_await status_of(std::move(f), loop);
  co_return sum;
}

TEST(task, runs_to_its_end_in_the_loop) {
  new_fence first = make_fence(), second = make_fence();
  run_loop loop;
  std::thread signaller([&] {
    second.signal.signal(-5);
    first.signal.signal();
  });
  EXPECT_EQ(loop.run(sum_of({first.fence, second.fence, fence::stub()}, loop)), -3);
  signaller.join();
}

TEST(task, goes_on_in_the_thread_of_the_loop) {
  new_fence f = make_fence();
  run_loop loop;
  const std::thread::id here = std::this_thread::get_id();
  std::thread signaller([&] { f.signal.signal(); });
  const auto where = [](fence_ref on_this, run_loop& l) -> task<std::thread::id> {
    static_cast<void>(co_await on(std::move(on_this), l));
    co_return std::this_thread::get_id();
  };
  EXPECT_EQ(loop.run(where(f.fence, loop)), here);
  signaller.join();
}

TEST(task, may_end_in_the_thread_that_signals) {
  for (int round = 0; round < 100; ++round) {
    new_fence f = make_fence();
    std::thread signaller([&] { f.signal.signal(); });
    {
      run_loop loop;
      const auto anywhere = [](fence_ref on_this) -> task<int> {
        co_return co_await on(std::move(on_this));
      };
      EXPECT_EQ(loop.run(anywhere(f.fence)), 1);
    }
    signaller.join();
  }
}

TEST(task, throws_to_whom_awaits_it) {
  run_loop loop;
  const auto fails = []() -> task<> {
    throw std::runtime_error("as told");
    co_return;
  };
  EXPECT_THROW(loop.run(fails()), std::runtime_error);
  const auto catches = [&fails]() -> task<bool> {
    try {
      co_await fails();
    } catch (const std::runtime_error&) {
      co_return true;
    }
    co_return false;
  };
  EXPECT_TRUE(loop.run(catches()));
}

TEST(task, that_never_ran_is_dropped) {
  new_fence f = make_fence();
  run_loop loop;
  const auto alive = std::make_shared<int>(1);
  {
    const auto never = [](std::shared_ptr<int> kept, fence_ref on_this, run_loop& l) -> task<> {
      static_cast<void>(kept);
      static_cast<void>(co_await on(std::move(on_this), l));
    }(alive, f.fence, loop);
    EXPECT_EQ(alive.use_count(), 2);
  }
  EXPECT_EQ(alive.use_count(), 1);
  f.signal.signal();
}

// --- Durations ---

TEST(chrono, durations_and_points_become_deadlines) {
  using clock = std::chrono::steady_clock;
  EXPECT_EQ(deadline_at(clock::time_point(5ms)), 5'000'000);
  EXPECT_EQ(deadline_at(clock::time_point(-5ms)), 0);
  EXPECT_EQ(deadline_at(clock::time_point::max()), no_deadline);
  EXPECT_EQ(deadline_in(-1s), 0);
  EXPECT_EQ(deadline_in(std::chrono::hours::max()), no_deadline);
  EXPECT_EQ(deadline_in(std::chrono::duration<double>(std::numeric_limits<double>::infinity())),
            no_deadline);
  const std::int64_t before = now_ns();
  const std::int64_t in_an_hour = deadline_in(1h);
  EXPECT_GE(in_an_hour, before + 3'600'000'000'000);
  EXPECT_LE(in_an_hour, now_ns() + 3'600'000'000'000);
  // The same clock.
  const std::int64_t now_of_chrono = deadline_at(clock::now());
  EXPECT_GE(now_of_chrono, before);
  EXPECT_LE(now_of_chrono, now_ns());
}

TEST(chrono, a_wait_ends_by_them) {
  const new_fence f = make_fence();
  EXPECT_EQ(wait_for(f.fence, 1ms), errno_code(ETIME));
  EXPECT_EQ(wait_until(f.fence, std::chrono::steady_clock::now()), errno_code(ETIME));
  EXPECT_FALSE(wait_for(fence::stub(), 0s));
  const std::vector<fence_ref> both{f.fence, fence::stub()};
  EXPECT_EQ(wait_any_for(both, 1h).value(), 1U);
  EXPECT_EQ(wait_all_for(both, 1ms), errno_code(ETIME));
}

}  // namespace
}  // namespace ufence

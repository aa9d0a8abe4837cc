#include "ufence/container/ww_mutex.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <latch>
#include <thread>
#include <vector>

namespace ufence {
namespace {

void wait_until(const std::function<bool()>& holds) {
  while (!holds()) std::this_thread::yield();
}

TEST(ww_mutex, is_locked_by_one_at_a_time) {
  ww_mutex m;
  EXPECT_FALSE(m.was_locked());
  ASSERT_FALSE(m.lock());
  EXPECT_TRUE(m.was_locked());
  EXPECT_EQ(m.locking_context(), nullptr);
  EXPECT_FALSE(m.try_lock());
  ww_context context;
  EXPECT_FALSE(m.try_lock(&context));
  EXPECT_EQ(context.held(), 0U);
  m.unlock();
  EXPECT_TRUE(m.try_lock(&context));
  EXPECT_EQ(m.locking_context(), &context);
  EXPECT_EQ(context.held(), 1U);
  m.unlock();
  EXPECT_FALSE(m.was_locked());
  EXPECT_EQ(context.held(), 0U);
}

TEST(ww_mutex, says_so_when_the_context_has_it_already) {
  ww_mutex m;
  ww_context context;
  ASSERT_FALSE(m.lock(&context));
  EXPECT_EQ(m.lock(&context), errno_code(EALREADY));
  EXPECT_EQ(context.held(), 1U);
  m.unlock();
}

TEST(ww_mutex, later_contexts_are_younger) {
  const ww_context first;
  const ww_context second;
  EXPECT_LT(first.stamp(), second.stamp());
}

TEST(ww_mutex, an_older_context_wounds_a_younger_owner_which_then_backs_off) {
  ww_mutex a;
  ww_mutex b;
  ww_context older;
  ww_context younger;
  ASSERT_FALSE(a.lock(&younger));
  std::thread waits([&] {
    EXPECT_FALSE(a.lock(&older));
    EXPECT_FALSE(b.lock(&older));
    a.unlock();
    b.unlock();
  });
  wait_until([&] { return younger.is_wounded(); });
  EXPECT_EQ(b.lock(&younger), errno_code(EDEADLK));
  EXPECT_EQ(younger.held(), 1U);
  a.unlock();
  b.lock_slow(younger);
  EXPECT_FALSE(younger.is_wounded()) << "it gave everything back";
  b.unlock();
  waits.join();
}

TEST(ww_mutex, a_wound_reaches_a_context_that_sleeps) {
  ww_mutex a;
  ww_mutex b;
  ww_context older;
  ww_context younger;
  ASSERT_FALSE(b.lock());  // by somebody without a context
  std::latch holds_a(1);
  std::thread sleeps([&] {
    ASSERT_FALSE(a.lock(&younger));
    holds_a.count_down();
    EXPECT_EQ(b.lock(&younger), errno_code(EDEADLK));
    a.unlock();
  });
  holds_a.wait();
  EXPECT_FALSE(a.lock(&older)) << "given to it by the one that it wounded";
  a.unlock();
  sleeps.join();
  b.unlock();
  EXPECT_TRUE(b.try_lock()) << "nobody waits for it any more";
  b.unlock();
}

TEST(ww_mutex, a_younger_context_waits_for_an_older_owner_unharmed) {
  ww_mutex a;
  ww_mutex b;
  ww_context older;
  ww_context younger;
  ASSERT_FALSE(a.lock(&older));
  bool has_both = false;
  std::thread waits([&] {
    ASSERT_FALSE(b.lock(&younger));
    EXPECT_FALSE(a.lock(&younger));
    has_both = true;
    a.unlock();
    b.unlock();
  });
  wait_until([&] { return a.count_waiters_for_test() == 1; });
  EXPECT_FALSE(older.is_wounded());
  a.unlock();
  waits.join();
  EXPECT_TRUE(has_both);
  EXPECT_FALSE(younger.is_wounded());
}

struct queue_of_waiters {
  ww_mutex m;
  std::vector<std::size_t> order;
  std::vector<std::thread> threads;

  // The m is held; on return the new thread is queued.
  void add(std::size_t number, ww_context* context) {
    const std::size_t before = m.count_waiters_for_test();
    threads.emplace_back([this, number, context] {
      EXPECT_FALSE(m.lock(context));
      order.push_back(number);
      m.unlock();
    });
    wait_until([&] { return m.count_waiters_for_test() > before; });
  }
  void join() {
    for (std::thread& t : threads) t.join();
  }
};

TEST(ww_mutex, waiting_contexts_get_it_in_the_order_of_their_age) {
  std::array<ww_context, 4> contexts;
  queue_of_waiters queue;
  ASSERT_FALSE(queue.m.lock());
  for (const std::size_t i : {2U, 0U, 3U, 1U}) queue.add(i, &contexts[i]);
  queue.m.unlock();
  queue.join();
  EXPECT_EQ(queue.order, (std::vector<std::size_t>{0, 1, 2, 3}));
}

TEST(ww_mutex, waiters_without_a_context_get_it_in_the_order_of_their_arrival) {
  ww_context older;
  ww_context younger;
  queue_of_waiters queue;
  ASSERT_FALSE(queue.m.lock());
  queue.add(1, nullptr);
  queue.add(3, &younger);
  queue.add(4, nullptr);
  queue.add(2, &older);
  queue.m.unlock();
  queue.join();
  EXPECT_EQ(queue.order, (std::vector<std::size_t>{1, 2, 3, 4}));
}

}  // namespace
}  // namespace ufence

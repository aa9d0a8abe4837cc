#include "ufence/container/resv_locks.h"

#include <gtest/gtest.h>

#include <array>
#include <latch>
#include <thread>
#include <vector>

namespace ufence {
namespace {

TEST(resv_locks, locks_all_and_drops_all) {
  std::array<resv, 3> objects;
  const std::array all{&objects[2], &objects[0], &objects[1], &objects[0]};
  {
    resv_locks locks;
    ASSERT_FALSE(locks.lock_all(all)) << "one comes twice";
    for (const resv& r : objects) {
      EXPECT_TRUE(r.was_locked());
      EXPECT_TRUE(locks.holds(r));
    }
    ASSERT_FALSE(locks.lock_all(std::array{&objects[1]}));
    EXPECT_FALSE(objects[0].was_locked());
    EXPECT_TRUE(locks.holds(objects[1]));
  }
  for (const resv& r : objects) EXPECT_FALSE(r.was_locked());
}

TEST(resv_locks, refuses_null) {
  resv object;
  resv_locks locks;
  EXPECT_EQ(locks.lock_all(std::array<resv*, 2>{&object, nullptr}), errno_code(EINVAL));
  EXPECT_FALSE(object.was_locked());
  EXPECT_FALSE(locks.lock_all({}));
}

TEST(resv_locks, an_error_of_the_body_ends_the_run_and_keeps_the_locks) {
  resv object;
  resv_locks locks;
  const std::error_code failed = locks.run([&] {
    EXPECT_FALSE(locks.lock(object));
    return errno_code(ENODATA);
  });
  EXPECT_EQ(failed, errno_code(ENODATA));
  EXPECT_TRUE(locks.holds(object));
  locks.unlock_all();
  EXPECT_FALSE(object.was_locked());
}

// An older one holds `second` and wants `first`, which this one holds: it gives it back, waits, and
// runs again.
TEST(resv_locks, backs_off_and_runs_again) {
  resv first;
  resv second;
  ww_context older;
  std::latch second_is_held(1);
  std::latch first_is_held(1);
  std::thread other([&] {
    ASSERT_FALSE(second.lock(&older));
    second_is_held.count_down();
    first_is_held.wait();
    ASSERT_FALSE(first.lock(&older));
    first.unlock();
    second.unlock();
  });
  second_is_held.wait();
  resv_locks locks;
  int runs = 0;
  const std::error_code failed = locks.run([&] {
    if (const std::error_code e = locks.lock(first)) return e;
    if (++runs == 1) first_is_held.count_down();
    return locks.lock(second);
  });
  other.join();
  EXPECT_FALSE(failed);
  EXPECT_TRUE(locks.holds(first));
  EXPECT_TRUE(locks.holds(second));
  EXPECT_EQ(runs, 2);
}

TEST(resv_locks, a_body_that_hides_that_it_must_back_off_runs_again_all_the_same) {
  resv first;
  resv second;
  ww_context older;
  resv_locks locks;
  std::thread other;
  int runs = 0;
  const std::error_code failed = locks.run([&] {
    ++runs;
    EXPECT_FALSE(locks.lock(first));
    if (runs == 1) {
      other = std::thread([&] {
        ASSERT_FALSE(first.lock(&older));
        first.unlock();
      });
      // Wounded as soon as the other one waits.
      while (!first.locking_context()->is_wounded()) std::this_thread::yield();
      EXPECT_EQ(locks.lock(second), errno_code(EDEADLK));
    }
    return std::error_code();
  });
  other.join();
  EXPECT_FALSE(failed);
  EXPECT_EQ(runs, 2);
  EXPECT_TRUE(locks.holds(first));
}

}  // namespace
}  // namespace ufence

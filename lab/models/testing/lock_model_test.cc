// The word of a mutex, explored: the lab's own mutex stands in for it in all other scenarios.
#include "ufence/base/lock_word.h"

#include "lab/models/testing/harness.h"

namespace ufence::lab {
namespace {

TEST(lock_model, one_thread_at_a_time_sees_what_the_last_one_wrote) {
  expect_safe([] {
    lock_word lock;
    cell<int> value;
    const auto add_one = [&] {
      lock.lock();
      value.set(value.get() + 1);
      lock.unlock();
    };
    {
      thread first("first", add_one);
      thread second("second", add_one);
    }
    lock.lock();
    LAB_CHECK(value.get() == 2);
    lock.unlock();
  });
}

TEST(lock_model, of_three_threads_none_sleeps_for_ever) {
  expect_safe_so_far([] {
    lock_word lock;
    cell<int> value;
    const auto add_one = [&] {
      lock.lock();
      value.set(value.get() + 1);
      lock.unlock();
    };
    {
      thread first("first", add_one);
      thread second("second", add_one);
      thread third("third", add_one);
    }
    LAB_CHECK(value.get() == 3);
  });
}

}  // namespace
}  // namespace ufence::lab

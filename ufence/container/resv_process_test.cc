// F18: fork() while reservation objects are locked and hold pending fences.
#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include "ufence/container/resv.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

// What a child does with an object that it has locked and whose one fence its parent signals.
int use_inherited(resv& object) {
  UFENCE_CHILD_EXPECT(object.was_locked());
  new_fence own = make_fence();
  UFENCE_CHILD_EXPECT(object.reserve(1) == no_error);
  UFENCE_CHILD_EXPECT(object.add(own.fence, resv_usage::kernel) == no_error);
  object.unlock();
  UFENCE_CHILD_EXPECT(object.get_fences(resv_usage::bookkeep)->size() == 2);
  UFENCE_CHILD_EXPECT(object.wait(resv_usage::kernel, no_wait) == errno_code(ETIME));
  UFENCE_CHILD_EXPECT(own.signal.signal());
  UFENCE_CHILD_EXPECT(object.wait(resv_usage::kernel) == no_error);
  UFENCE_CHILD_EXPECT(object.wait(resv_usage::write) == errno_code(EOWNERDEAD));
  UFENCE_CHILD_EXPECT(!object.test_signaled(resv_usage::write));
  UFENCE_CHILD_EXPECT(object.try_lock());
  object.unlock();
  return 0;
}

}  // namespace

TEST(F18_fork, the_child_holds_the_reservation_objects_that_its_thread_held) {
  resv object;
  new_fence made = make_fence();
  ASSERT_EQ(object.lock(), no_error);
  ASSERT_EQ(object.reserve(1), no_error);
  ASSERT_EQ(object.add(made.fence, resv_usage::write), no_error);
  EXPECT_EQ(in_child([&] { return use_inherited(object); }), 0);
  EXPECT_TRUE(object.was_locked());
  object.unlock();
  EXPECT_EQ(object.get_fences(resv_usage::bookkeep)->size(), 1U);
  EXPECT_EQ(object.wait(resv_usage::write, no_wait), errno_code(ETIME));
  made.signal.signal();
  EXPECT_EQ(object.wait(resv_usage::write), no_error);
}

TEST(F18_fork, the_child_unlocks_what_it_inherited_in_an_acquire_context) {
  ww_mutex first, second;
  ww_context context;
  ASSERT_EQ(first.lock(&context), no_error);
  ASSERT_EQ(second.lock(&context), no_error);
  EXPECT_EQ(in_child([&] {
              UFENCE_CHILD_EXPECT(first.lock(&context) == errno_code(EALREADY));
              first.unlock();
              second.unlock();
              UFENCE_CHILD_EXPECT(context.held() == 0);
              ww_context own;
              UFENCE_CHILD_EXPECT(second.lock(&own) == no_error);
              UFENCE_CHILD_EXPECT(first.lock(&own) == no_error);
              first.unlock();
              second.unlock();
              return 0;
            }),
            0);
  EXPECT_TRUE(first.was_locked() && second.was_locked());
  first.unlock();
  second.unlock();
}

TEST(F18_fork, what_another_thread_holds_stays_locked_in_the_child) {
  resv object;
  std::latch is_locked(1);
  std::latch may_unlock(1);
  std::thread other([&] {
    EXPECT_EQ(object.lock(), no_error);
    is_locked.count_down();
    may_unlock.wait();
    object.unlock();
  });
  is_locked.wait();
  EXPECT_EQ(in_child([&] {
              UFENCE_CHILD_EXPECT(object.was_locked());
              UFENCE_CHILD_EXPECT(!object.try_lock());
              UFENCE_CHILD_EXPECT(object.test_signaled(resv_usage::bookkeep));
              return 0;
            }),
            0);
  may_unlock.count_down();
  other.join();
  EXPECT_TRUE(object.try_lock());
  object.unlock();
}

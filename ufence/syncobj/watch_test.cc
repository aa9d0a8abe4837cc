#include "ufence/syncobj/watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>

#include "ufence/fence/testing/support.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence::testing {
namespace {

struct counting_watch : syncobj_watch {
  counting_watch() noexcept : syncobj_watch(&counting_watch::count) {}
  static void count(syncobj_watch& w, bool is_there) noexcept {
    auto& self = static_cast<counting_watch&>(w);
    (is_there ? self.came : self.ended).fetch_add(1);
  }
  std::atomic<int> came{0};
  std::atomic<int> ended{0};
};

syncobj_ref make_object() { return syncobj::create().value(); }

TEST(syncobj_watch, regress_in_a_child_of_fork_stops_and_does_not_tell_of_what_was_inherited) {
  const syncobj_ref object = make_object();
  new_fence inherited = make_fence();
  counting_watch absent;
  ASSERT_FALSE(absent.start(*object, 1, false));
  const syncobj_ref filled = make_object();
  ASSERT_FALSE(filled->replace_fence(inherited.fence));
  counting_watch pending;
  ASSERT_FALSE(pending.start(*filled, 0, false));
  const int child = in_child([&] {
    absent.stop(*object);
    pending.stop(*filled);
    UFENCE_CHILD_EXPECT(absent.came + absent.ended + pending.came + pending.ended == 0);

    const syncobj_ref own = make_object();
    UFENCE_CHILD_EXPECT(own->replace_fence(inherited.fence) == no_error);
    counting_watch refused;
    UFENCE_CHILD_EXPECT(refused.start(*own, 0, false) == errno_code(EOWNERDEAD));
    UFENCE_CHILD_EXPECT(refused.came + refused.ended == 0);
    refused.stop(*own);

    const syncobj_ref later = make_object();
    counting_watch ended;
    UFENCE_CHILD_EXPECT(ended.start(*later, 0, false) == no_error);
    UFENCE_CHILD_EXPECT(later->replace_fence(inherited.fence) == no_error);
    UFENCE_CHILD_EXPECT(ended.came == 0 && ended.ended == 1);

    counting_watch available;
    UFENCE_CHILD_EXPECT(available.start(*own, 0, true) == no_error);
    UFENCE_CHILD_EXPECT(available.came == 1);
    return 0;
  });
  EXPECT_EQ(child, 0);
  absent.stop(*object);
  inherited.signal.signal();
  EXPECT_EQ(pending.came, 1);
}

// The lock of a syncobj may be another thread's in the moment of the fork().
TEST(syncobj_watch, regress_stops_in_a_child_while_the_parent_is_busy) {
  const syncobj_ref object = make_object();
  counting_watch watch;
  ASSERT_FALSE(watch.start(*object, 0, false));
  std::atomic<bool> stop = false;
  std::jthread busy([&] {
    while (!stop) static_cast<void>(object->last_submitted());
  });
  for (int forks = 0; forks < 100; ++forks) {
    ASSERT_EQ(in_child([&] {
                watch.stop(*object);
                return 0;
              }),
              0);
  }
  stop = true;
  busy.join();
  watch.stop(*object);
}

TEST(syncobj_watch, tells_once_of_what_is_there_and_of_what_comes) {
  const syncobj_ref object = make_object();
  new_fence f = make_fence();
  counting_watch submitted;
  counting_watch signaled;
  ASSERT_FALSE(submitted.start(*object, 0, true));
  ASSERT_FALSE(signaled.start(*object, 0, false));
  EXPECT_EQ(submitted.came, 0);
  ASSERT_FALSE(object->replace_fence(f.fence));
  EXPECT_EQ(submitted.came, 1);
  EXPECT_EQ(signaled.came, 0);
  f.signal.signal();
  EXPECT_EQ(signaled.came, 1);
  counting_watch late;
  ASSERT_FALSE(late.start(*object, 0, false));
  EXPECT_EQ(late.came, 1);
  for (counting_watch* w : {&submitted, &signaled, &late}) w->stop(*object);
  EXPECT_EQ(submitted.came + signaled.came + late.came, 3);
  EXPECT_EQ(submitted.ended + signaled.ended + late.ended, 0);
}

TEST(syncobj_watch, that_was_stopped_says_nothing_and_leaves_nothing) {
  const syncobj_ref object = make_object();
  new_fence f = make_fence();
  counting_watch w[3];
  // Of a point that is not submitted, of one that is meanwhile, of one that was.
  ASSERT_FALSE(w[0].start(*object, 2, false));
  ASSERT_FALSE(w[1].start(*object, 1, false));
  w[0].stop(*object);
  ASSERT_FALSE(object->add_point(f.fence, 1));
  ASSERT_FALSE(w[2].start(*object, 1, false));
  w[1].stop(*object);
  w[2].stop(*object);
  f.signal.signal();
  ASSERT_FALSE(object->signal_point(2));
  for (const counting_watch& one : w) EXPECT_EQ(one.came + one.ended, 0);
}

TEST(syncobj_watch, tells_that_the_syncobj_ended) {
  syncobj_ref object = make_object();
  counting_watch w;
  ASSERT_FALSE(w.start(*object, 5, false));
  object = nullptr;
  EXPECT_EQ(w.ended, 1);
  EXPECT_EQ(w.came, 0);
}

TEST(syncobj_watch, may_free_itself) {
  struct self_freeing : syncobj_watch {
    explicit self_freeing(int& n) noexcept
        : syncobj_watch([](syncobj_watch& w, bool) noexcept {
            auto& self = static_cast<self_freeing&>(w);
            ++self.runs;
            delete &self;
          }),
          runs(n) {}
    int& runs;
  };
  const syncobj_ref object = make_object();
  int runs = 0;
  for (const bool available : {true, false}) {
    auto* const w = new self_freeing(runs);
    ASSERT_FALSE(w->start(*object, 1, available));
  }
  ASSERT_FALSE(object->signal_point(1));
  EXPECT_EQ(runs, 2);
}

// Stopping is a barrier, wherever the signal is on its way.
TEST(syncobj_watch, stops_while_another_thread_submits_and_signals) {
  for (int round = 0; round < 2'000; ++round) {
    const syncobj_ref object = make_object();
    new_fence f = make_fence();
    auto w = std::make_unique<counting_watch>();
    ASSERT_FALSE(w->start(*object, 0, false));
    std::atomic<bool> go{false};
    std::thread other([&] {
      while (!go) {
      }
      EXPECT_FALSE(object->replace_fence(f.fence));
      f.signal.signal();
    });
    go = true;
    w->stop(*object);
    const int came = w->came;
    EXPECT_LE(came, 1);
    w.reset();  // a thread that still came to it is seen by AddressSanitizer
    other.join();
  }
}

}  // namespace
}  // namespace ufence::testing

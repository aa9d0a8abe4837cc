// What ufence/kernel/README.md says under "Where it differs from the kernel", where no other test shows it.
#include <gtest/gtest.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <linux/sync_file.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "ufence/fence/report.h"
#include "ufence/fence/testing/support.h"
#include "ufence/kernel/interop.h"
#include "ufence/kernel/linux/dma-fence-array.h"
#include "ufence/kernel/linux/dma-fence.h"
#include "ufence/kernel/linux/dma-resv.h"
#include "ufence/kernel/linux/rcupdate.h"
#include "ufence/kernel/linux/sync_file.h"
#include "ufence/kernel/testing/mock.h"

namespace ufence {
namespace {

using testing::counted_cb;
using testing::mock;

// A callback that does what its test wants.
template <class Function>
struct acting_cb : dma_fence_cb {
  explicit acting_cb(Function f) : act(f) {}
  Function act;
  static void run(dma_fence* f, dma_fence_cb* cb) { static_cast<acting_cb*>(cb)->act(f); }
};

// 1.

TEST(kernel_differences, a_nested_signals_callbacks_run_before_the_outermost_signal_returns) {
  const mock outer, inner;
  counted_cb of_inner;
  int runs_inside = -1;
  acting_cb nested([&](dma_fence*) {
    dma_fence_signal(inner.get());
    runs_inside = of_inner.runs;
  });
  ASSERT_EQ(dma_fence_add_callback(inner.get(), &of_inner, &counted_cb::run), 0);
  ASSERT_EQ(dma_fence_add_callback(outer.get(), &nested, &nested.run), 0);
  dma_fence_signal(outer.get());
  EXPECT_EQ(runs_inside, 0) << "not inside of the other callback";
  EXPECT_EQ(of_inner.runs, 1);
}

TEST(kernel_differences, a_nested_signals_callbacks_run_when_its_caller_drops_the_last_spinlock) {
  const mock outer, inner;
  counted_cb of_inner;
  acting_cb nested([&](dma_fence*) { dma_fence_signal(inner.get()); });
  ASSERT_EQ(dma_fence_add_callback(inner.get(), &of_inner, &counted_cb::run), 0);
  ASSERT_EQ(dma_fence_add_callback(outer.get(), &nested, &nested.run), 0);
  spinlock_t first{}, second{};
  spin_lock(&first);
  spin_lock(&second);
  dma_fence_signal(outer.get());
  EXPECT_TRUE(dma_fence_is_signaled(inner.get())) << "decided at once";
  EXPECT_EQ(of_inner.runs, 0);
  spin_unlock(&second);
  EXPECT_EQ(of_inner.runs, 0);
  spin_unlock(&first);
  EXPECT_EQ(of_inner.runs, 1);
}

// 2.

TEST(kernel_differences, an_array_is_signaled_by_the_thread_that_signals_its_last_fence) {
  const mock f;
  auto** fences = static_cast<dma_fence**>(kcalloc(1, sizeof(dma_fence*), GFP_KERNEL));
  fences[0] = dma_fence_get(f.get());
  dma_fence_array* array = dma_fence_array_create(1, fences, dma_fence_context_alloc(1), 1);
  std::thread::id ran_on;
  bool was_locked = true;
  spinlock_t lock{};
  acting_cb note([&](dma_fence*) {
    ran_on = std::this_thread::get_id();
    was_locked = spin_is_locked(&lock) != 0;
  });
  ASSERT_EQ(dma_fence_add_callback(&array->base, &note, &note.run), 0);
  std::thread issuer([&] {
    spin_lock(&lock);
    dma_fence_signal(f.get());
    EXPECT_EQ(ran_on, std::thread::id()) << "an interrupt would be next";
    spin_unlock(&lock);
    EXPECT_EQ(ran_on, std::this_thread::get_id());
  });
  issuer.join();
  EXPECT_FALSE(was_locked);
  dma_fence_put(&array->base);
}

// 3.

TEST(kernel_differences, a_callback_may_remove_another_one) {
  const mock f, other;
  counted_cb removed;
  bool was_removed = false, itself = true;
  dma_fence_cb* own = nullptr;
  acting_cb remover([&](dma_fence* of) {
    was_removed = dma_fence_remove_callback(other.get(), &removed);
    itself = dma_fence_remove_callback(of, own);
  });
  own = &remover;
  ASSERT_EQ(dma_fence_add_callback(other.get(), &removed, &counted_cb::run), 0);
  ASSERT_EQ(dma_fence_add_callback(f.get(), &remover, &remover.run), 0);
  dma_fence_signal(f.get());
  EXPECT_TRUE(was_removed);
  EXPECT_FALSE(itself) << "it runs already, and its removal does not wait for it";
  dma_fence_signal(other.get());
  EXPECT_EQ(removed.runs, 0);
}

TEST(kernel_differences, callbacks_that_remove_each_other_are_reported_and_end) {
  testing::kept_reports told;
  const mock first, second;
  std::atomic<int> inside{0};
  dma_fence_cb* of_first = nullptr;
  dma_fence_cb* of_second = nullptr;
  const auto meet = [&] {
    ++inside;
    while (inside != 2) std::this_thread::yield();
  };
  acting_cb one([&](dma_fence*) {
    meet();
    EXPECT_FALSE(dma_fence_remove_callback(second.get(), of_second));
  });
  acting_cb two([&](dma_fence*) {
    meet();
    EXPECT_FALSE(dma_fence_remove_callback(first.get(), of_first));
  });
  of_first = &one;
  of_second = &two;
  ASSERT_EQ(dma_fence_add_callback(first.get(), &one, &one.run), 0);
  ASSERT_EQ(dma_fence_add_callback(second.get(), &two, &two.run), 0);
  std::thread signals([&] { dma_fence_signal(first.get()); });
  dma_fence_signal(second.get());
  signals.join();
  EXPECT_EQ(told.count(report_kind::kernel_warning), 1);
}

// 6.

TEST(kernel_differences, a_restarting_handler_does_not_end_a_wait_without_a_timeout) {
  static std::atomic<int> handled;
  handled = 0;
  struct sigaction action{}, before{};
  action.sa_handler = [](int) { ++handled; };
  action.sa_flags = SA_RESTART;
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  const mock f;
  std::atomic<bool> has_ended{false};
  long result = 1;
  std::thread waiter([&] {
    result = dma_fence_wait(f.get(), true);
    has_ended = true;
  });
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(pthread_kill(waiter.native_handle(), SIGUSR1), 0);
    std::this_thread::yield();
  }
#ifndef __SANITIZE_THREAD__  // which calls handlers when the thread is awake again
  EXPECT_TRUE(testing::eventually([] { return handled > 0; }));
#endif
  EXPECT_FALSE(has_ended);
  dma_fence_signal(f.get());
  waiter.join();
  EXPECT_EQ(result, 0);
  ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

// 7.

TEST(kernel_differences, in_a_child_what_was_pending_stays_so) {
  const mock f;
  EXPECT_EQ(testing::in_child([&] {
              UFENCE_CHILD_EXPECT(dma_fence_wait(f.get(), false) == -EOWNERDEAD);
              UFENCE_CHILD_EXPECT(dma_fence_wait_timeout(f.get(), false, 1000) == -EOWNERDEAD);
              dma_fence_signal(f.get());
              UFENCE_CHILD_EXPECT(!dma_fence_is_signaled(f.get()));
              return 0;
            }),
            0);
  EXPECT_FALSE(dma_fence_is_signaled(f.get())) << "the parent's is another one";
}

// 9.

TEST(kernel_differences, a_fence_for_which_nothing_is_reserved_is_reported_and_not_added) {
  testing::kept_reports told;
  dma_resv object{};
  dma_resv_init(&object);
  const mock first, second, third;
  ASSERT_EQ(dma_resv_lock(&object, nullptr), 0);
  dma_resv_add_fence(&object, first.get(), DMA_RESV_USAGE_WRITE);
  EXPECT_EQ(told.count(report_kind::kernel_warning), 1);
  ASSERT_EQ(dma_resv_reserve_fences(&object, 1), 0);
  dma_resv_add_fence(&object, second.get(), DMA_RESV_USAGE_WRITE);
  EXPECT_EQ(told.count(report_kind::kernel_warning), 1);
  ASSERT_EQ(dma_resv_reserve_fences(&object, 1), 0);
  dma_resv_unlock(&object);
  ASSERT_EQ(dma_resv_lock(&object, nullptr), 0);
  dma_resv_add_fence(&object, third.get(), DMA_RESV_USAGE_WRITE);
  EXPECT_EQ(told.count(report_kind::kernel_warning), 2) << "what was reserved has ended with the unlock";
  dma_fence_signal(first.get());
  dma_fence_signal(third.get());
  EXPECT_FALSE(dma_resv_test_signaled(&object, DMA_RESV_USAGE_READ));
  dma_fence_signal(second.get());
  EXPECT_TRUE(dma_resv_test_signaled(&object, DMA_RESV_USAGE_READ));
  dma_resv_unlock(&object);
  dma_resv_fini(&object);
}

// 10.

TEST(kernel_differences, a_sync_file_enables_signaling_when_it_is_made) {
  const mock f;
  EXPECT_EQ(f->flags & (1UL << DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT), 0U);
  sync_file* const file = sync_file_create(f.get());
  ASSERT_NE(file, nullptr);
  EXPECT_NE(f->flags & (1UL << DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT), 0U);
  fput(file->file);
}

// 12.

TEST(kernel_differences, the_flags_signaled_and_timestamp_are_set_in_one_step) {
  for (int round = 0; round < 50; ++round) {
    const mock f;
    std::thread signals([&] { dma_fence_signal(f.get()); });
    unsigned long flags = 0;
    do flags = __atomic_load_n(&f->flags, __ATOMIC_ACQUIRE);
    while ((flags & (1UL << DMA_FENCE_FLAG_SIGNALED_BIT)) == 0);
    EXPECT_NE(flags & (1UL << DMA_FENCE_FLAG_TIMESTAMP_BIT), 0U);
    signals.join();
  }
}

// 13.

struct freed {
  rcu_head rcu;
  std::atomic<bool> is_done{false};
  std::string name;
  static void run(rcu_head* head) {
    auto* const self = reinterpret_cast<freed*>(head);
    std::array<char, 16> name{};
    pthread_getname_np(pthread_self(), name.data(), name.size());
    self->name = name.data();
    self->is_done = true;
  }
};

TEST(kernel_differences, regress_a_single_function_of_call_rcu_runs_on_a_thread_of_the_library) {
  freed one;
  call_rcu(&one.rcu, &freed::run);
  EXPECT_TRUE(testing::eventually([&] { return one.is_done.load(); })) << "without an rcu_barrier()";
  EXPECT_EQ(one.name, "ufence-reclaim");
}

// 15, 16.

struct driver_fence : dma_fence {
  int asked = 0;
  static driver_fence& of(dma_fence* f) { return *static_cast<driver_fence*>(f); }
};

bool is_asked(dma_fence* f) {
  ++driver_fence::of(f).asked;
  return false;
}

bool signals_itself(dma_fence* f) {
  dma_fence_signal_locked(f);
  return true;
}

constexpr dma_fence_ops asked_ops{
    testing::name, testing::name, nullptr, &is_asked, nullptr, nullptr, nullptr};
constexpr dma_fence_ops signals_in_enable{
    testing::name, testing::name, &signals_itself, nullptr, nullptr, nullptr, nullptr};

driver_fence* make_driver_fence(const dma_fence_ops& ops) {
  auto* const f = static_cast<driver_fence*>(std::calloc(1, sizeof(driver_fence)));
  dma_fence_init(f, &ops, nullptr, dma_fence_context_alloc(1), 1);
  return f;
}

TEST(kernel_differences, an_unlocked_walk_asks_only_fences_of_its_usages) {
  dma_resv object;
  dma_resv_init(&object);
  driver_fence* const f = make_driver_fence(asked_ops);
  ASSERT_EQ(dma_resv_lock(&object, nullptr), 0);
  ASSERT_EQ(dma_resv_reserve_fences(&object, 1), 0);
  dma_resv_add_fence(&object, f, DMA_RESV_USAGE_BOOKKEEP);
  dma_resv_unlock(&object);
  f->asked = 0;
  EXPECT_TRUE(dma_resv_test_signaled(&object, DMA_RESV_USAGE_READ));
  EXPECT_EQ(f->asked, 0);
  EXPECT_FALSE(dma_resv_test_signaled(&object, DMA_RESV_USAGE_BOOKKEEP));
  EXPECT_EQ(f->asked, 1);
  dma_fence_signal(f);
  dma_fence_put(f);
  dma_resv_fini(&object);
  rcu_barrier();
}

TEST(kernel_differences, a_fence_that_enabling_has_signaled_takes_no_callback) {
  driver_fence* const f = make_driver_fence(signals_in_enable);
  counted_cb callback;
  EXPECT_EQ(dma_fence_add_callback(f, &callback, &counted_cb::run), -ENOENT);
  EXPECT_TRUE(dma_fence_test_signaled_flag(f));
  EXPECT_EQ(callback.runs, 0);
  dma_fence_put(f);
  rcu_barrier();
}

}  // namespace
}  // namespace ufence

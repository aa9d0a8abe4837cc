// F16: issuers that work like old kernel drivers.
#include "ufence/foreign/legacy.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ufence/fence/slab.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/wait.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

// The issuer's side: its lock, and ops that count and note under which locks they run.
struct old_driver {
  std::mutex mutex;
  std::atomic<std::thread::id> holder;
  std::atomic<int> locks = 0;
  std::atomic<int> enables = 0;
  std::atomic<int> polls = 0;
  std::atomic<int> deadlines = 0;
  std::atomic<int> waits = 0;
  std::atomic<int> releases = 0;
  int unlocked_enables = 0;
  int locked_others = 0;
  std::function<int()> on_enable = [] { return 0; };
  std::function<int()> on_poll = [] { return 0; };
  std::function<int(std::int64_t)> on_wait;
  std::function<void()> on_release = [] {};

  [[nodiscard]] bool holds() const { return holder.load() == std::this_thread::get_id(); }

  static old_driver& of(void* data) { return *static_cast<old_driver*>(data); }
  static void lock(void* data) noexcept {
    of(data).mutex.lock();
    of(data).holder = std::this_thread::get_id();
    ++of(data).locks;
  }
  static void unlock(void* data) noexcept {
    of(data).holder = std::thread::id();
    of(data).mutex.unlock();
  }
  static int enable(void* data) noexcept {
    ++of(data).enables;
    if (!of(data).holds()) ++of(data).unlocked_enables;
    return of(data).on_enable();
  }
  static int poll(void* data) noexcept {
    ++of(data).polls;
    if (of(data).holds()) ++of(data).locked_others;
    return of(data).on_poll();
  }
  static void set_deadline(void* data, std::int64_t) noexcept {
    ++of(data).deadlines;
    if (of(data).holds()) ++of(data).locked_others;
  }
  static int wait(void* data, std::int64_t deadline_ns) noexcept {
    ++of(data).waits;
    if (of(data).holds()) ++of(data).locked_others;
    return of(data).on_wait(deadline_ns);
  }
  static void release(void* data) noexcept {
    ++of(data).releases;
    if (of(data).holds()) ++of(data).locked_others;
    of(data).on_release();
  }
};

constexpr legacy_ops lock_only = {.lock = &old_driver::lock, .unlock = &old_driver::unlock};
constexpr legacy_ops all_but_wait = {.lock = &old_driver::lock,
                                     .unlock = &old_driver::unlock,
                                     .enable_signaling = &old_driver::enable,
                                     .poll = &old_driver::poll,
                                     .set_deadline = &old_driver::set_deadline,
                                     .release = &old_driver::release};
constexpr legacy_ops with_wait = {
    .lock = &old_driver::lock, .unlock = &old_driver::unlock, .wait = &old_driver::wait};

new_fence make_legacy(timeline_issuer& issuer, old_driver& driver,
                      const legacy_ops& ops = all_but_wait) {
  return create_legacy_fence(issuer, ops, &driver).value();
}

}  // namespace

TEST(F16_legacy, fences_are_marked_not_independent) {
  old_driver driver;
  timeline_issuer issuer = make_timeline({.driver_name = "old", .timeline_name = "ring"});
  new_fence made = make_legacy(issuer, driver);
  EXPECT_FALSE(made.fence->is_independent());
  EXPECT_TRUE(issuer.emit().value()->is_independent());
  EXPECT_EQ(made.fence->driver_name(), "old");
  EXPECT_EQ(made.fence->timeline_name(), "ring");
  EXPECT_EQ(made.fence->seqno(), 1U);
  EXPECT_NE(made.fence->context(), issuer.line()->context());
  EXPECT_EQ(made.fence->owner(), issuer.line().get());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(made.fence.get()) % 64, 0U);
  made.signal.signal();
  EXPECT_FALSE(made.fence->is_independent()) << "for ever";
  issuer.signal_up_to(2);
}

TEST(F16_legacy, needs_a_lock_and_an_open_timeline) {
  old_driver driver;
  timeline_issuer issuer = make_timeline();
  const legacy_ops no_lock = {.unlock = &old_driver::unlock};
  const legacy_ops no_unlock = {.lock = &old_driver::lock};
  EXPECT_EQ(create_legacy_fence(issuer, no_lock, &driver).error(), errno_code(EINVAL));
  EXPECT_EQ(create_legacy_fence(issuer, no_unlock, &driver).error(), errno_code(EINVAL));
  issuer.fail(-EIO);
  EXPECT_EQ(create_legacy_fence(issuer, lock_only, &driver).error(), errno_code(ECANCELED));
}

TEST(F16_legacy, enable_signaling_and_callbacks_run_under_the_external_lock) {
  old_driver driver;
  timeline_issuer issuer = make_timeline();
  new_fence made = make_legacy(issuer, driver);
  bool held = false;
  scripted_callback node([&](fence&) { held = driver.holds(); });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  made.fence->enable_signaling();
  EXPECT_EQ(driver.enables, 1) << "at most once";
  EXPECT_EQ(driver.unlocked_enables, 0);
  EXPECT_TRUE(made.signal.signal(-EIO));
  EXPECT_EQ(node.runs(), 1);
  EXPECT_TRUE(held);
  EXPECT_EQ(made.fence->status(), -EIO);
  EXPECT_TRUE(made.fence->is_settled());
  EXPECT_FALSE(driver.holds());
}

TEST(F16_legacy, the_other_ops_run_without_it) {
  old_driver driver;
  timeline_issuer issuer = make_timeline();
  {
    new_fence made = make_legacy(issuer, driver);
    EXPECT_FALSE(made.fence->poll());
    made.fence->set_deadline(INT64_C(1));
    driver.on_poll = [] { return -EIO; };
    EXPECT_TRUE(made.fence->poll());
    EXPECT_EQ(made.fence->error(), -EIO);
    EXPECT_EQ(driver.polls, 2);
    EXPECT_EQ(driver.deadlines, 1);
    made.fence->set_deadline(INT64_C(1));
    EXPECT_TRUE(made.fence->poll());
    EXPECT_EQ(driver.polls + driver.deadlines, 3) << "none after the decision";
    made.signal.signal();
  }
  EXPECT_EQ(driver.releases, 1);
  EXPECT_EQ(driver.locked_others, 0);
}

TEST(F16_legacy, enable_signaling_may_say_that_it_is_complete) {
  old_driver driver;
  driver.on_enable = [] { return 1; };
  timeline_issuer issuer = make_timeline();
  new_fence made = make_legacy(issuer, driver);
  scripted_callback node;
  EXPECT_EQ(made.fence->add_callback(node), errno_code(ENOENT));
  EXPECT_EQ(made.fence->status(), 1);
  EXPECT_EQ(node.runs(), 0);
  EXPECT_FALSE(made.signal.signal());
}

TEST(F16_legacy, signal_locked_runs_callbacks_under_the_callers_lock) {
  old_driver driver;
  timeline_issuer issuer = make_timeline();
  new_fence made = make_legacy(issuer, driver);
  bool held = false;
  scripted_callback node([&](fence&) { held = driver.holds(); });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  old_driver::lock(&driver);
  const int locks = driver.locks;
  EXPECT_TRUE(signal_locked(std::move(made.signal), -EIO));
  EXPECT_TRUE(driver.holds()) << "still the caller's";
  EXPECT_EQ(driver.locks, locks) << "not taken again";
  old_driver::unlock(&driver);
  EXPECT_TRUE(held);
  EXPECT_EQ(node.runs(), 1);
  EXPECT_EQ(made.fence->error(), -EIO);
  EXPECT_TRUE(made.fence->is_settled());
  EXPECT_FALSE(signal_locked(signaler())) << "no right, no signal";
}

TEST(F16_legacy, decides_under_any_lock_and_settles_later) {
  old_driver driver;
  timeline_issuer issuer = make_timeline();
  new_fence made = make_legacy(issuer, driver);
  bool held = false;
  scripted_callback node([&](fence&) { held = driver.holds(); });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  {
    settlement later;
    old_driver::lock(&driver);
    EXPECT_TRUE(made.signal.decide(0, later));
    EXPECT_TRUE(made.fence->is_signaled());
    EXPECT_EQ(node.runs(), 0);
    old_driver::unlock(&driver);
  }
  EXPECT_EQ(node.runs(), 1);
  EXPECT_TRUE(held);
}

TEST(F16_legacy, the_wait_op_waits) {
  old_driver driver;
  timeline_issuer issuer = make_timeline();
  new_fence made = make_legacy(issuer, driver, with_wait);
  std::int64_t asked = 0;
  driver.on_wait = [&](std::int64_t deadline_ns) {
    asked = deadline_ns;
    return -ETIME;
  };
  const std::int64_t deadline = deadline_after(millisecond_ns);
  EXPECT_EQ(made.fence->wait(deadline), errno_code(ETIME));
  EXPECT_EQ(asked, deadline);
  driver.on_wait = [](std::int64_t) { return -EINTR; };
  EXPECT_EQ(made.fence->wait(), errno_code(EINTR)) << "what the op returned";
  driver.on_wait = [&](std::int64_t) {
    made.signal.signal(-EIO);
    return 0;
  };
  EXPECT_EQ(made.fence->wait(), no_error);
  EXPECT_EQ(made.fence->error(), -EIO);
  EXPECT_EQ(driver.waits, 3);
  EXPECT_EQ(made.fence->wait(), no_error);
  EXPECT_EQ(driver.waits, 3) << "signaled: not asked";
}

TEST(F16_legacy, wait_any_does_not_use_the_wait_op) {
  old_driver driver;
  timeline_issuer issuer = make_timeline();
  new_fence made = make_legacy(issuer, driver, with_wait);
  const std::vector<fence_ref> fences = {made.fence};
  EXPECT_EQ(wait_any(fences, no_wait).error(), errno_code(ETIME));
  std::jthread signals([&] { made.signal.signal(); });
  EXPECT_EQ(wait_any(fences, patience()), result<std::size_t>(0U));
  EXPECT_EQ(driver.waits, 0);
}

TEST(F16_legacy, release_runs_with_the_last_reference) {
  const std::size_t before = live_fences();
  old_driver driver;
  timeline_issuer issuer = make_timeline();
  new_fence made = make_legacy(issuer, driver);
  fence_ref copy = made.fence;
  made.signal.signal();
  made.fence.reset();
  EXPECT_EQ(driver.releases, 0);
  copy.reset();
  EXPECT_EQ(driver.releases, 1);
  EXPECT_EQ(live_fences(), before);
}

TEST(F16_legacy, release_may_signal_others) {
  old_driver driver;
  timeline_issuer issuer = make_timeline();
  new_fence other = make_fence();
  scripted_callback node;
  ASSERT_EQ(other.fence->add_callback(node), no_error);
  driver.on_release = [&] { other.signal.signal(); };
  new_fence made = make_legacy(issuer, driver);
  made.signal.signal();
  made.fence.reset();
  EXPECT_TRUE(other.fence->is_signaled());
  EXPECT_EQ(node.runs(), 1);
}

TEST(F16_legacy, the_external_lock_is_not_touched_after_settled) {
  timeline_issuer issuer = make_timeline();
  old_driver driver;
  new_fence made = make_legacy(issuer, driver, lock_only);
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  made.signal.signal();
  ASSERT_TRUE(made.fence->is_settled());
  const int locks = driver.locks;
  scripted_callback late;
  EXPECT_EQ(made.fence->remove_callback(node), result<bool>(false));
  EXPECT_EQ(made.fence->add_callback(late), errno_code(ENOENT));
  EXPECT_EQ(made.fence->status(), 1);
  EXPECT_FALSE(made.fence->describe().empty());
  made.fence->enable_signaling();
  made.fence->set_deadline(INT64_C(1));
  EXPECT_TRUE(made.fence->poll());
  EXPECT_EQ(made.fence->wait(), no_error);
  EXPECT_EQ(made.fence->wait_settled(), no_error);
  EXPECT_EQ(made.fence->wait_quiesced(), no_error);
  made.fence.reset();
  EXPECT_EQ(driver.locks, locks);
}

TEST(F16_legacy, is_settled_only_when_the_last_op_has_left) {
  old_driver driver;
  door leave;
  driver.on_poll = [&] {
    leave.pass();
    return 0;
  };
  timeline_issuer issuer = make_timeline();
  new_fence made = make_legacy(issuer, driver);
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  std::thread polls([&] { EXPECT_TRUE(made.fence->poll()); });
  ASSERT_TRUE(eventually([&] { return driver.polls == 1; }));
  EXPECT_TRUE(made.signal.signal());
  EXPECT_EQ(node.runs(), 1);
  EXPECT_FALSE(made.fence->is_settled()) << "the op may touch the external lock";
  EXPECT_EQ(made.fence->wait_settled(deadline_after(millisecond_ns)), errno_code(ETIME));
  leave.open();
  polls.join();
  EXPECT_TRUE(made.fence->is_settled());
}

TEST(F16_legacy, a_signal_inside_a_callback_settles_when_the_outer_one_has) {
  // Also where both share one external lock, as the fences of a ring do.
  for (const bool same_lock : {true, false}) {
    old_driver driver;
    old_driver other_driver;
    old_driver& inner_driver = same_lock ? driver : other_driver;
    timeline_issuer issuer = make_timeline();
    new_fence outer = make_legacy(issuer, driver);
    new_fence inner = make_legacy(issuer, inner_driver);
    std::string order;
    scripted_callback in_inner([&](fence&) { order += inner_driver.holds() ? 'i' : '?'; });
    scripted_callback in_outer([&](fence&) {
      inner.signal.signal();
      EXPECT_TRUE(inner.fence->is_signaled());
      order += driver.holds() ? 'o' : '?';
    });
    ASSERT_EQ(inner.fence->add_callback(in_inner), no_error);
    ASSERT_EQ(outer.fence->add_callback(in_outer), no_error);
    outer.signal.signal();
    EXPECT_EQ(order, "oi");
    EXPECT_TRUE(inner.fence->is_settled());
  }
}

TEST(F16_legacy, signal_locked_inside_a_callback_settles_at_once) {
  // Fences of one ring share its lock, which the outer settling holds.
  old_driver driver;
  timeline_issuer issuer = make_timeline();
  new_fence outer = make_legacy(issuer, driver);
  new_fence inner = make_legacy(issuer, driver);
  std::string order;
  scripted_callback in_inner([&](fence&) { order += driver.holds() ? 'i' : '?'; });
  scripted_callback in_outer([&](fence&) {
    EXPECT_TRUE(signal_locked(std::move(inner.signal)));
    EXPECT_TRUE(inner.fence->is_settled());
    order += driver.holds() ? 'o' : '?';
  });
  ASSERT_EQ(inner.fence->add_callback(in_inner), no_error);
  ASSERT_EQ(outer.fence->add_callback(in_outer), no_error);
  outer.signal.signal();
  EXPECT_EQ(order, "io");
}

TEST(F16_legacy, a_dropped_signaler_is_reported_as_any_other) {
  kept_reports reports;
  old_driver driver;
  timeline_issuer issuer = make_timeline();
  { const new_fence made = make_legacy(issuer, driver); }
  EXPECT_EQ(reports.count(report_kind::signaler_dropped), 1);
  EXPECT_EQ(driver.releases, 1);
}

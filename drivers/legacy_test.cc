#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "drivers/legacy/legacy.h"
#include "drivers/testing/driver_test.h"
#include "ufence/fence/callback.h"
#include "ufence/fence/wait.h"

namespace ufence::drivers {
namespace {

using testing::Contains;
using testing::HasSubstr;

class legacy : public driver_test {
 protected:
  fence_ref work() const { return give(d, UFENCE_LEGACY_WORK); }
  void complete(std::uint64_t jobs, int error = 0) const {
    EXPECT_EQ(run(d, UFENCE_LEGACY_COMPLETE, ufence_legacy_complete{jobs, error, 0}), 0);
  }
  ufence_legacy_counters counters() const {
    ufence_legacy_counters c{};
    EXPECT_EQ(run(d, UFENCE_LEGACY_QUERY, ufence_legacy_query{&c}), 0);
    return c;
  }

  device_ref d = load("legacy");
};

TEST_F(legacy, is_marked_as_not_independent) {
  EXPECT_FALSE(d->is_independent());
  const fence_ref f = work();
  EXPECT_FALSE(f->is_independent());
  complete(1);
  EXPECT_EQ(result_of(f), 0);
}

TEST_F(legacy, signals_what_was_enabled) {
  const fence_ref asked = work();
  const fence_ref unasked = work();
  asked->enable_signaling();
  complete(2, -EIO);
  EXPECT_EQ(asked->status(), -EIO);
  EXPECT_EQ(unasked->status(), 0);
  EXPECT_TRUE(unasked->poll());
  EXPECT_EQ(unasked->status(), -EIO);
  EXPECT_EQ(counters().enabled, 1u);
  EXPECT_EQ(counters().polled, 1u);
}

TEST_F(legacy, waits_with_an_op_of_its_own) {
  const fence_ref f = work();
  EXPECT_EQ(f->wait(now_ns() + 1'000'000).value(), ETIME);
  std::thread waiter([&f] { EXPECT_EQ(result_of(f), 0); });
  while (counters().waited < 2) std::this_thread::yield();
  complete(1);
  waiter.join();
  EXPECT_EQ(f->status(), 1);
}

TEST_F(legacy, runs_callbacks_when_it_signals) {
  const fence_ref f = work();
  std::atomic<int> ran = 0;
  struct counter : callback {
    explicit counter(std::atomic<int>& c) : callback(&count), n(c) {}
    static void count(callback& self, fence&) noexcept { ++static_cast<counter&>(self).n; }
    std::atomic<int>& n;
  } first(ran), second(ran);
  ASSERT_FALSE(f->add_callback(first));
  ASSERT_FALSE(f->add_callback(second));
  EXPECT_TRUE(f->remove_callback(second).value());
  complete(1);
  EXPECT_EQ(ran, 1);
}

TEST_F(legacy, pins_its_module_while_a_fence_is_held) {
  fence_ref f = work();
  complete(1);
  EXPECT_EQ(result_of(f), 0);
  const result<unload_report> refused =
      host_.unload(d, {.policy = unload_policy::drain, .drain_deadline_ns = patience()});
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->state, unload_state::refused);
  // The one that pins is named by its number.
  EXPECT_THAT(refused->pins, Contains(HasSubstr(std::to_string(f->seqno()))));
  // Nothing changed: it works on.
  const fence_ref next = work();
  complete(1);
  EXPECT_EQ(result_of(next), 0);
}

TEST_F(legacy, releases_each_job_and_can_be_unloaded_then) {
  {
    std::vector<fence_ref> fences;
    for (int i = 0; i < 10; ++i) fences.push_back(work());
    complete(10);
    for (const fence_ref& f : fences) EXPECT_EQ(result_of(f), 0);
    EXPECT_EQ(counters().released, 0u);
  }
  EXPECT_EQ(counters().released, 10u);
  unload(d);
}

TEST_F(legacy, signals_and_waits_at_once) {
  std::vector<std::thread> threads;
  std::atomic<bool> done = false;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 300; ++i) {
        const fence_ref f = work();
        if (t == 0) f->enable_signaling();
        if (t == 1) f->poll();
        EXPECT_EQ(result_of(f), 0);
      }
    });
  }
  std::thread device([&] {
    while (!done) complete(2);
  });
  for (std::thread& t : threads) t.join();
  done = true;
  device.join();
  EXPECT_EQ(counters().submitted, 900u);
  EXPECT_EQ(counters().released, 900u);
}

}  // namespace
}  // namespace ufence::drivers

// The races R7 and R12, between an issuer's lock and those who hold a fence of it.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/race.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"
#include "ufence/foreign/legacy.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

// A legacy issuer whose lock lies in the data that it frees.
struct mortal_driver {
  std::mutex mutex;
  static void lock(void* data) noexcept { static_cast<mortal_driver*>(data)->mutex.lock(); }
  static void unlock(void* data) noexcept { static_cast<mortal_driver*>(data)->mutex.unlock(); }
  static int enable(void*) noexcept { return 0; }
  static int poll(void*) noexcept { return 0; }
  static void release(void* data) noexcept {
    ++released;
    delete static_cast<mortal_driver*>(data);
  }
  static inline std::atomic<int> released = 0;
};

}  // namespace

TEST(R07_external_lock, may_be_freed_once_the_fence_is_settled) {
  static constexpr legacy_ops ops = {.lock = &mortal_driver::lock,
                                     .unlock = &mortal_driver::unlock,
                                     .enable_signaling = &mortal_driver::enable,
                                     .poll = &mortal_driver::poll};
  timeline_issuer issuer = make_timeline();
  std::optional<new_fence> made;
  mortal_driver* driver = nullptr;
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        driver = new mortal_driver;
        made = create_legacy_fence(issuer, ops, driver).value();
      },
      {[&] {
         made->signal.signal();
         const std::error_code waited = made->fence->wait_settled(patience());
         EXPECT_EQ(waited, no_error);
         if (!waited) delete driver;  // AddressSanitizer sees who uses its lock afterwards
       },
       [&] {
         const fence_ref f = made->fence;
         scripted_callback node;
         for (int i = 0; i < 3; ++i) {
           static_cast<void>(f->add_callback(node));
           static_cast<void>(f->status());
           static_cast<void>(f->poll());
           static_cast<void>(f->remove_callback(node));
         }
       }},
      [&] { made.reset(); });
}

TEST(R12_external_lock, lives_as_long_as_a_reader_that_got_the_fence_through_a_slot) {
  static constexpr legacy_ops ops = {.lock = &mortal_driver::lock,
                                     .unlock = &mortal_driver::unlock,
                                     .enable_signaling = &mortal_driver::enable,
                                     .release = &mortal_driver::release};
  timeline_issuer issuer = make_timeline();
  ufence::atomic<fence*> slot;
  mortal_driver::released = 0;
  std::optional<new_fence> made;
  int rounds = 0;
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        made = create_legacy_fence(issuer, ops, new mortal_driver).value();
        slot.store(made->fence.get(), mo::release);
        ++rounds;
      },
      {[&] {
         slot.store(nullptr, mo::release);
         made->signal.signal();
         made.reset();
       },
       [&] {
         const fence_ref f = fence::get_rcu(slot);
         if (!f) return;
         f->enable_signaling();
         scripted_callback node;
         if (!f->add_callback(node)) static_cast<void>(f->remove_callback(node));
       }},
      [] {});
  EXPECT_EQ(mortal_driver::released, rounds);
}

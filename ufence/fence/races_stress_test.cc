// The races R1 to R11 that the kernel's fences have or had, in tight loops of two threads: what
// ours must do instead. R7 and R12 are in legacy_races_stress_test.cc.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/slab.h"
#include "ufence/fence/testing/race.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

// An issuer's data that knows whether it is alive; retire frees it.
struct mortal : backend {
  mortal() : backend{&table} { ++alive; }
  ~mortal() {
    value = 0;
    --alive;
  }
  static mortal& of(backend* b) { return *static_cast<mortal*>(b); }
  static int check(backend* b) noexcept {
    if (of(b).value != 42) ++wrong;
    return 0;
  }
  static void hint(backend* b, std::int64_t) noexcept { check(b); }
  static void retire(backend* b, retired_by) noexcept {
    check(b);
    delete &of(b);
  }
  static constexpr backend_ops table = {.enable_signaling = &mortal::check,
                                        .poll = &mortal::check,
                                        .set_deadline = &mortal::hint,
                                        .retire = &mortal::retire};
  static inline std::atomic<int> alive = 0;
  static inline std::atomic<int> wrong = 0;
  volatile int value = 42;
};

}  // namespace

TEST(R01_names, are_true_while_the_fence_is_signaled_and_its_issuer_goes) {
  // The kernel's code calls through a null pointer once per 14 to 22 signals of this loop.
  ufence::atomic<fence*> slot;
  std::atomic<bool> stop = false;
  std::atomic<long> wrong = 0;
  std::atomic<long> queries = 0;
  const pinned here(0);
  std::thread asks([&] {
    const pinned there(1);
    while (!stop) {
      const fence_ref f = fence::get_rcu(slot);
      if (!f) continue;
      const std::string expected = "ring " + std::to_string(f->seqno());
      const std::string described = f->describe();
      if (f->timeline_name() != expected || f->driver_name() != "driver" ||
          described.find(expected + " driver ") == described.npos) {
        ++wrong;
      }
      ++queries;
    }
  });
  const stress_clock clock(0.5);
  std::uint64_t signals = 0;
  for (; clock.runs() || queries == 0; ++signals) {
    const std::string name = "ring " + std::to_string(signals + 1);
    timeline_issuer issuer =
        make_timeline({.driver_name = "driver", .timeline_name = name, .initial_seqno = signals});
    auto* data = new mortal;
    fence_ref f;
    if (signals % 2 == 0) {
      f = issuer.emit().value();
      delete data;
      slot.store(f.get(), mo::release);
      issuer.signal_up_to(signals + 1);
    } else {
      new_fence made = issuer.create_unordered(data).value();
      f = made.fence;
      slot.store(f.get(), mo::release);
      made.signal.signal();
    }
    slot.store(nullptr, mo::release);
  }
  stop = true;
  asks.join();
  EXPECT_EQ(wrong, 0);
  std::printf("%ld queries against %lu signals\n", queries.load(),
              static_cast<unsigned long>(signals));
}

TEST(R02_identity, stays_after_the_ops_are_detached) {
  std::optional<new_fence> made;
  scripted_backend data;
  std::uint64_t context = 0;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.2),
      [&] {
        made = make_fence(&data, 7);
        context = made->fence->context();
      },
      {[&] { made->signal.signal(); },
       [&] {
         const fence_ref f = made->fence;
         for (int i = 0; i < 8; ++i) {
           if (f->context() != context || f->seqno() != 7 || !f->is_independent() || f->owner()) {
             ++wrong;
           }
         }
       }},
      [&] { made.reset(); });
  EXPECT_EQ(wrong, 0);
}

TEST(R03_ops, never_run_in_data_that_retire_freed) {
  std::optional<new_fence> made;
  mortal::wrong = 0;
  race r;
  r.run(
      stress_clock(0.5), [&] { made = make_fence(new mortal); },
      {[&] { made->signal.signal(); },
       [&] {
         fence& f = *made->fence;
         f.poll();
         f.set_deadline(INT64_C(1));
         f.enable_signaling();
         while (!f.poll()) f.set_deadline(INT64_C(2));
       }},
      [&] {
        ASSERT_EQ(made->fence->wait_quiesced(patience()), no_error);
        ASSERT_EQ(mortal::alive, 0) << "retired, and at once";
        made.reset();
      });
  EXPECT_EQ(mortal::wrong, 0);
}

TEST(R04_settled, means_that_callbacks_may_be_freed) {
  struct consumer {
    scripted_callback node;
    int finished = 0;  // plain: settled is what orders it
  };
  std::optional<new_fence> made;
  std::unique_ptr<consumer> object;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        made = make_fence();
        object = std::make_unique<consumer>();
        object->node.then([raw = object.get()](fence&) { raw->finished = 1; });
        ASSERT_EQ(made->fence->add_callback(object->node), no_error);
      },
      {[&] { made->signal.signal(); },
       [&] {
         while (!made->fence->is_settled()) spin_pause();
         if (object->finished != 1) ++wrong;
         object.reset();
       }},
      [&] { made.reset(); });
  EXPECT_EQ(wrong, 0);
}

TEST(R04_settled, or_removal_after_is_signaled_is_enough_to_free_them) {
  std::optional<new_fence> made;
  std::unique_ptr<scripted_callback> node;
  int finished = 0;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        made = make_fence();
        finished = 0;
        node = std::make_unique<scripted_callback>([&](fence&) { finished = 1; });
        ASSERT_EQ(made->fence->add_callback(*node), no_error);
      },
      {[&] { made->signal.signal(); },
       [&] {
         while (!made->fence->is_signaled()) spin_pause();
         const result<bool> removed = made->fence->remove_callback(*node);
         if (!removed || (*removed ? 0 : 1) != finished) ++wrong;
         node.reset();
       }},
      [&] { made.reset(); });
  EXPECT_EQ(wrong, 0);
}

TEST(R05_settled, means_that_all_callbacks_have_run) {
  std::optional<new_fence> made;
  std::array<std::unique_ptr<scripted_callback>, 4> nodes;
  int finished = 0;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.3),
      [&] {
        made = make_fence();
        finished = 0;
        for (auto& node : nodes) {
          node = std::make_unique<scripted_callback>([&](fence&) { ++finished; });
          ASSERT_EQ(made->fence->add_callback(*node), no_error);
        }
      },
      {[&] { made->signal.signal(); },
       [&] {
         if (made->fence->wait_settled(patience()) != no_error || finished != 4) ++wrong;
       }},
      [&] { made.reset(); });
  EXPECT_EQ(wrong, 0);
}

TEST(R06_set_deadline, is_harmless_on_a_fence_that_is_being_signaled) {
  std::optional<new_fence> made;
  mortal::wrong = 0;
  race r;
  r.run(
      stress_clock(0.3), [&] { made = make_fence(new mortal); },
      {[&] { made->signal.signal(); },
       [&] {
         while (!made->fence->is_signaled()) made->fence->set_deadline(INT64_C(1));
       }},
      [&] {
        ASSERT_EQ(mortal::alive, 0);
        made.reset();
      });
  EXPECT_EQ(mortal::wrong, 0);
}

TEST(R08_enable, survives_the_signallers_put) {
  const std::size_t before = live_fences();
  fence_ref mine;
  fence_ref theirs;
  signaler right;
  mortal::wrong = 0;
  race r;
  r.run(
      stress_clock(0.3),
      [&] {
        new_fence made = make_fence(new mortal);
        mine = made.fence;
        theirs = std::move(made.fence);
        right = std::move(made.signal);
      },
      {[&] {
         right.signal();
         mine.reset();
       },
       [&] {
         theirs->enable_signaling();
         theirs.reset();
       }},
      [] { ASSERT_EQ(mortal::alive, 0); });
  EXPECT_EQ(mortal::wrong, 0);
  EXPECT_EQ(live_fences(), before);
}

TEST(R09_timestamp, is_readable_as_soon_as_the_fence_is_signaled) {
  std::optional<new_fence> made;
  timeline_issuer issuer = make_timeline();
  fence_ref ordered;
  std::int64_t begin = 0;
  long wrong = 0;
  const auto look = [&](fence& f, int error) {
    while (!f.is_signaled()) spin_pause();
    const std::int64_t when = f.timestamp_ns();
    if (when < begin || when > now_ns() || f.error() != error || f.timestamp_ns() != when) ++wrong;
  };
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        begin = now_ns();
        made = make_fence();
        ordered = issuer.emit().value();
      },
      {[&] {
         made->signal.signal(-EIO);
         issuer.signal_up_to(ordered->seqno());
       },
       [&] {
         look(*made->fence, -EIO);
         look(*ordered, 0);
       }},
      [&] { made.reset(); });
  EXPECT_EQ(wrong, 0);
}

TEST(R10_result, is_the_winners_and_never_changes) {
  fence_ref f;
  std::array<signaler, 2> rights;
  std::array<bool, 2> won{};
  std::atomic<long> wrong = 0;
  long first_wins = 0;
  race r;
  const auto signal = [&](std::size_t self) {
    won[self] = rights[self].signal(self == 0 ? -EIO : -ENODEV);
    const int seen = f->error();
    for (int i = 0; i < 4; ++i) {
      if (f->error() != seen || !f->is_signaled()) ++wrong;
    }
  };
  r.run(
      stress_clock(0.4),
      [&] {
        new_fence made = make_fence();
        f = made.fence;
        rights[1] = made.signal.share();
        rights[0] = std::move(made.signal);
      },
      {[&] { signal(0); }, [&] { signal(1); }},
      [&] {
        if (won[0] == won[1] || f->error() != (won[0] ? -EIO : -ENODEV)) ++wrong;
        first_wins += won[0] ? 1 : 0;
      });
  EXPECT_EQ(wrong, 0);
  std::printf("the first won %ld\n", first_wins);
}

TEST(R11_lock_inversion, between_issuer_lock_and_fence_does_not_exist) {
  // The issuer decides under its list lock, and its ops and retire take that lock.
  std::mutex list_lock;
  scripted_backend data;
  const auto take = [&] { const std::lock_guard guard(list_lock); };
  data.on_enable_signaling = [&] { return take(), 0; };
  data.on_poll = data.on_enable_signaling;
  data.on_set_deadline = [&](std::int64_t) { take(); };
  data.on_retire = [&](retired_by) { take(); };
  std::optional<new_fence> made;
  race r;
  r.run(
      stress_clock(0.5), [&] { made = make_fence(&data); },
      {[&] {
         settlement later;
         const std::lock_guard guard(list_lock);
         EXPECT_TRUE(made->signal.decide(0, later));
       },
       [&] {
         scripted_callback node([&](fence&) { take(); });
         fence& f = *made->fence;
         const std::error_code added = f.add_callback(node);
         f.set_deadline(INT64_C(1));
         f.poll();
         if (!added) static_cast<void>(f.remove_callback(node));
       }},
      [&] {
        EXPECT_TRUE(made->fence->is_settled()) << "nobody waits for a lock";
        EXPECT_EQ(made->fence->wait_quiesced(no_wait), no_error);
        made.reset();
      });
}

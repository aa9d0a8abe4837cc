// Storms: everything at once that may be done to fences at once, from few threads.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/slab.h"
#include "ufence/fence/testing/race.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/wait.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

using dice = std::minstd_rand;

// A callback that frees itself, and what became of it.
struct self_freeing : callback {
  explicit self_freeing(std::atomic<long>& count) : callback(&self_freeing::run), runs(count) {}
  static void run(callback& node, fence&) noexcept {
    auto* self = &static_cast<self_freeing&>(node);
    ++self->runs;
    delete self;
  }
  std::atomic<long>& runs;
};

}  // namespace

TEST(stress, two_threads_decide_the_same_many_fences) {
  constexpr std::size_t n = 64;
  std::vector<fence_ref> fences(n);
  std::array<std::vector<signaler>, 2> rights;
  std::array<long, 2> won{};
  std::atomic<long> ran = 0;
  long wrong = 0;
  const auto decide_all = [&](std::size_t self, bool backward) {
    settlement later;
    won[self] = 0;
    for (std::size_t i = 0; i < n; ++i) {
      signaler& right = rights[self][backward ? n - 1 - i : i];
      won[self] += right.decide(-static_cast<int>(self) - 1, later) ? 1 : 0;
    }
  };
  race r;
  const long rounds = r.run(
      stress_clock(),
      [&] {
        ran = 0;
        rights = {};
        for (fence_ref& f : fences) {
          new_fence made = make_fence();
          f = made.fence;
          rights[1].push_back(made.signal.share());
          rights[0].push_back(std::move(made.signal));
          if (f->add_callback(*new self_freeing(ran))) ++wrong;
        }
      },
      {[&] { decide_all(0, false); }, [&] { decide_all(1, true); }},
      [&] {
        if (won[0] + won[1] != static_cast<long>(n) || ran != static_cast<long>(n)) ++wrong;
        for (const fence_ref& f : fences) {
          if (!f->is_settled()) ++wrong;
        }
      });
  EXPECT_EQ(wrong, 0);
  std::printf("%ld rounds of %zu\n", rounds, n);
}

TEST(stress, callbacks_come_go_free_themselves_and_remove_each_other) {
  constexpr std::size_t n = 4;
  std::array<new_fence, n> fences;
  std::atomic<long> self_freed = 0;
  std::atomic<long> added = 0;
  std::atomic<long> wrong = 0;
  std::array<dice, 3> random = {dice(1), dice(2), dice(3)};
  const auto come_and_go = [&](std::size_t self) {
    for (int i = 0; i < 8; ++i) {
      fence& f = *fences[random[self]() % n].fence;
      fence& other = *fences[random[self]() % n].fence;
      auto* freeing = new self_freeing(self_freed);
      if (f.add_callback(*freeing)) {
        delete freeing;
      } else {
        ++added;
      }
      scripted_callback later;
      scripted_callback earlier([&](fence&) { static_cast<void>(other.remove_callback(later)); });
      const bool has_later = !other.add_callback(later);
      const bool has_earlier = !f.add_callback(earlier);
      if (has_earlier && !f.remove_callback(earlier)) ++wrong;
      if (has_later && !other.remove_callback(later)) ++wrong;
      if (earlier.runs() > 1 || later.runs() > 1) ++wrong;
    }
  };
  race r;
  const long rounds = r.run(
      stress_clock(),
      [&] {
        for (new_fence& made : fences) made = make_fence();
      },
      {[&] {
         for (new_fence& made : fences) made.signal.signal();
       },
       [&] { come_and_go(1); }, [&] { come_and_go(2); }},
      [&] {
        if (self_freed != added) ++wrong;
      });
  EXPECT_EQ(wrong, 0);
  std::printf("%ld rounds, %ld freed themselves\n", rounds, self_freed.load());
}

TEST(stress, running_callbacks_that_remove_each_other_never_hang) {
  std::array<new_fence, 2> fences;
  std::array<std::unique_ptr<scripted_callback>, 2> nodes;
  std::atomic<long> told = 0;
  std::atomic<int> running = 0;
  race r;
  const long rounds = r.run(
      stress_clock(0.5),
      [&] {
        running = 0;
        for (std::size_t i = 0; i < 2; ++i) {
          fences[i] = make_fence();
          nodes[i] = std::make_unique<scripted_callback>([&, i](fence&) {
            ++running;
            for (int spins = 0; running < 2 && spins < 2000; ++spins) spin_pause();
            const result<bool> answer = fences[1 - i].fence->remove_callback(*nodes[1 - i]);
            if (!answer) ++told;
          });
          ASSERT_EQ(fences[i].fence->add_callback(*nodes[i]), no_error);
        }
      },
      {[&] { fences[0].signal.signal(); }, [&] { fences[1].signal.signal(); }}, [] {});
  std::printf("%ld rounds, %ld circles\n", rounds, told.load());
}

TEST(stress, ops_against_the_decision) {
  scripted_backend data;
  std::atomic<int> inside = 0;
  std::atomic<long> wrong = 0;
  std::atomic<bool> retired = false;
  const auto op = [&] {
    ++inside;
    if (retired) ++wrong;
    --inside;
    return 0;
  };
  data.on_poll = data.on_enable_signaling = op;
  data.on_set_deadline = [&](std::int64_t) { op(); };
  data.on_retire = [&](retired_by) {
    if (inside != 0 || retired.exchange(true)) ++wrong;
  };
  std::optional<new_fence> made;
  const auto use = [&] {
    fence& f = *made->fence;
    f.enable_signaling();
    f.set_deadline(INT64_C(1));
    f.poll();
    static_cast<void>(f.wait(no_wait));
  };
  race r;
  r.run(
      stress_clock(),
      [&] {
        retired = false;
        data.enables = 0;
        made = make_fence(&data);
      },
      {[&] { made->signal.signal(); }, use, use},
      [&] {
        if (!retired || data.enables > 1) ++wrong;
      });
  EXPECT_EQ(wrong, 0);
}

TEST(stress, references_through_slots_that_recycle) {
  const std::size_t before = live_fences();
  std::array<ufence::atomic<fence*>, 4> slots;
  std::atomic<bool> stop = false;
  std::atomic<long> wrong = 0;
  const auto read = [&](unsigned seed) {
    const pinned there(1);
    dice random(seed);
    while (!stop) {
      const std::size_t i = random() % slots.size();
      const fence_ref f = fence::get_rcu(slots[i]);
      if (!f) continue;
      if (f->seqno() != i) ++wrong;
      scripted_callback node;
      if (!f->add_callback(node)) static_cast<void>(f->remove_callback(node));
      const fence_ref copy = f;
    }
  };
  const pinned here(0);
  {
    std::jthread first(read, 1U);
    std::jthread second(read, 2U);
    dice random(3);
    for (const stress_clock clock; clock.runs();) {
      const std::size_t i = random() % slots.size();
      new_fence made = make_fence(nullptr, i);
      slots[i].store(made.fence.get(), mo::release);
      made.signal.signal(-1);
      slots[i].store(nullptr, mo::release);
    }
    stop = true;
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(live_fences(), before);
}

TEST(stress, two_signallers_of_one_timeline_and_all_who_observe) {
  timeline_issuer issuer = make_timeline();
  constexpr std::size_t n = 32;
  std::vector<fence_ref> fences(n);
  std::atomic<long> ran = 0;
  std::atomic<long> added = 0;
  std::atomic<long> wrong = 0;
  std::uint64_t base = 0;
  const auto signal = [&](std::size_t stride) {
    for (std::size_t i = stride; i <= n; i += stride) issuer.signal_up_to(base + i);
  };
  const auto observe = [&](std::size_t from) {
    for (std::size_t i = 0; i < n; ++i) {
      fence& f = *fences[(i * 5 + from) % n];
      auto* node = new self_freeing(ran);
      if (f.add_callback(*node)) {
        delete node;
        if (f.status() != 1) ++wrong;
      } else {
        ++added;
      }
    }
  };
  race r;
  r.run(
      stress_clock(),
      [&] {
        base = issuer.line()->emitted();
        for (fence_ref& f : fences) f = issuer.emit().value();
      },
      {[&] { signal(1); }, [&] { signal(3); }, [&] { observe(0); },
       [&] {
         observe(7);
         if (fences[n / 2]->wait(patience()) || fences[n - 1]->wait_settled(patience())) ++wrong;
       }},
      [&] {
        if (ran != added) ++wrong;
        for (const fence_ref& f : fences) {
          if (f->status() != 1 || !f->is_settled()) ++wrong;
        }
      });
  EXPECT_EQ(wrong, 0);
}

TEST(stress, a_timeline_with_everything_that_can_end_a_fence) {
  std::optional<timeline_issuer> issuer;
  constexpr std::size_t n = 16;
  std::vector<fence_ref> fences(n);
  std::atomic<long> ran = 0;
  std::atomic<long> added = 0;
  std::atomic<long> wrong = 0;
  race r;
  r.run(
      stress_clock(),
      [&] {
        issuer = make_timeline();
        for (fence_ref& f : fences) f = issuer->emit().value();
      },
      {[&] {
         for (std::size_t i = 1; i <= n / 2; ++i) issuer->signal_up_to(i);
         issuer->fail(-EIO);
       },
       [&] {
         for (std::size_t i = n; i-- > 0;) {
           if (issuer->signal(*fences[i], -ENODEV) != (fences[i]->error() == -ENODEV)) ++wrong;
         }
       },
       [&] {
         for (const fence_ref& f : fences) {
           auto* node = new self_freeing(ran);
           if (f->add_callback(*node)) {
             delete node;
           } else {
             ++added;
           }
         }
         if (wait_all(fences, patience())) ++wrong;
       }},
      [&] {
        if (ran != added) ++wrong;
        for (std::size_t i = 0; i < n; ++i) {
          const int status = fences[i]->status();
          const bool may_succeed = i < n / 2;
          if (!fences[i]->is_settled() || (status == 1 && !may_succeed) ||
              (status == -EIO && may_succeed) || status == 0) {
            ++wrong;
          }
        }
      });
  EXPECT_EQ(wrong, 0);
}

TEST(stress, waits_for_any_and_all_against_signals) {
  constexpr std::size_t n = 6;
  std::array<new_fence, n> made;
  std::vector<fence_ref> fences(n);
  std::atomic<long> wrong = 0;
  race r;
  r.run(
      stress_clock(),
      [&] {
        for (std::size_t i = 0; i < n; ++i) {
          made[i] = make_fence();
          fences[i] = made[i].fence;
        }
      },
      {[&] {
         for (std::size_t i = 0; i < n; ++i) made[(i * 5 + 2) % n].signal.signal();
       },
       [&] {
         const result<std::size_t> first = wait_any(fences, patience());
         if (!first || !fences[*first]->is_signaled()) ++wrong;
       },
       [&] {
         if (wait_all(fences, patience())) ++wrong;
       }},
      [] {});
  EXPECT_EQ(wrong, 0);
}

// What the models of the protocol find when one of its steps is left out: the same programs, over the
// real sources, in tight loops. Each case names the step.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/race.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/wait.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

// A callback in a race: added or refused, and run exactly if added.
struct contender {
  std::error_code added;
  scripted_callback node;

  void add_to(fence& f) { added = f.add_callback(node); }
  [[nodiscard]] bool is_right() const {
    return added ? added == errno_code(ENOENT) && node.runs() == 0 : node.runs() == 1;
  }
};

struct ordered_race {
  timeline_issuer issuer = make_timeline();
  fence_ref f;
  std::array<std::unique_ptr<contender>, 2> adders;
  long wrong = 0;

  void begin() {
    f = issuer.emit().value();
    for (auto& adder : adders) adder = std::make_unique<contender>();
  }
  void end(bool both) {
    if (!adders[0]->is_right() || (both && !adders[1]->is_right())) ++wrong;
    if (!f->is_signaled() || !f->is_settled()) ++wrong;
  }
  void run(std::vector<race::body> bodies, bool both = false) {
    race r;
    r.run(
        stress_clock(0.3), [&] { begin(); }, std::move(bodies), [&] { end(both); });
  }
};

}  // namespace

// --- Timeline: value, armed minimum ---

TEST(hole_timeline, arming_against_completing_loses_no_callback) {
  ordered_race t;
  t.run({[&] { t.issuer.signal_up_to(t.f->seqno()); }, [&] { t.adders[0]->add_to(*t.f); }});
  EXPECT_EQ(t.wrong, 0);
}

TEST(hole_timeline, wait_against_signal_up_to_wakes) {
  ordered_race t;
  std::error_code waited;
  long late = 0;
  t.adders[0] = std::make_unique<contender>();
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        t.f = t.issuer.emit().value();
        waited = errno_code(1);
      },
      {[&] { t.issuer.signal_up_to(t.f->seqno()); },
       [&] { waited = t.f->wait(deadline_after(5 * second_ns)); }},
      [&] {
        if (waited) ++late;
        ASSERT_EQ(late, 0);
      });
}

TEST(hole_timeline, wait_settled_and_wait_any_against_signal_up_to_wake) {
  timeline_issuer issuer = make_timeline();
  std::array<fence_ref, 2> fences;
  long round = 0;
  bool woken = false;
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        ++round;
        for (fence_ref& f : fences) f = issuer.emit().value();
      },
      {[&] { issuer.signal_up_to(fences[1]->seqno()); },
       [&] {
         const std::int64_t deadline = deadline_after(5 * second_ns);
         if (round % 3 == 0) woken = fences[0]->wait_settled(deadline) == no_error;
         if (round % 3 == 1) woken = wait_any(fences, deadline).has_value();
         if (round % 3 == 2) woken = wait_all(fences, deadline) == no_error;
       }},
      [&] { ASSERT_TRUE(woken) << round % 3; });
}

TEST(hole_timeline, two_signallers_and_two_that_arm_lose_nothing) {
  timeline_issuer issuer = make_timeline();
  std::array<fence_ref, 2> fences;
  std::array<std::unique_ptr<contender>, 2> adders;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.5),
      [&] {
        for (std::size_t i = 0; i < 2; ++i) {
          fences[i] = issuer.emit().value();
          adders[i] = std::make_unique<contender>();
        }
      },
      {[&] { issuer.signal_up_to(fences[0]->seqno()); },
       [&] { issuer.signal_up_to(fences[1]->seqno()); },
       [&] { adders[0]->add_to(*fences[0]); }, [&] { adders[1]->add_to(*fences[1]); }},
      [&] {
        if (!adders[0]->is_right() || !adders[1]->is_right()) ++wrong;
      });
  EXPECT_EQ(wrong, 0);
}

TEST(hole_timeline, the_first_observer_marks_and_the_drainer_still_runs_the_callbacks) {
  ordered_race t;
  t.run({[&] { t.issuer.signal_up_to(t.f->seqno()); },
         [&] {
           t.adders[0]->add_to(*t.f);
           while (!t.f->is_signaled()) spin_pause();
         }});
  EXPECT_EQ(t.wrong, 0);
}

TEST(hole_timeline, two_who_add_against_an_observer_and_the_drainer) {
  ordered_race t;
  t.run({[&] { t.issuer.signal_up_to(t.f->seqno()); }, [&] { t.adders[0]->add_to(*t.f); },
         [&] { t.adders[1]->add_to(*t.f); },
         [&] {
           while (!t.f->is_signaled()) spin_pause();
         }},
        true);
  EXPECT_EQ(t.wrong, 0);
}

TEST(hole_timeline, a_signal_of_one_fence_against_the_value_decides_once) {
  ordered_race t;
  bool won = false;
  std::atomic<long> wrong = 0;
  t.run({[&] { t.issuer.signal_up_to(t.f->seqno()); },
         [&] {
           t.adders[0]->add_to(*t.f);
           won = t.issuer.signal(*t.f, -EIO);
           if ((t.f->error() == -EIO) != won) ++wrong;
         }});
  EXPECT_EQ(t.wrong, 0);
  EXPECT_EQ(wrong, 0);
}

TEST(hole_timeline, closing_against_who_adds_and_who_looks) {
  std::optional<timeline_issuer> issuer;
  fence_ref f;
  std::unique_ptr<contender> adder;
  std::atomic<long> wrong = 0;
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        issuer = make_timeline();
        f = issuer->emit().value();
        adder = std::make_unique<contender>();
      },
      {[&] { issuer->fail(-EIO); }, [&] { adder->add_to(*f); },
       [&] {
         while (!f->is_signaled()) spin_pause();
         if (f->error() != -EIO) ++wrong;
       }},
      [&] {
        if (!adder->is_right() || !f->is_settled()) ++wrong;
      });
  EXPECT_EQ(wrong, 0);
}

TEST(hole_arm_op, an_interrupt_that_is_enabled_too_late_loses_no_completion) {
  // The device writes its word, and tells only if its interrupt is on by then.
  ufence::atomic<std::uint32_t> word{0};
  std::atomic<bool> interrupt = false;
  scripted_backend data;
  data.on_arm = [&](std::uint64_t) { interrupt = true; };
  timeline_issuer issuer = make_timeline({.driver_name = "d",
                                          .timeline_name = "l",
                                          .initial_seqno = 0,
                                          .data = &data,
                                          .device_word = &word});
  fence_ref f;
  std::unique_ptr<contender> adder;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.5),
      [&] {
        interrupt = false;
        f = issuer.emit().value();
        adder = std::make_unique<contender>();
      },
      {[&] {
         word.store(static_cast<std::uint32_t>(f->seqno()), mo::seq_cst);
         if (interrupt) issuer.notify();
       },
       [&] { adder->add_to(*f); }},
      [&] {
        if (!adder->is_right() || !f->is_settled()) ++wrong;
      });
  EXPECT_EQ(wrong, 0);
}

// --- get_rcu ---

TEST(hole_get_rcu, without_the_second_look_at_the_slot_finds_a_recycled_fence) {
  // One thread: its slab hands the freed fence out again, into the other slot.
  constexpr std::uint64_t first_kind = 1;
  constexpr std::uint64_t second_kind = 2;
  ufence::atomic<fence*> first;
  ufence::atomic<fence*> second;
  std::atomic<bool> stop = false;
  std::atomic<long> wrong = 0;
  std::atomic<long> taken = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        if (const fence_ref f = fence::get_rcu(first)) {
          if (f->seqno() != first_kind) ++wrong;
          ++taken;
        }
        if (const fence_ref f = fence::get_rcu(second)) {
          if (f->seqno() != second_kind) ++wrong;
        }
      }
    });
  }
  const auto put_in_and_out = [](ufence::atomic<fence*>& slot, std::uint64_t kind) {
    new_fence made = make_fence(nullptr, kind);
    slot.store(made.fence.get(), mo::release);
    made.signal.signal();
    slot.store(nullptr, mo::release);
  };
  for (const stress_clock clock(0.5); clock.runs() || taken == 0;) {
    put_in_and_out(first, first_kind);
    put_in_and_out(second, second_kind);
  }
  stop = true;
  for (std::thread& t : readers) t.join();
  EXPECT_EQ(wrong, 0);
}

// --- One fence ---

TEST(hole_fence, deciding_in_one_step_against_who_adds_and_removes) {
  std::optional<new_fence> made;
  std::unique_ptr<scripted_callback> node;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        made = make_fence();
        node = std::make_unique<scripted_callback>();
      },
      {[&] { made->signal.signal(); },
       [&] {
         const std::error_code added = made->fence->add_callback(*node);
         const result<bool> removed = made->fence->remove_callback(*node);
         const int runs = !added && removed == result<bool>(false) ? 1 : 0;
         if (node->runs() != runs || !removed) ++wrong;
         node.reset();
       }},
      [&] {
        if (!made->fence->is_settled()) ++wrong;
      });
  EXPECT_EQ(wrong, 0);
}

TEST(hole_fence, a_settlement_in_other_hands_against_ops_and_removal) {
  std::optional<new_fence> made;
  scripted_backend data;
  std::unique_ptr<contender> adder;
  std::atomic<void*> handed = nullptr;
  std::atomic<long> wrong = 0;
  race r;
  r.run(
      stress_clock(0.5),
      [&] {
        data.retires = 0;
        made = make_fence(&data);
        adder = std::make_unique<contender>();
        adder->add_to(*made->fence);
      },
      {[&] {
         settlement later;
         made->signal.decide(-EIO, later);
         handed = later.give_up();
       },
       [&] {
         void* head = nullptr;
         while ((head = handed.exchange(nullptr)) == nullptr) spin_pause();
         settlement::adopt(head).settle();
         if (made->fence->quiesce(patience()) != no_error) ++wrong;
       },
       [&] {
         made->fence->poll();
         const result<bool> removed = made->fence->remove_callback(adder->node);
         if (!removed || *removed != (adder->node.runs() == 0)) ++wrong;
       }},
      [&] {
        if (data.retires != 1 || !made->fence->is_settled()) ++wrong;
      });
  EXPECT_EQ(wrong, 0);
}

TEST(hole_fence, two_signallers_and_an_op_that_signals_retire_once) {
  std::optional<new_fence> made;
  scripted_backend data;
  signaler in_op;
  signaler other;
  std::array<bool, 3> won{};
  data.on_poll = [&] {
    won[2] = in_op.signal(-3);
    return 0;
  };
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.5),
      [&] {
        data.retires = 0;
        won = {};
        made = make_fence(&data);
        in_op = made->signal.share();
        other = made->signal.share();
      },
      {[&] { won[0] = made->signal.signal(-1); }, [&] { won[1] = other.signal(-2); },
       [&] { made->fence->poll(); }},
      [&] {
        if (won[0] + won[1] + won[2] != 1 || data.retires != 1) ++wrong;
        if (!won[static_cast<std::size_t>(-made->fence->error() - 1)]) ++wrong;
        if (made->fence->quiesce(0)) ++wrong;
        in_op = signaler();
      });
  EXPECT_EQ(wrong, 0);
}

TEST(hole_fence, a_late_enable_links_and_retire_unlinks) {
  struct listed : scripted_backend {
    std::mutex lock;
    bool in_list = false;
  };
  std::optional<new_fence> made;
  std::unique_ptr<listed> data;
  bool left_in_list = false;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        data = std::make_unique<listed>();
        data->on_enable_signaling = [raw = data.get()] {
          const std::lock_guard guard(raw->lock);
          raw->in_list = true;
          return 0;
        };
        data->on_retire = [&, raw = data.get()](retired_by) {
          {
            const std::lock_guard guard(raw->lock);
            raw->in_list = false;
          }
          left_in_list = raw->in_list;  // nobody can link it any more
          data.reset();
        };
        made = make_fence(data.get());
      },
      {[&] { made->signal.signal(); }, [&] { made->fence->enable_signaling(); }},
      [&] {
        if (data != nullptr || left_in_list) ++wrong;
      });
  EXPECT_EQ(wrong, 0);
}

// --- Groups of callbacks ---

TEST(hole_callback_group, closing_against_callbacks_that_free_themselves) {
  // Unlinked from the group by the one who pops, or close() finds a node that is gone.
  constexpr int n = 4;
  std::array<new_fence, n> fences;
  std::optional<callback_group> group;
  std::atomic<int> ran = 0;
  std::size_t removed = 0;
  std::vector<scripted_callback*> nodes;
  std::array<std::atomic<bool>, n> freed;
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.5),
      [&] {
        group.emplace();
        nodes.clear();
        ran = 0;
        for (std::size_t i = 0; i < n; ++i) {
          fences[i] = make_fence();
          freed[i] = false;
          auto node = std::make_unique<scripted_callback>();
          scripted_callback* raw = node.release();
          raw->then([&, i, raw](fence&) {
            ++ran;
            freed[i] = true;
            delete raw;
          });
          ASSERT_EQ(fences[i].fence->add_callback(*raw, &*group), no_error);
          nodes.push_back(raw);
        }
      },
      {[&] {
         for (new_fence& made : fences) made.signal.signal();
       },
       [&] {
         if (group->close(&removed)) ++wrong;
       }},
      [&] {
        if (ran + static_cast<int>(removed) != n) ++wrong;
        for (std::size_t i = 0; i < n; ++i) {
          if (!freed[i]) delete nodes[i];
        }
        group.reset();
      });
  EXPECT_EQ(wrong, 0);
}

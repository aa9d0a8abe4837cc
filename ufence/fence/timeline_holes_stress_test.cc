// The holes that the models of timelines find when one of the protocol's steps is left out: the
// same programs, over the real sources, in tight loops. Each case names the step.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
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
       [&] { issuer.signal_up_to(fences[1]->seqno()); }, [&] { adders[0]->add_to(*fences[0]); },
       [&] { adders[1]->add_to(*fences[1]); }},
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

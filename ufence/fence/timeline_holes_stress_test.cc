// The holes that the models of timelines find when one of the protocol's steps is left out: the
// same programs, over the real sources. One thread completes fence after fence, others meet it at
// the next.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/signalling.h"
#include "ufence/fence/testing/race.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/wait.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

constexpr std::size_t steps = 64;
constexpr std::int64_t hang_ns = 5 * second_ns;

// A timeline whose fences complete one by one, and a callback for each and each of two adders.
struct ordered_chase {
  explicit ordered_chase(std::size_t followers = 1) : pace(steps, followers) {}

  timeline_issuer issuer = make_timeline();
  chase pace;
  std::vector<fence_ref> fences;
  std::vector<std::unique_ptr<contender[]>> adders;
  std::atomic<long> wrong = 0;

  void begin(bool awaited) {
    pace.reset();
    fences.clear();
    adders.clear();
    for (std::size_t i = 0; i < steps; ++i) fences.push_back(issuer.emit().value());
    for (int a = 0; a < 2; ++a) adders.push_back(std::make_unique<contender[]>(steps));
    for (std::size_t i = 0; awaited && i < steps; ++i) adders[0][i].add_to(*fences[i]);
  }
  void end() {
    for (std::size_t i = 0; i < steps; ++i) {
      if (!fences[i]->is_signaled() || !fences[i]->is_settled()) ++wrong;
      if (!adders[0][i].is_right() || !adders[1][i].is_right()) ++wrong;
    }
    ASSERT_EQ(wrong, 0);
  }
  race::body complete() {
    return pace.leader([this](std::size_t i) { issuer.signal_up_to(fences[i]->seqno()); });
  }
  template <class Meet>
  race::body meet(Meet what) {
    return pace.follower(what);
  }
  // `awaited`: each fence has a callback already.
  void run(std::vector<race::body> followers, bool awaited = false) {
    std::vector<race::body> bodies = {complete()};
    for (race::body& body : followers) bodies.push_back(std::move(body));
    race r;
    r.run(
        stress_clock(0.4), [&] { begin(awaited); }, std::move(bodies), [&] { end(); });
  }
};

}  // namespace

TEST(hole_timeline, awaiting_against_completing_loses_no_callback) {
  ordered_chase t;
  t.run({t.meet([&](std::size_t i) { t.adders[0][i].add_to(*t.fences[i]); })});
}

TEST(hole_timeline, wait_against_signal_up_to_wakes) {
  ordered_chase t;
  t.run({t.meet([&](std::size_t i) {
    if (t.fences[i]->wait(deadline_after(hang_ns))) ++t.wrong;
  })});
}

TEST(hole_timeline, wait_settled_any_and_all_against_signal_up_to_wake) {
  ordered_chase t;
  t.run({t.meet([&](std::size_t i) {
    const std::int64_t deadline = deadline_after(hang_ns);
    const std::array<fence_ref, 2> pair = {t.fences[i], t.fences[i == 0 ? 0 : i - 1]};
    bool woken = false;
    if (i % 3 == 0) woken = t.fences[i]->wait_settled(deadline) == no_error;
    if (i % 3 == 1) woken = wait_any({pair.data(), 1}, deadline).has_value();
    if (i % 3 == 2) woken = wait_all(pair, deadline) == no_error;
    if (!woken) ++t.wrong;
  })});
}

#if UFENCE_DEBUG_CHECKS
TEST(hole_timeline, what_completes_between_the_look_and_the_awaiting_is_marked) {
  // Waiting inside a signalling section is reported after the first look, before anything is
  // awaited.
  static timeline_issuer* completes_in_between = nullptr;
  timeline_issuer issuer = make_timeline();
  completes_in_between = &issuer;
  const report_handler complete = [](const report&, void*) noexcept {
    completes_in_between->signal_up_to(completes_in_between->line()->emitted());
  };
  ASSERT_EQ(set_report_handler(complete, nullptr), no_error);
  for (int way = 0; way < 4; ++way) {
    const std::vector<fence_ref> one = {issuer.emit().value()};
    const signalling_section section;
    const std::int64_t deadline = deadline_after(hang_ns);
    std::error_code failed;
    if (way == 0) failed = one[0]->wait(deadline);
    if (way == 1) failed = one[0]->wait_settled(deadline);
    if (way == 2) failed = wait_all(one, deadline);
    if (way == 3 && !wait_any(one, deadline)) failed = errno_code(ETIME);
    EXPECT_EQ(failed, no_error) << way;
  }
  ASSERT_EQ(set_report_handler(nullptr, nullptr), no_error);
}
#endif

TEST(hole_timeline, two_who_add_lose_nothing_against_completing) {
  ordered_chase t(2);
  t.run({t.meet([&](std::size_t i) { t.adders[0][i].add_to(*t.fences[i]); }),
         t.meet([&](std::size_t i) { t.adders[1][i].add_to(*t.fences[i]); })});
}

TEST(hole_timeline, two_signallers_lose_nothing) {
  ordered_chase t;
  t.run({t.meet([&](std::size_t i) { t.issuer.signal_up_to(t.fences[i]->seqno()); })}, true);
}

TEST(hole_timeline, the_first_observer_marks_and_the_drainer_still_runs_the_callbacks) {
  ordered_chase t;
  t.run({t.meet([&](std::size_t i) {
          while (!t.fences[i]->is_signaled()) spin_pause();
        })},
        true);
}

TEST(hole_timeline, an_observer_marks_the_last_while_many_are_drained) {
  // The drain decides one after the other what the value completed at once.
  timeline_issuer issuer = make_timeline();
  std::vector<fence_ref> fences;
  std::vector<contender> adders(100);
  long wrong = 0;
  race r;
  r.run(
      stress_clock(0.3),
      [&] {
        fences.clear();
        for (contender& adder : adders) {
          fences.push_back(issuer.emit().value());
          adder.runs = 0;
          adder.add_to(*fences.back());
        }
      },
      {[&] { issuer.signal_up_to(fences.back()->seqno()); },
       [&] {
         while (!fences.back()->is_signaled()) spin_pause();
         for (std::size_t i = fences.size(); i-- > 0;) {
           if (fences[i]->status() != 1) ++wrong;
         }
       }},
      [&] {
        for (const contender& adder : adders) {
          if (!adder.is_right()) ++wrong;
        }
        if (!fences.back()->is_settled()) ++wrong;
        ASSERT_EQ(wrong, 0);
      });
}

TEST(hole_timeline, an_adder_and_an_observer_against_the_drainer) {
  ordered_chase t(2);
  t.run({t.meet([&](std::size_t i) { t.adders[0][i].add_to(*t.fences[i]); }),
         t.meet([&](std::size_t i) {
           while (!t.fences[i]->is_signaled()) spin_pause();
         })});
}

TEST(hole_timeline, a_signal_of_one_fence_against_the_value_decides_once) {
  for (const bool awaited : {false, true}) {
    ordered_chase t;
    t.run({t.meet([&](std::size_t i) {
            const bool won = t.issuer.signal(*t.fences[i], -EIO);
            if ((t.fences[i]->error() == -EIO) != won) ++t.wrong;
          })},
          awaited);
  }
}

TEST(hole_timeline, closing_against_who_adds_and_who_looks) {
  std::optional<timeline_issuer> issuer;
  std::vector<fence_ref> fences(100);
  std::vector<std::unique_ptr<contender>> adders(fences.size());
  std::atomic<long> wrong = 0;
  std::atomic<std::size_t> adding = 0;
  std::size_t closes_at = 0;
  race r;
  r.run(
      stress_clock(0.4),
      [&] {
        issuer = make_timeline();
        closes_at = (closes_at + 7) % fences.size();
        adding = 0;
        for (std::size_t i = 0; i < fences.size(); ++i) {
          fences[i] = issuer->emit().value();
          adders[i] = std::make_unique<contender>();
        }
      },
      {[&] {
         while (adding < closes_at) spin_pause();
         issuer->fail(-EIO);
       },
       [&] {
         for (std::size_t i = 0; i < fences.size(); ++i) {
           adding = i;
           adders[i]->add_to(*fences[i]);
         }
       },
       [&] {
         while (!fences.back()->is_signaled()) spin_pause();
         for (std::size_t i = fences.size(); i-- > 0;) {
           if (fences[i]->error() != -EIO) ++wrong;
         }
       }},
      [&] {
        for (std::size_t i = 0; i < fences.size(); ++i) {
          if (!adders[i]->is_right() || !fences[i]->is_settled()) ++wrong;
        }
        ASSERT_EQ(wrong, 0);
      });
}

TEST(hole_request_notify, an_interrupt_that_is_enabled_too_late_loses_no_completion) {
  // The device writes its word, and tells only if its interrupt is on by then.
  ufence::atomic<std::uint32_t> word{0};
  std::atomic<bool> interrupt = false;
  scripted_backend data;
  data.on_request_notify = [&](std::uint64_t) { interrupt = true; };
  ordered_chase t;
  t.issuer = make_timeline({.driver_name = "d",
                            .timeline_name = "l",
                            .initial_seqno = 0,
                            .data = &data,
                            .device_word = &word});
  race r;
  r.run(
      stress_clock(0.5),
      [&] {
        interrupt = false;
        t.begin(false);
      },
      {t.pace.leader([&](std::size_t i) {
         word.store(static_cast<std::uint32_t>(t.fences[i]->seqno()), mo::seq_cst);
         if (interrupt.exchange(false)) t.issuer.notify();
       }),
       t.meet([&](std::size_t i) { t.adders[0][i].add_to(*t.fences[i]); })},
      [&] {
        for (std::size_t i = 0; i < steps; ++i) {
          if (!t.adders[0][i].is_right()) ++t.wrong;
        }
        ASSERT_EQ(t.wrong, 0);
        t.issuer.notify();  // what nobody observed
      });
}

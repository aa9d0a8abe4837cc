// Shared timelines, explored: signaling against waiting in other processes, ends, and the thread.
#include "ufence/sync/shared_timeline.h"

#include <linux/futex.h>

#include "lab/models/system.h"
#include "lab/models/testing/harness.h"
#include "ufence/rcu/rcu.h"

namespace ufence::lab {
namespace {

// Looks from time to time would hide a lost wakeup. Without futex_waitv they are what notices the
// end of an owner, so that scenario has it.
settings without_second_looks(bool has_futex_waitv = false) {
  settings with;
  with.ignore_deadlines = true;
  with.has_futex_waitv = has_futex_waitv;
  return with;
}

// --- Values ---

TEST(shared_timeline_model, a_waiter_is_woken_and_sees_what_was_done_for_the_point) {
  expect_safe(
      [] {
        timeline_page page;
        const shared_timeline_ref signals = page.import();
        const shared_timeline_ref waits = page.import();
        cell<int> work;
        thread signal("signal", [&] { work.set(1), LAB_CHECK(!signals->signal(1)); });
        thread wait("wait", [&] {
          LAB_CHECK(!waits->wait(1));
          LAB_CHECK(work.get() == 1);
        });
      },
      without_second_looks());
}

TEST(shared_timeline_model, a_waiter_is_woken_by_each_of_two_points) {
  expect_safe(
      [] {
        timeline_page page;
        const shared_timeline_ref signals = page.import();
        const shared_timeline_ref others = page.import();
        const shared_timeline_ref waits = page.import();
        thread one("one", [&] { LAB_CHECK(!signals->signal(1)); });
        thread two("two", [&] { LAB_CHECK(!others->signal(2)); });
        thread wait("wait", [&] {
          LAB_CHECK(!waits->wait(1));
          LAB_CHECK(!waits->wait(2));
        });
      },
      without_second_looks());
}

TEST(shared_timeline_model, who_sees_the_end_sees_its_error) {
  expect_safe(
      [] {
        timeline_page page;
        const shared_timeline_ref fails = page.import();
        const shared_timeline_ref looks = page.import();
        thread fail("fail", [&] { LAB_CHECK(!fails->fail(-5)); });
        thread wait("wait", [&] { LAB_CHECK(looks->wait(1) == errno_code(5)); });
        thread look("look", [&] {
          const int error = looks->error();
          LAB_CHECK(error == 0 || error == -5);
        });
      },
      without_second_looks());
}

TEST(shared_timeline_model, the_last_point_of_a_killed_owner_counts) {
  expect_safe([] {
    timeline_page page;
    const shared_timeline_ref dies = page.import();
    const shared_timeline_ref looks = page.import();
    thread owner("owner", [&] {
      LAB_CHECK(!dies->signal(1));
      page.kill_owner();
    });
    thread look("look", [&] {
      if (looks->wait(1, no_wait) == errno_code(ETIME)) return;
      LAB_CHECK(looks->value() == 1);
      LAB_CHECK(!looks->wait(1, no_wait));
    });
    thread wait("wait", [&] { LAB_CHECK(looks->wait(1, no_wait) != errno_code(EOWNERDEAD)); });
  });
}

TEST(shared_timeline_model, waiters_are_woken_by_the_end_of_the_owner) {
  expect_safe(
      [] {
        timeline_page page;
        const shared_timeline_ref dies = page.import();
        const shared_timeline_ref waits = page.import();
        thread owner("owner", [&] {
          LAB_CHECK(!dies->signal(1));
          page.kill_owner();
        });
        thread wait("wait", [&] {
          LAB_CHECK(!waits->wait(1));
          LAB_CHECK(waits->wait(2) == errno_code(EOWNERDEAD));
        });
      },
      without_second_looks(true));
}

// --- Life ---

TEST(shared_timeline_model, the_last_reference_frees_after_all_uses) {
  expect_safe([] {
    timeline_page page;
    shared_timeline_ref one = page.import();
    shared_timeline_ref two = one;
    thread first("first", [&] {
      LAB_CHECK(!one->signal(1));
      one.reset();
    });
    thread second("second", [&] {
      static_cast<void>(two->value());
      two.reset();
    });
  });
}

TEST(shared_timeline_model, its_thread_signals_fences_and_frees_it_when_it_is_dropped) {
  expect_safe(
      [] {
        timeline_page page;
        const shared_timeline_ref signals = page.import();
        shared_timeline_ref line = page.import();
        cell<int> work;
        {
          thread own("own", run_own_thread);
          const fence_ref point = line->fence_at(1).value();
          thread signal("signal", [&] { work.set(1), LAB_CHECK(!signals->signal(1)); });
          LAB_CHECK(!point->wait());
          LAB_CHECK(work.get() == 1);
          line.reset();
        }
        rcu::flush_deferred();
      },
      without_second_looks());
}

TEST(shared_timeline_model, a_point_that_is_asked_for_beside_its_signal_is_signaled) {
  expect_safe_so_far(
      [] {
        timeline_page page;
        const shared_timeline_ref signals = page.import();
        shared_timeline_ref line = page.import();
        {
          thread own("own", run_own_thread);
          const fence_ref late = line->fence_at(2).value();
          thread signal("signal", [&] { LAB_CHECK(!signals->signal(2)); });
          const fence_ref point = line->fence_at(1).value();
          LAB_CHECK(!point->wait());
          LAB_CHECK(!late->wait());
          line.reset();
        }
        rcu::flush_deferred();
      },
      without_second_looks(true));
}

TEST(shared_timeline_model, a_dropped_owner_ends_it_and_its_thread_frees_it) {
  expect_safe(
      [] {
        timeline_page page;
        thread own("own", run_own_thread);
        shared_timeline_ref line = shared_timeline::create().value();
        const shared_timeline_ref others = page.import();
        thread wait("wait", [&] { LAB_CHECK(others->wait(1) == errno_code(ECANCELED)); });
        line.reset();
      },
      without_second_looks());
}

}  // namespace
}  // namespace ufence::lab

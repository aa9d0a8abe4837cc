// Jobs, and the unload of a module in its eight steps, explored: the host's sources around a driver
// whose code and globals are gone afterwards.
#include "ufence/issuer/host.h"

#include <array>

#include "lab/models/testing/harness.h"
#include "lab/models/testing/model_driver.h"
#include "ufence/fence/report.h"

namespace ufence::lab {
namespace {

constexpr unload_options cancel{.policy = unload_policy::cancel, .give_up_ns = no_deadline};
constexpr unload_options drain{.policy = unload_policy::drain, .give_up_ns = no_deadline};
constexpr unload_options refuse{.policy = unload_policy::refuse, .give_up_ns = no_deadline};

// A loaded driver.
struct loaded {
  explicit loaded(model_driver::plan p = {}) : driver(p), device(at.load("driver").value()) {}

  fence_ref submit(std::span<const fence_ref> in_fences = {}) {
    return device->submit({.in_fences = in_fences}).value();
  }
  unload_state unload(const unload_options& how) { return at.unload(device, how).value().state; }
  void expect_unmapped(const unload_options& how) {
    LAB_CHECK(unload(how) == unload_state::unmapped);
    LAB_CHECK(!driver.is_mapped());
  }
  driver_globals& globals() { return driver.globals(); }

  model_driver driver;
  host at;
  device_ref device;
};

// --- Jobs ---

TEST(unload_model, the_last_in_fence_ends_a_job_with_the_error_of_any) {
  expect_safe([] {
    loaded m;
    new_fence in[2] = {make_fence(), make_fence()};
    const std::array<fence_ref, 2> both{in[0].fence, in[1].fence};
    const fence_ref f = m.submit(both);
    {
      thread fails("fails", [&] { in[0].signal.signal(-EIO); });
      thread succeeds("succeeds", [&] { in[1].signal.signal(); });
    }
    LAB_CHECK(f->is_signaled() && f->error() == -EIO);
    LAB_CHECK(m.globals().held.get() == nullptr);
    m.expect_unmapped(drain);
  });
}

// Beyond what can be explored to the end.
TEST(unload_model, cancel_beside_the_last_in_fence_ends_the_job) {
  expect_safe_so_far([] {
    loaded m;
    new_fence in = make_fence();
    const std::array<fence_ref, 1> one{in.fence};
    const fence_ref f = m.submit(one);
    {
      thread signals("signals", [&] { in.signal.signal(); });
      thread cancels("cancels", [&] { LAB_CHECK(!m.device->cancel(f)); });
    }
    LAB_CHECK(f->is_signaled() && f->error() == -ECANCELED);
    m.expect_unmapped(drain);
  });
}

TEST(unload_model, room_comes_when_the_last_job_ends_meanwhile) {
  expect_safe([] {
    model_driver driver;
    host at;
    const device_ref device = at.load("driver", load_options{.pending_max = 1}).value();
    const fence_ref f = device->submit({}).value();
    LAB_CHECK(!device->submit({}));
    {
      thread completes("completes", [&] { driver.globals().complete(0); });
      thread waits("waits", [&] {
        LAB_CHECK(!device->room().value()->wait(no_deadline));
        LAB_CHECK(device->submit({}).has_value());
      });
    }
    LAB_CHECK(at.unload(device, cancel).value().state == unload_state::unmapped);
  });
}

TEST(unload_model, a_job_meets_its_in_fence_once) {
  expect_safe([] {
    loaded m;
    new_fence in = make_fence();
    fence_ref f;
    {
      thread submit("submit", [&] { f = m.submit({&in.fence, 1}); });
      thread signal("signal", [&] { in.signal.signal(); });
    }
    LAB_CHECK(m.globals().held.get() != nullptr);
    m.globals().complete(0);
    LAB_CHECK(f->is_signaled() && f->error() == 0);
    m.expect_unmapped(drain);
  });
}

// What is asked for while the job is on its way to the driver.
template <class Ask, class Check>
void ask_on_the_way(Ask ask, Check check) {
  loaded m;
  new_fence in = make_fence();
  const fence_ref f = m.submit({&in.fence, 1});
  {
    thread signal("signal", [&] { in.signal.signal(); });
    thread asks("asks", [&] { ask(*f); });
  }
  check(m.globals());
  m.globals().complete(0);
  m.expect_unmapped(drain);
}

TEST(unload_model, a_deadline_reaches_a_driver_that_gets_the_job_meanwhile) {
  expect_safe([] {
    ask_on_the_way([](fence& f) { f.set_deadline(INT64_C(100)); },
                   [](driver_globals& g) { LAB_CHECK(g.deadline.get() == 100); });
  });
}

TEST(unload_model, a_driver_that_gets_the_job_meanwhile_is_enabled_once) {
  expect_safe([] {
    ask_on_the_way([](fence& f) { f.enable_signaling(); },
                   [](driver_globals& g) { LAB_CHECK(g.enables.get() == 1); });
  });
}

TEST(unload_model, a_poll_meets_a_job_as_submit_left_it) {
  expect_safe(
      [] { ask_on_the_way([](fence& f) { LAB_CHECK(!f.poll()); }, [](driver_globals&) {}); });
}

TEST(unload_model, a_thread_of_init_meets_the_timeline_when_it_is_made) {
  expect_safe([] {
    loaded m({.features = model_driver::in_order, .thread = [](driver_globals& g) {
                ufence_settlement later = UFENCE_SETTLEMENT_INIT;
                const int error = g.host.decide_up_to(g.device, 0, &later);
                LAB_CHECK(error == 0 || error == -EINVAL);
                g.host.settle(&later);
              }});
    m.expect_unmapped(drain);
  });
}

// A broken rule is noted where no foreign code may run.
TEST(unload_model, of_two_who_decide_a_job_one_is_told_and_reported) {
  expect_safe([] {
    loaded m;
    atomic<int> reports{0};
    const auto count = [](const ufence::report& what, void* to) noexcept {
      LAB_CHECK(what.kind == report_kind::driver);
      static_cast<atomic<int>*>(to)->fetch_add(1, mo::relaxed);
    };
    LAB_CHECK(!set_report_handler(count, &reports));
    const fence_ref f = m.submit();
    ufence_job* const job = m.globals().held.get();
    m.globals().held.set(nullptr);
    const ufence_host& host = m.globals().host;
    int first = 0;
    int second = 0;
    {
      thread decides("decides", [&] { first = host.signal(job, 0); });
      thread again("again", [&] { second = host.signal(job, 0); });
    }
    LAB_CHECK((first == 0 && second == -EALREADY) || (first == -EALREADY && second == 0));
    m.expect_unmapped(drain);
    LAB_CHECK(reports.load(mo::relaxed) == 1);
    LAB_CHECK(!set_report_handler(nullptr, nullptr));
  });
}

// --- Unloading ---

TEST(unload_model, a_job_on_its_way_to_the_driver_is_cancelled_as_well) {
  expect_safe_so_far([] {
    loaded m;
    new_fence in = make_fence();
    const fence_ref f = m.submit({&in.fence, 1});
    {
      thread signal("signal", [&] { in.signal.signal(); });
      thread unload("unload", [&] { m.expect_unmapped(cancel); });
    }
    LAB_CHECK(f->is_signaled() && f->error() == -ECANCELED);
  });
}

TEST(unload_model, a_refused_unload_names_jobs_that_are_being_submitted) {
  expect_safe([] {
    loaded m;
    {
      thread submit("submit", [&] { static_cast<void>(m.device->submit({})); });
      thread unload("unload", [&] {
        const unload_state done = m.unload(refuse);
        LAB_CHECK(done == unload_state::refused || done == unload_state::unmapped);
      });
    }
    if (m.driver.is_mapped()) m.expect_unmapped(cancel);
  });
}

TEST(unload_model, a_refused_unload_names_jobs_that_wait_for_others) {
  expect_safe([] {
    loaded m;
    new_fence in = make_fence();
    {
      thread submit("submit", [&] {
        static_cast<void>(m.device->submit({.in_fences = {&in.fence, 1}}));
      });
      thread unload("unload", [&] { static_cast<void>(m.unload(refuse)); });
    }
    if (m.driver.is_mapped()) m.expect_unmapped(cancel);
    in.signal.signal();
  });
}

TEST(unload_model, an_attempt_begins_where_the_last_one_has_stopped) {
  expect_safe([] {
    loaded m({.deferrals = 1});
    {
      thread first("first", [&] {
        const result<unload_report> done = m.at.unload(m.device, drain);
        LAB_CHECK(done ? done->state == unload_state::deferred : done.error() == errno_code(EBUSY));
      });
      thread again("again", [&] { m.at.retry_deferred(); });
    }
    if (m.driver.is_mapped()) static_cast<void>(m.at.unload(m.device, drain));
    if (m.driver.is_mapped()) m.at.retry_deferred();
    LAB_CHECK(!m.driver.is_mapped());
  });
}

void submit_while_it_is_unloaded(loaded& m) {
  result<fence_ref> f;
  {
    thread submit("submit", [&] { f = m.device->submit({}); });
    thread unload("unload", [&] { m.expect_unmapped(cancel); });
  }
  LAB_CHECK(f ? (*f)->error() == -ECANCELED : f.error() == errno_code(ENODEV));
}

TEST(unload_model, submit_meets_an_unload) {
  expect_safe([] {
    loaded m;
    submit_while_it_is_unloaded(m);
  });
}

TEST(unload_model, ops_meet_an_unload) {
  expect_safe([] {
    loaded m;
    const fence_ref f = m.submit();
    {
      thread polls("polls", [&] { f->poll(); });
      thread unload("unload", [&] { m.expect_unmapped(cancel); });
    }
    LAB_CHECK(f->error() == -ECANCELED);
  });
}

TEST(unload_model, a_settlement_that_runs_late_holds_up_an_unload) {
  expect_safe([] {
    loaded m;
    const fence_ref f = m.submit();
    ufence_settlement later = UFENCE_SETTLEMENT_INIT;
    m.globals().decide(0, later);
    const ufence_host& host = m.globals().host;
    {
      thread settles("settles", [&] { host.settle(&later); });
      thread unload("unload", [&] { m.expect_unmapped(cancel); });
    }
    LAB_CHECK(f->is_settled() && f->error() == 0);
  });
}

TEST(unload_model, one_that_was_given_up_is_finished_by_the_next) {
  settings with;
  with.explore_timeouts = true;
  expect_safe(
      [] {
        loaded m;
        const fence_ref f = m.submit();
        ufence_settlement later = UFENCE_SETTLEMENT_INIT;
        m.globals().decide(0, later);
        const ufence_host& host = m.globals().host;
        {
          thread settles("settles", [&] { host.settle(&later); });
          thread unload("unload", [&] {
            const unload_state state =
                m.unload({.policy = unload_policy::cancel, .give_up_ns = 1'000});
            LAB_CHECK(state == unload_state::pinned || state == unload_state::unmapped);
          });
        }
        if (m.driver.is_mapped()) m.expect_unmapped(cancel);
      },
      with);
}

TEST(unload_model, of_two_unloads_one_unmaps_and_the_other_is_told) {
  expect_safe([] {
    loaded m;
    const fence_ref f = m.submit();
    const auto unload = [&] {
      const result<unload_report> done = m.at.unload(m.device, cancel);
      LAB_CHECK(done ? done->state == unload_state::unmapped
                     : done.error() == errno_code(EBUSY) || done.error() == errno_code(ENODEV));
    };
    {
      thread first("first", unload);
      thread second("second", unload);
    }
    LAB_CHECK(!m.driver.is_mapped());
    LAB_CHECK(f->is_settled() && f->error() == -ECANCELED);
  });
}

TEST(unload_model, a_callback_of_the_module_meets_its_unload) {
  expect_safe_so_far([] {
    loaded m;
    new_fence other = make_fence();
    LAB_CHECK(!m.device->observe(other.fence));
    {
      thread signal("signal", [&] { other.signal.signal(); });
      thread unload("unload", [&] { m.expect_unmapped(cancel); });
    }
  });
}

TEST(unload_model, observe_meets_an_unload) {
  expect_safe([] {
    loaded m;
    new_fence other = make_fence();
    {
      thread observe("observe", [&] { static_cast<void>(m.device->observe(other.fence)); });
      thread unload("unload", [&] { m.expect_unmapped(cancel); });
    }
    other.signal.signal();
  });
}

TEST(unload_model, a_thread_of_the_driver_ends_before_its_globals) {
  expect_safe([] {
    loaded m({.thread = &model_driver::serve});
    const fence_ref f = m.submit();
    m.expect_unmapped(drain);
    LAB_CHECK(f->is_signaled() && f->error() == 0);
  });
}

TEST(unload_model, a_cancel_meets_the_completion) {
  expect_safe([] {
    loaded m({.thread = &model_driver::serve});
    const fence_ref f = m.submit();
    m.expect_unmapped(cancel);
    LAB_CHECK(f->is_settled() && (f->error() == 0 || f->error() == -ECANCELED));
  });
}

TEST(unload_model, a_timeline_meets_an_unload) {
  expect_safe([] {
    loaded m({.features = model_driver::in_order});
    submit_while_it_is_unloaded(m);
  });
}

TEST(unload_model, all_at_once) {
  expect_safe_so_far([] {
    loaded m({.thread = &model_driver::serve});
    new_fence in = make_fence();
    new_fence other = make_fence();
    const fence_ref f = m.submit({&in.fence, 1});
    LAB_CHECK(!m.device->observe(other.fence));
    {
      thread signal("signal", [&] {
        in.signal.signal();
        other.signal.signal();
      });
      thread uses("uses", [&] {
        f->poll();
        f->enable_signaling();
      });
      thread unload("unload", [&] { m.expect_unmapped(cancel); });
    }
    LAB_CHECK(f->is_settled() && (f->error() == 0 || f->error() == -ECANCELED));
  });
}

}  // namespace
}  // namespace ufence::lab

#include <dlfcn.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/driver.h"
#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using ::testing::ElementsAre;
using testing::eventually;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kept_reports;
using testing::make_fence;
using testing::scripted_callback;
namespace ops = puppet;

TEST(unload, its_fences_answer_for_ever) {
  puppet_device p;
  std::vector<fence_ref> held;
  for (int i = 0; i < 1000; ++i) held.push_back(p.give(ops::work, {.error = -(i % 100)}));
  const unload_report done = p.unload();
  EXPECT_EQ(done.jobs_cancelled, 0U);
  EXPECT_EQ(p.board->exits, 1U);
  for (int i = 0; i < 1000; ++i) {
    const fence_ref& f = held[static_cast<std::size_t>(i)];
    EXPECT_EQ(f->status(), i % 100 == 0 ? 1 : -(i % 100));
    EXPECT_NE(f->timestamp_ns(), 0);
    EXPECT_EQ(f->driver_name(), "puppet");
    EXPECT_THAT(f->describe(), HasSubstr("strings puppet"));
    EXPECT_TRUE(f->poll());
    EXPECT_FALSE(f->wait_settled(testing::patience()));
    EXPECT_FALSE(f->wait_quiesced(testing::patience()));
    scripted_callback late;
    EXPECT_EQ(f->add_callback(late), errno_code(ENOENT));
  }
}

TEST(unload, nothing_new_is_accepted) {
  puppet_device p;
  p.unload();
  EXPECT_EQ(error_of(p.submit(ops::now)), errno_code(ENODEV));
  EXPECT_EQ(p.device->observe(fence::stub()), errno_code(ENODEV));
  EXPECT_EQ(error_of(p.at->unload(p.device)), errno_code(ENODEV));
  EXPECT_THAT(p.at->devices(), IsEmpty());
  EXPECT_EQ(error_of(p.at->unload(nullptr)), errno_code(ENODEV));
}

TEST(unload, draining_waits_for_jobs_and_for_their_in_fences) {
  puppet_device p;
  new_fence in = make_fence();
  std::vector<fence_ref> jobs{p.give(ops::work), p.give(ops::work, {.after = {in.fence}})};
  std::atomic<bool> is_unloaded{false};
  std::thread unloader([&] {
    EXPECT_EQ(p.unload().jobs_cancelled, 0U);
    is_unloaded = true;
  });
  EXPECT_TRUE(eventually([&] { return error_of(p.submit(ops::now)) == errno_code(ENODEV); }));
  EXPECT_FALSE(is_unloaded);
  in.signal.signal();
  unloader.join();
  for (const fence_ref& f : jobs) EXPECT_EQ(f->status(), 1);
}

TEST(unload, draining_asks_for_completions_that_are_reported_on_demand) {
  puppet_device p;
  p.board->enable_result = 1;
  const fence_ref job = p.give(ops::hold);
  EXPECT_EQ(p.unload().jobs_drained, 1U);
  EXPECT_EQ(job->status(), 1);
}

TEST(unload, a_drain_that_takes_too_long_becomes_a_cancel) {
  puppet_device p;
  new_fence never = make_fence();
  const fence_ref held = p.give(ops::hold);
  const fence_ref waiting = p.give(ops::hold, {.after = {never.fence, never.fence, never.fence}});
  const unload_report done = p.unload({.drain_deadline_ns = deadline_after(5'000'000)});
  EXPECT_EQ(done.jobs_drained, 0U);
  EXPECT_EQ(done.jobs_cancelled, 2U);
  EXPECT_EQ(held->status(), -ECANCELED);
  EXPECT_EQ(waiting->status(), -ECANCELED);
  EXPECT_EQ(p.board->cancels, 1U);  // the other one never was with the driver
  never.signal.signal();
}

TEST(unload, what_a_driver_does_not_cancel_the_host_ends_after_stop) {
  puppet_device p;
  p.board->ignores_cancel = 1;
  const fence_ref job = p.give(ops::hold);
  scripted_callback after([&](fence&) { EXPECT_EQ(p.board->stops, 1U); });
  ASSERT_FALSE(job->add_callback(after));
  const unload_report done = p.unload({.policy = unload_policy::cancel, .give_up_ns = 10'000'000});
  EXPECT_EQ(done.jobs_cancelled, 1U);
  EXPECT_EQ(after.runs(), 1);
  EXPECT_EQ(job->status(), -ECANCELED);
  EXPECT_EQ(p.board->retires, p.device->stats().jobs_submitted);
}

TEST(unload, a_driver_without_cancel_is_stopped) {
  puppet_device p("puppet_plain");
  const fence_ref job = p.give(ops::hold);
  EXPECT_EQ(p.unload({.policy = unload_policy::cancel}).jobs_cancelled, 1U);
  EXPECT_EQ(job->status(), -ECANCELED);
}

TEST(unload, refuse_changes_nothing) {
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  const unload_report refused = p.try_unload(unload_policy::refuse);
  EXPECT_EQ(refused.state, unload_state::refused);
  EXPECT_EQ(refused.last_step, 1);
  EXPECT_THAT(refused.pins, ElementsAre(HasSubstr("strings puppet: pending")));
  EXPECT_EQ(p.give(ops::now)->status(), 1);
  p.give(ops::finish_all);
  EXPECT_EQ(job->status(), 1);
  p.unload({.policy = unload_policy::refuse});
}

TEST(unload, many_pins_are_counted) {
  puppet_device p;
  for (int i = 0; i < 30; ++i) p.give(ops::hold);
  const unload_report refused = p.try_unload(unload_policy::refuse);
  ASSERT_EQ(refused.pins.size(), 9U);
  EXPECT_EQ(refused.pins.back(), "and 22 fences more");
  p.unload({.policy = unload_policy::cancel});
}

// --- Pinned, named, and resumed ---

TEST(unload, a_settlement_that_has_not_run_pins_by_name) {
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  p.give(ops::hand_over, {.value = job->seqno()});
  const unload_report pinned = p.try_unload();
  EXPECT_EQ(pinned.state, unload_state::pinned);
  EXPECT_EQ(pinned.last_step, 6);
  EXPECT_THAT(pinned.pins, ElementsAre("fence " + std::to_string(job->context()) + ":" +
                                       std::to_string(job->seqno()) +
                                       " strings puppet: decided, but its settlement has not run"));
  EXPECT_EQ(job->status(), 1);
  p.board->host->settle(&p.board->handed);
  p.unload();
}

TEST(unload, an_op_that_has_not_returned_pins_by_name) {
  puppet_device p;
  p.board->blocks_polls = 1;
  const fence_ref job = p.give(ops::hold);
  std::thread poller([&] { static_cast<void>(job->poll()); });
  EXPECT_TRUE(eventually([&] { return p.board->blocked == 1; }));
  const unload_report pinned = p.try_unload();
  EXPECT_EQ(pinned.state, unload_state::pinned);
  EXPECT_EQ(pinned.last_step, 6);
  EXPECT_THAT(pinned.pins, ElementsAre("1 thread is inside the module",
                                       HasSubstr("strings puppet: poll() has not returned")));
  EXPECT_EQ(job->status(), -ECANCELED);
  EXPECT_EQ(p.device->stats().entries, 1U);
  p.board->let_go();
  poller.join();
  p.unload();
  EXPECT_EQ(p.device->stats().retired_by_last_op, p.device->stats().jobs_submitted);
}

TEST(unload, a_submit_that_has_not_returned_pins) {
  puppet_device p;
  std::thread submitter([&] { EXPECT_EQ(p.give(ops::block)->status(), 1); });
  EXPECT_TRUE(eventually([&] { return p.board->blocked == 1; }));
  const unload_report pinned = p.try_unload();
  EXPECT_EQ(pinned.state, unload_state::pinned);
  EXPECT_EQ(pinned.last_step, 2);
  EXPECT_THAT(pinned.pins, ElementsAre("submit() of the device has not returned",
                                       "1 thread is inside the module",
                                       HasSubstr("strings puppet: submit() has not returned")));
  p.board->let_go();
  submitter.join();
  p.unload();
}

TEST(unload, a_callback_that_has_not_returned_pins) {
  puppet_device p;
  p.board->blocks_callbacks = 1;
  new_fence watched = make_fence(), other = make_fence();
  EXPECT_FALSE(p.device->observe(watched.fence));
  EXPECT_FALSE(p.device->observe(other.fence));
  std::thread signaller([&] { watched.signal.signal(); });
  EXPECT_TRUE(eventually([&] { return p.board->blocked == 1; }));
  const unload_report pinned = p.try_unload();
  EXPECT_EQ(pinned.state, unload_state::pinned);
  EXPECT_EQ(pinned.last_step, 4);
  EXPECT_EQ(pinned.callbacks_removed, 1U);
  EXPECT_THAT(pinned.pins, ElementsAre(HasSubstr("a callback of the module")));
  p.board->let_go();
  signaller.join();
  EXPECT_EQ(p.unload().callbacks_removed, 1U);
  EXPECT_EQ(p.board->callbacks, 1U);
  other.signal.signal();
}

TEST(unload, a_consumer_goes_with_its_callbacks_on_others_fences) {
  puppet_device consumer, issuer("puppet_build_2");
  std::vector<fence_ref> jobs;
  for (int i = 0; i < 100; ++i) {
    jobs.push_back(issuer.give(ops::hold));
    EXPECT_FALSE(consumer.device->observe(jobs.back()));
  }
  EXPECT_EQ(consumer.unload().callbacks_removed, 100U);
  issuer.give(ops::finish_all);
  for (const fence_ref& f : jobs) EXPECT_EQ(f->status(), 1);
  EXPECT_EQ(consumer.board->callbacks, 0U);
  issuer.unload();
}

TEST(unload, an_outside_holder_of_the_mapping_pins_it) {
  puppet_device p;
  void* const foreign = dlopen(test_module("puppet").c_str(), RTLD_NOLOAD | RTLD_LAZY);
  ASSERT_NE(foreign, nullptr);
  const unload_report pinned = p.try_unload();
  EXPECT_EQ(pinned.state, unload_state::pinned);
  EXPECT_EQ(pinned.last_step, 8);
  EXPECT_THAT(pinned.pins, ElementsAre(HasSubstr("held by another dlopen()")));
  EXPECT_EQ(p.at->retry_deferred(), 0U);
  EXPECT_EQ(p.at->devices().size(), 1U);
  dlclose(foreign);
  EXPECT_EQ(p.at->retry_deferred(), 1U);
  EXPECT_THAT(p.at->devices(), IsEmpty());
  EXPECT_EQ(p.board->exits, 1U);
}

TEST(unload, a_thread_local_object_of_another_thread_defers_the_unmapping) {
  const std::string path = test_module("unmappable_thread_local");
  host h;
  const device_ref d = load_module(h, path);
  testing::door touched, leave;
  std::thread other([&] {
    EXPECT_TRUE(d->submit({.opcode = 0}));
    touched.open();
    leave.pass();
  });
  touched.pass();
  const result<unload_report> deferred = h.unload(d, {.policy = unload_policy::cancel});
  ASSERT_TRUE(deferred);
  EXPECT_EQ(deferred->state, unload_state::deferred);
  EXPECT_EQ(deferred->last_step, 8);
  EXPECT_THAT(deferred->pins, ElementsAre(HasSubstr("thread_local")));
  EXPECT_EQ(h.retry_deferred(), 0U);
  EXPECT_EQ(error_of(h.load(path)), errno_code(EEXIST));
  leave.open();
  other.join();
  // Loading it again looks after the old one first.
  const device_ref again = load_module(h, path);
  EXPECT_THAT(h.devices(), ElementsAre(again));
  expect_unmapped(h.unload(again));
}

TEST(unload, a_thread_local_object_of_the_drivers_own_thread_does_not_defer_it) {
  host h;
  const device_ref d = load_module(h, test_module("unmappable_thread_local"));
  const result<fence_ref> job = d->submit({.opcode = 1});
  ASSERT_TRUE(job);
  EXPECT_FALSE((*job)->wait(testing::patience()));
  expect_unmapped(h.unload(d));
}

// --- Calls that do not return ---

class call_that_lasts
    : public ::testing::TestWithParam<
          std::pair<const char*, std::atomic<std::uint32_t> puppet::board::*>> {};

TEST_P(call_that_lasts, is_told_by_name_while_it_does) {
  const auto [name, blocks] = GetParam();
  const kept_reports reports;
  const auto is_told = [&, call = std::string(name)] {
    return std::ranges::any_of(reports.delays(), [&](const kept_reports::entry& e) {
      return e.kind == report_kind::driver && e.driver_name == "puppet" &&
             e.text.starts_with(call + " has not returned for ");
    });
  };
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  (*p.board).*blocks = 1;
  std::thread unloader([&] { p.unload({.policy = unload_policy::cancel}); });
  EXPECT_TRUE(eventually(is_told));
  EXPECT_EQ(p.board->blocked, 1U);
  p.board->let_go();
  unloader.join();
  EXPECT_TRUE(job->is_signaled());
}

INSTANTIATE_TEST_SUITE_P(unload, call_that_lasts,
                         ::testing::Values(std::pair("cancel()", &puppet::board::blocks_cancel),
                                           std::pair("stop()", &puppet::board::blocks_stop),
                                           std::pair("exit()", &puppet::board::blocks_exit)),
                         [](const auto& call) {
                           const std::string name = call.param.first;
                           return name.substr(0, name.find('('));
                         });

TEST(unload, a_call_that_does_not_return_is_given_up_if_calls_are_bounded) {
  puppet_device p;
  p.board->blocks_stop = 1;
  const result<unload_report> pinned = p.at->unload(
      p.device, {.policy = unload_policy::cancel, .give_up_ns = 20'000'000, .bounds_calls = true});
  ASSERT_TRUE(pinned);
  EXPECT_EQ(pinned->state, unload_state::pinned);
  EXPECT_EQ(pinned->last_step, 5);
  EXPECT_THAT(pinned->pins, ElementsAre(HasSubstr("stop() has not returned for")));
  p.board->let_go();
  p.unload();
  EXPECT_EQ(p.board->stops, 1U);
}

TEST(load, that_does_not_return_is_told_while_it_lasts) {
  const kept_reports reports;
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  ASSERT_EQ(::setenv("UFENCE_TEST_FD", std::to_string(ends[0]).c_str(), 1), 0);
  host h;
  device_ref d;
  std::thread loader([&] { d = load_module(h, test_module("minimal_waits")); });
  const auto goes_on_once_told = [&](const std::string& text) {
    EXPECT_TRUE(eventually([&] {
      return std::ranges::any_of(reports.delays(), [&](const auto& e) { return e.text.contains(text); });
    })) << text;
    EXPECT_EQ(::write(ends[1], "x", 1), 1);
  };
  goes_on_once_told("minimal_waits.so has not ended for ");
  goes_on_once_told("init() has not returned for ");
  loader.join();
  ::unsetenv("UFENCE_TEST_FD");
  for (const int end : ends) ::close(end);
  expect_unmapped(h.unload(d));
}

// --- Where an unload may not be called ---

// Runs the body inside of a report handler, that is, where the report is sent.
struct inside_report {
  explicit inside_report(std::function<void()> what) : body(std::move(what)) {
    EXPECT_FALSE(set_report_handler(&run, this));
  }
  ~inside_report() { static_cast<void>(set_report_handler(nullptr, nullptr)); }
  inside_report(const inside_report&) = delete;
  inside_report& operator=(const inside_report&) = delete;

  static void run(const report&, void* context) noexcept {
    auto& self = *static_cast<inside_report*>(context);
    ++self.runs;
    self.body();
  }
  std::function<void()> body;
  int runs = 0;
};

TEST(unload, from_module_code_is_a_deadlock) {
  puppet_device p;
  std::string why;
  const inside_report reports([&] {
    EXPECT_EQ(error_of(p.at->unload(p.device)), errno_code(EDEADLK));
    EXPECT_EQ(error_of(p.at->load(test_module("puppet_plain"), &why)), errno_code(EDEADLK));
  });
  p.give(ops::tell);
  EXPECT_EQ(reports.runs, 1);
  EXPECT_THAT(why, HasSubstr("from module code"));
  p.unload();
}

TEST(unload, from_an_op_a_retire_or_a_callback_of_the_module_is_a_deadlock) {
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  new_fence watched = make_fence();
  EXPECT_FALSE(p.device->observe(watched.fence));
  p.give(ops::hand_over, {.value = p.give(ops::hold)->seqno()});
  {
    // What they throw is reported while they are on the stack.
    const inside_report reports(
        [&] { EXPECT_EQ(error_of(p.at->unload(p.device)), errno_code(EDEADLK)); });
    p.board->throws = 1;
    static_cast<void>(job->poll());
    job->enable_signaling();
    watched.signal.signal();
    p.board->host->settle(&p.board->handed);
    p.board->throws = 0;
    EXPECT_EQ(reports.runs, 4);
  }
  p.unload({.policy = unload_policy::cancel});
}

TEST(unload, from_a_callback_on_one_of_its_fences_is_a_deadlock) {
  for (const char* kind : {"puppet", "puppet_line"}) {
    puppet_device p(kind);
    const fence_ref job = p.give(ops::hold);
    scripted_callback after(
        [&](fence&) { EXPECT_EQ(error_of(p.at->unload(p.device)), errno_code(EDEADLK)); });
    ASSERT_FALSE(job->add_callback(after));
    p.give(ops::finish, {.value = job->seqno()});
    EXPECT_EQ(after.runs(), 1);
    p.unload();
  }
}

TEST(unload, with_one_of_its_fences_queued_on_this_thread_is_a_deadlock) {
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  scripted_callback after;
  ASSERT_FALSE(job->add_callback(after));
  new_fence other = make_fence();
  scripted_callback runs([&](fence&) {
    p.give(ops::finish_all);
    EXPECT_EQ(job->status(), 1);
    EXPECT_EQ(after.runs(), 0);
    EXPECT_EQ(error_of(p.at->unload(p.device)), errno_code(EDEADLK));
  });
  ASSERT_FALSE(other.fence->add_callback(runs));
  other.signal.signal();
  EXPECT_EQ(runs.runs(), 1);
  EXPECT_EQ(after.runs(), 1);
  p.unload();
}

TEST(unload, from_a_callback_on_a_fence_of_somebody_else_works) {
  puppet_device p;
  new_fence other = make_fence();
  scripted_callback runs([&](fence&) { p.unload(); });
  ASSERT_FALSE(other.fence->add_callback(runs));
  other.signal.signal();
  EXPECT_EQ(runs.runs(), 1);
}

TEST(unload, two_threads_unload_it_once) {
  for (int round = 0; round < 20; ++round) {
    puppet_device p;
    for (int i = 0; i < 10; ++i) p.give(ops::work);
    std::atomic<int> unmapped{0}, told{0};
    const auto attempt = [&] {
      const auto done = p.at->unload(p.device);
      if (done) {
        EXPECT_EQ(done->state, unload_state::unmapped);
        ++unmapped;
      } else {
        EXPECT_THAT(done.error().value(), ::testing::AnyOf(EBUSY, ENODEV));
        ++told;
      }
    };
    std::thread one(attempt), two(attempt);
    one.join();
    two.join();
    EXPECT_EQ(unmapped, 1);
    EXPECT_EQ(told, 1);
    EXPECT_EQ(p.board->exits, 1U);
  }
}

// --- What it costs ---

std::int64_t processor_time_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

// In processor time of this thread, on which all steps run: other programs do not count.
std::int64_t cheapest_unload(std::size_t held_count) {
  std::int64_t cheapest = no_deadline;
  for (int i = 0; i < 10; ++i) {
    puppet_device p;
    std::vector<fence_ref> held;
    held.reserve(held_count);
    for (std::size_t n = 0; n < held_count; ++n) held.push_back(p.give(ops::now));
    const std::int64_t begin = processor_time_ns();
    EXPECT_EQ(p.unload().state, unload_state::unmapped);
    cheapest = std::min(cheapest, processor_time_ns() - begin);
    EXPECT_TRUE(std::ranges::all_of(held, [](const fence_ref& f) { return f->status() == 1; }));
  }
  return cheapest;
}

TEST(unload, does_not_cost_more_for_fences_that_are_held) {
  const std::int64_t none = cheapest_unload(0);
  const std::int64_t many = cheapest_unload(100'000);
  // Walking over 100,000 fences would take milliseconds.
  EXPECT_LT(many, 3 * none + 1'000'000);
}

}  // namespace
}  // namespace ufence

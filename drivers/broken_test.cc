// Each rule of ufence/driver.h that a module can break: the module in drivers/broken/ that does,
// and what the host says to it. The table of them is drivers/broken/README.md.
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "drivers/sim/sim.h"
#include "drivers/testing/driver_test.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/wait.h"
#include "ufence/module/inspect.h"

namespace ufence::drivers {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// As struct broken_args in drivers/broken/broken.h.
struct broken_args {
  std::uint64_t* memory = nullptr;
  std::uint32_t* gate = nullptr;
  std::uint32_t* begun = nullptr;
  void (*call)(void*) = nullptr;
  void* call_argument = nullptr;
};

// A word that a broken driver waits for, and one that it sets.
class gate {
 public:
  broken_args args() { return {.gate = &open_, .begun = &begun_}; }
  void open() { std::atomic_ref(open_).store(1, std::memory_order_release); }
  void await_begun() {
    while (std::atomic_ref(begun_).load(std::memory_order_acquire) == 0) std::this_thread::yield();
  }

 private:
  std::uint32_t open_ = 0, begun_ = 0;
};

class broken : public driver_test {
 protected:
  // The module is refused with this errno, and the line for people has both parts.
  void expect_refused(std::string_view name, int errno_value, std::string_view rule,
                      std::string_view what) {
    const std::string path = path_of(std::string("broken_").append(name));
    ASSERT_TRUE(std::filesystem::exists(path)) << path;
    std::string why;
    const result<device_ref> loaded = host_.load(path, &why);
    ASSERT_FALSE(loaded.has_value()) << name;
    EXPECT_EQ(loaded.error().value(), errno_value) << name << ": " << why;
    EXPECT_THAT(why, HasSubstr(rule)) << name;
    EXPECT_THAT(why, HasSubstr(what)) << name;
    EXPECT_THAT(host_.devices(), IsEmpty());
  }
  // Is there a thread of this name in the process?
  static bool has_thread(std::string_view name) {
    std::error_code failed;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", failed)) {
      std::string comm;
      std::getline(std::ifstream(task.path() / "comm"), comm);
      if (comm == name) return true;
    }
    return false;
  }
  // An unload that gives up soon.
  unload_report try_unload(const device_ref& d, unload_policy policy = unload_policy::cancel) {
    const unload_options options{.policy = policy,
                                 .drain_deadline_ns = deadline_after(20'000'000),
                                 .give_up_ns = 50'000'000};
    result<unload_report> done = host_.unload(d, options);
    EXPECT_TRUE(done.has_value()) << done.error().message();
    return done ? *done : unload_report{};
  }
};

// --- Refused for what the file says: none of its code runs ---

TEST_F(broken, files_are_refused_before_they_are_mapped) {
  expect_refused("no_entry", ENOEXEC, "D-1", "ufence_driver");
  expect_refused("no_note", ENOEXEC, "D-2", "no ufence ABI note");
  expect_refused("wrong_note_version", EPROTO, "D-2", "version 99");
  expect_refused("imports_pthread_create", ENOEXEC, "D-13", "pthread_create");
  expect_refused("imports_std_thread", ENOEXEC, "D-13", "thread");
  expect_refused("imports_timer_create", ENOEXEC, "D-13", "timer_create");
  expect_refused("imports_gtype", ENOEXEC, "D-21", "g_type_register_static_simple");
  expect_refused("wrong_sanitizer", ENOEXEC, "D-23", "HWAddressSanitizer");
  expect_refused("nodelete", ENOEXEC, "D-14", "nodelete");
  expect_refused("truncated", ENOEXEC, "", "");
}

TEST_F(broken, files_are_warned_of) {
  const auto warnings = [](const char* name) { return inspect(path_of(name)).warnings; };
  EXPECT_THAT(warnings("broken_queues_rcu"),
              Contains(AllOf(HasSubstr("D-22"), HasSubstr("urcu_bp_call_rcu"), HasSubstr("barrier"))));
  EXPECT_THAT(warnings("broken_leaves_handler"), Contains(AllOf(HasSubstr("D-21"), HasSubstr("signal"))));
  EXPECT_THAT(warnings("broken_executable_stack"), Contains(HasSubstr("executable stack")));
}

TEST_F(broken, unique_symbols_are_refused) {
#ifdef __clang__
  GTEST_SKIP() << "clang emits none";
#endif
  expect_refused("unique_symbol", ENOEXEC, "D-14", "_Sp_make_shared_tag");
}

TEST_F(broken, what_is_no_module_at_all_is_refused) {
  const std::string path = ::testing::TempDir() + "ufence-no-module.so";
  std::string why;
  std::ofstream(path) << "#!/bin/sh\n";
  EXPECT_EQ(host_.load(path, &why).error().value(), ENOEXEC) << why;
  EXPECT_THAT(why, Not(IsEmpty()));
  std::filesystem::remove(path);
  EXPECT_EQ(host_.load(path, &why).error().value(), ENOENT) << why;
}

// --- Refused for what the tables say, and by init() ---

TEST_F(broken, tables_are_refused) {
  expect_refused("wrong_table_version", EPROTO, "D-1", "version 99");
  expect_refused("small_table", EPROTO, "D-1", "bytes");
  expect_refused("null_ops", EPROTO, "D-3", "no ops");
  expect_refused("missing_op", EPROTO, "D-3", "cancel");
  expect_refused("unclaimed_op", EPROTO, "D-3", "poll");
  expect_refused("no_submit", EPROTO, "D-3", "submit");
  expect_refused("no_stop", EPROTO, "D-3", "stop");
  expect_refused("no_name", EPROTO, "D-3", "name");
  expect_refused("unknown_feature", EPROTO, "D-3", "feature");
  expect_refused("mixed_features", EPROTO, "D-3", "TIMELINE");
  expect_refused("same_options", EPROTO, "D-3", "size");
  expect_refused("half_legacy", EPROTO, "D-3", "LEGACY");
}

TEST_F(broken, init_may_fail_but_not_throw) {
  expect_refused("init_fails", ENODEV, "", "init");
  EXPECT_THAT(reports_.texts(), IsEmpty());
  expect_refused("init_throws", EIO, "", "init");
  EXPECT_TRUE(reports_.has({"init_throws", "D-4", "init()"}));
  expect_refused("init_positive", EINVAL, "", "init");
  EXPECT_TRUE(reports_.has({"init_positive", "D-16"}));
}

// --- Reported at run time ---

TEST_F(broken, submit_may_not_throw) {
  device_ref d = load("broken_submit_throws");
  EXPECT_EQ(run(d, 1), -EIO);
  EXPECT_TRUE(reports_.has({"submit_throws", "D-4", "submit()"}));
  unload(d);
}

TEST_F(broken, submit_returns_negative_errors) {
  device_ref d = load("broken_submit_positive");
  EXPECT_EQ(run(d, 1), -EINVAL);
  EXPECT_TRUE(reports_.has({"submit_positive", "D-16"}));
  unload(d);
}

TEST_F(broken, a_job_is_decided_once) {
  device_ref d = load("broken_signals_twice");
  EXPECT_EQ(run(d, 1), 0);
  EXPECT_TRUE(reports_.has({"signals_twice", "D-5", "again"}));
  unload(d);
}

TEST_F(broken, a_copy_of_a_job_is_not_a_job) {
  device_ref d = load("broken_decides_copy");
  EXPECT_EQ(run(d, 1), 0);
  EXPECT_TRUE(reports_.has({"decides_copy", "D-5", "not a job"}));
  unload(d);
}

TEST_F(broken, what_is_never_decided_the_host_ends) {
  device_ref d = load("broken_never_decides");
  const fence_ref f = give(d, 1);
  const unload_report done = try_unload(d, unload_policy::drain);
  EXPECT_EQ(done.state, unload_state::unmapped);
  EXPECT_EQ(done.jobs_drained, 0u);
  EXPECT_EQ(done.jobs_cancelled, 1u);
  EXPECT_EQ(f->status(), -ECANCELED);
}

TEST_F(broken, a_decided_job_is_left_alone) {
  device_ref d = load("broken_touches_after");
  EXPECT_EQ(run(d, 1, broken_args{}), 0);
  unload(d);
  EXPECT_TRUE(reports_.has({"touches_after", "D-6"}));
}

TEST_F(broken, a_retired_job_is_left_alone) {
  device_ref d = load("broken_late_link");
  EXPECT_EQ(run(d, 1), 0);
  EXPECT_EQ(run(d, 1), 0);
  unload(d);
  EXPECT_TRUE(reports_.has({"late_link", "D-10"}));
}

TEST_F(broken, threads_end_when_the_driver_is_stopped) {
  device_ref d = load("broken_leaves_thread");
  gate g;
  EXPECT_EQ(run(d, 1, g.args()), 0);
  const unload_report stuck = try_unload(d);
  EXPECT_EQ(stuck.state, unload_state::pinned);
  EXPECT_THAT(stuck.pins, Contains(HasSubstr("stays")));
  g.open();
  unload(d, unload_policy::cancel);
}

TEST_F(broken, threads_that_no_import_tells_of_are_found) {
  if (UFENCE_SANITIZED) GTEST_SKIP() << "a sanitizer stands before the thread's function";
  device_ref d = load("broken_hides_thread");
  gate g;
  EXPECT_EQ(run(d, 1, g.args()), 0);
  g.await_begun();
  const unload_report stuck = try_unload(d);
  EXPECT_EQ(stuck.state, unload_state::pinned);
  EXPECT_THAT(stuck.pins, Contains(AllOf(HasSubstr("D-13: thread "), HasSubstr("thread_start()"))));
  g.open();
  result<unload_report> done = host_.unload(d);
  while (done && done->state == unload_state::pinned) {
    std::this_thread::yield();
    done = host_.unload(d);
  }
  EXPECT_TRUE(done && done->state == unload_state::unmapped);
}

TEST_F(broken, a_signal_handler_that_is_left_pins) {
  device_ref d = load("broken_leaves_handler");
  EXPECT_EQ(run(d, 1), 0);
  const unload_report stuck = try_unload(d);
  EXPECT_EQ(stuck.state, unload_state::pinned);
  EXPECT_THAT(stuck.pins, Contains(AllOf(HasSubstr("D-21"), HasSubstr("SIGUSR2"))));
  ::signal(SIGUSR2, SIG_DFL);
  unload(d);
}

TEST_F(broken, a_thread_of_the_host_lives_on) {
  device_ref d = load("broken_exits_thread");
  int error = 0, again = 1;
  std::thread caller([&] {
    error = run(d, 1);
    again = run(d, 2);
  });
  caller.join();
  EXPECT_EQ(error, -EIO);
  EXPECT_EQ(again, 0);
  EXPECT_TRUE(reports_.has({"exits_thread", "D-24", "pthread_exit()"}));
  unload(d);
}

TEST_F(broken, init_that_fails_leaves_no_thread) {
  const std::string file = ::testing::TempDir() + "ufence-broken-gate-" + std::to_string(::getpid());
  ASSERT_EQ(::setenv("UFENCE_BROKEN_GATE", file.c_str(), 1), 0);
  // The host waits for the thread; the test main sees that nothing stays mapped.
  std::thread opener([&] {
    while (!has_thread("stays")) std::this_thread::yield();
    std::ofstream(file) << "open\n";
  });
  std::string why;
  const result<device_ref> loaded = host_.load(path_of("broken_init_leaves_thread"), &why);
  opener.join();
  ASSERT_FALSE(loaded.has_value());
  EXPECT_EQ(loaded.error().value(), ENODEV);
  EXPECT_THAT(why, HasSubstr("init"));
  std::filesystem::remove(file);
  ::unsetenv("UFENCE_BROKEN_GATE");
}

TEST_F(broken, nothing_is_decided_after_stop) {
  device_ref d = load("broken_decides_after_stop");
  gate g;
  const fence_ref f = give(d, 1, g.args());
  const unload_report stuck = try_unload(d);
  EXPECT_EQ(stuck.state, unload_state::pinned);
  EXPECT_THAT(stuck.pins, Contains(HasSubstr("in flight")));
  g.await_begun();  // stop() was called, and has returned
  g.open();
  unload(d, unload_policy::cancel);
  EXPECT_TRUE(f->is_signaled());
  EXPECT_TRUE(reports_.has({"decides_after_stop", "D-9"}));
}

TEST_F(broken, an_op_that_does_not_return_pins) {
  device_ref d = load("broken_blocks_in_op");
  gate g;
  const fence_ref f = give(d, 1, g.args());
  std::thread poller([&] { f->poll(); });
  g.await_begun();
  const unload_report stuck = try_unload(d);
  EXPECT_EQ(stuck.state, unload_state::pinned);
  EXPECT_THAT(stuck.pins, Contains(HasSubstr("poll")));
  g.open();
  poller.join();
  unload(d, unload_policy::cancel);
}

TEST_F(broken, errors_are_negative) {
  device_ref d = load("broken_positive_error");
  const fence_ref f = give(d, 1);
  EXPECT_TRUE(reports_.has({"positive_error", "D-16"}));
  EXPECT_EQ(f->status(), 0);
  unload(d, unload_policy::cancel);
  EXPECT_EQ(f->status(), -ECANCELED);
}

TEST_F(broken, a_registered_callback_is_not_registered_again) {
  device_ref d = load("broken_reuses_callback");
  new_fence first = *fence::create(fence::allocate_contexts(1), 1);
  new_fence second = *fence::create(fence::allocate_contexts(1), 1);
  const auto answer = [&d](const fence_ref& f) {
    std::uint64_t told = 0;
    EXPECT_FALSE(d->observe(f));
    EXPECT_EQ(run(d, 1, broken_args{.memory = &told}), 0);
    return static_cast<std::int64_t>(told);
  };
  EXPECT_EQ(answer(first.fence), 0);
  EXPECT_EQ(answer(second.fence), -EINVAL);
  first.signal.signal();
  second.signal.signal();
  unload(d);
}

TEST_F(broken, a_device_word_stays_behind_the_last_job) {
  device_ref d = load("broken_word_beyond");
  const fence_ref f = give(d, 1);
  EXPECT_TRUE(reports_.has({"word_beyond", "D-18"}));
  EXPECT_EQ(f->status(), 0);
  unload(d, unload_policy::cancel);
  EXPECT_EQ(f->status(), -ECANCELED);
}

TEST_F(broken, only_given_jobs_are_completed) {
  device_ref d = load("broken_completes_beyond");
  const fence_ref f = give(d, 1);
  EXPECT_TRUE(reports_.has({"completes_beyond", "D-18"}));
  EXPECT_EQ(f->status(), 0);
  unload(d, unload_policy::cancel);
}

TEST_F(broken, a_thread_local_object_defers_unmapping) {
  device_ref d = load("broken_thread_local");
  gate g;
  std::thread user([&] {
    EXPECT_EQ(run(d, 1), 0);
    while (true) {
      std::this_thread::yield();
      if (std::atomic_ref(*g.args().gate).load(std::memory_order_acquire) != 0) break;
    }
  });
  while (d->stats().jobs_submitted == 0 || d->stats().jobs_pending != 0) std::this_thread::yield();
  const unload_report done = try_unload(d);
  EXPECT_EQ(done.state, unload_state::deferred);
  EXPECT_THAT(done.pins, Contains(HasSubstr("thread_local")));
  EXPECT_EQ(host_.retry_deferred(), 0u);
  g.open();
  user.join();
  EXPECT_EQ(host_.retry_deferred(), 1u);
}

TEST_F(broken, a_module_does_not_unload_itself) {
  struct request {
    host* h;
    device_ref d;
    std::error_code answer;
  } r{&host_, load("broken_unloads_itself"), {}};
  broken_args args;
  args.call_argument = &r;
  args.call = [](void* argument) {
    auto& asked = *static_cast<request*>(argument);
    const result<unload_report> done = asked.h->unload(asked.d);
    asked.answer = done ? std::error_code{} : done.error();
  };
  EXPECT_EQ(run(r.d, 1, args), 0);
  EXPECT_EQ(r.answer.value(), EDEADLK);
  EXPECT_EQ(run(r.d, 1), 0);
  unload(r.d);
}

#if defined(__SANITIZE_ADDRESS__)
// The host can't look into freed memory: the sanitizer does.
TEST_F(broken, a_registered_callback_stays_in_place) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        device_ref d = load("broken_frees_callback");
        new_fence f = *fence::create(fence::allocate_contexts(1), 1);
        static_cast<void>(d->observe(f.fence));
        f.signal.signal();
      },
      "heap-use-after-free");
}
#endif

}  // namespace
}  // namespace ufence::drivers

// What a module leaves registered in the process is found before its code goes.
#include <argp.h>
#include <dlfcn.h>
#include <error.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <printf.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <syslog.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <iostream>
#include <latch>
#include <locale>
#include <memory_resource>
#include <new>
#include <span>
#include <string>
#include <thread>

#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"
#include "ufence/issuer/testing/leaves.h"
#include "ufence/module/inspect.h"

namespace ufence {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using testing::in_child;
using testing::kept_reports;

struct left {
  leaves::opcode what;
  const char* name;
  void (*undo)();
  bool is_hidden_by_sanitizers = false;
};

// The results of the last job.
leaves::place place;

result<fence_ref> leave(const device_ref& d, leaves::opcode what) {
  leaves::place* const to = &place;
  return d->submit({.opcode = what, .args = std::as_bytes(std::span(&to, 1))});
}

void close_stream() { std::fclose(static_cast<FILE*>(place.stream)); }

class left_registered : public ::testing::TestWithParam<left> {};

TEST_P(left_registered, pins_the_module_by_name_until_it_is_undone) {
  if (UFENCE_SANITIZED && GetParam().is_hidden_by_sanitizers) {
    GTEST_SKIP() << "a sanitizer stands before the stream's functions";
  }
  EXPECT_EQ(in_child([] {
              const kept_reports quiet;  // of warnings
              const left& param = GetParam();
              host h;
              for (int round = 0; round < 3; ++round) {
                const device_ref d = load_module(h, test_module("leaves"));
                UFENCE_CHILD_EXPECT(d != nullptr);
                const auto f = leave(d, param.what);
                UFENCE_CHILD_EXPECT(f && !(*f)->wait());
                const auto pinned = h.unload(d);
                UFENCE_CHILD_EXPECT(pinned && pinned->state == unload_state::pinned);
                UFENCE_CHILD_EXPECT(pinned->last_step == 8 && pinned->pins.size() == 1);
                const std::string pin = pinned->pins.front();
                if (!pin.contains(param.name)) std::fprintf(stderr, "%s\n", pin.c_str());
                UFENCE_CHILD_EXPECT(pin.starts_with("D-21: ") && pin.contains(" at 0x"));
                UFENCE_CHILD_EXPECT(pin.contains(param.name));
                // Who loads it again is told why not.
                std::string why;
                UFENCE_CHILD_EXPECT(!h.load(test_module("leaves"), &why));
                UFENCE_CHILD_EXPECT(why.contains("still mapped") && why.contains(param.name));
                param.undo();
                const auto done = h.unload(d);
                UFENCE_CHILD_EXPECT(done && done->state == unload_state::unmapped);
              }
              return 0;
            }),
            0);
}

std::streambuf* const cout_before = std::cout.rdbuf();
std::wstreambuf* const wcin_before = std::wcin.rdbuf();
std::ostream* const clog_tie_before = std::clog.tie();

INSTANTIATE_TEST_SUITE_P(
    , left_registered,
    ::testing::Values(
        left{leaves::signal_handler, "the handler of signal SIGUSR2",
             [] { ::signal(SIGUSR2, SIG_DFL); }},
        left{leaves::signal_stack, "signal stack",
             [] {
               stack_t off{};
               off.ss_flags = SS_DISABLE;
               ::sigaltstack(&off, nullptr);
             }},
        left{leaves::environment, "environment variable LEFT_BEHIND",
             [] { ::unsetenv("LEFT_BEHIND"); }},
        left{leaves::terminate_handler, "the terminate handler",
             [] { std::set_terminate(&std::abort); }},
        left{leaves::new_handler, "the new handler", [] { std::set_new_handler(nullptr); }},
        left{leaves::error_function, "the function that error() calls",
             [] { ::error_print_progname = nullptr; }},
        left{leaves::key, "the destructor of thread key",
             [] { ::pthread_key_delete(place.key); }},
        left{leaves::cout_buffer, "the buffer of std::cout", [] { std::cout.rdbuf(cout_before); }},
        left{leaves::cout_class, "the buffer of std::cout", [] { std::cout.rdbuf(cout_before); }},
        left{leaves::stdout_buffer, "the buffer of stdout",
             [] { ::setvbuf(stdout, nullptr, _IONBF, 0); }},
        left{leaves::wcin_buffer, "the buffer of std::wcin", [] { std::wcin.rdbuf(wcin_before); }},
        left{leaves::tied_stream, "the stream tied to std::clog", [] { std::clog.tie(clog_tie_before); }},
        left{leaves::stream_callback, "a callback of std::clog",
             [] { std::clog.copyfmt(std::ios(nullptr)); }},
        left{leaves::stream_locale, "a facet of the locale of std::clog",
             [] { std::clog.imbue(std::locale::classic()); }},
        left{leaves::global_locale, "a facet of the C++ locale",
             [] { std::locale::global(std::locale::classic()); }},
        left{leaves::memory_resource, "the default memory resource",
             [] { std::pmr::set_default_resource(nullptr); }},
        left{leaves::argp_text, "the version that argp tells", [] { ::argp_program_version = nullptr; }},
        left{leaves::stream_buffer, "the buffer of an open stream", &close_stream},
        left{leaves::stream_function, "a function of an open stream", &close_stream, true},
        left{leaves::stream_memory, "the memory of an open stream", &close_stream, true},
        left{leaves::log_name, "what libc.so.6 has in its data", [] { ::closelog(); }},
        left{leaves::random_state, "what libc.so.6 has in its data",
             [] {
               static std::array<char, 256> state;
               ::initstate(1, state.data(), state.size());
             }},
        left{leaves::conversion, "the conversion %Y of printf()",
             [] { ::register_printf_specifier('Y', nullptr, nullptr); }}),
    [](const auto& name) { return "opcode_" + std::to_string(name.param.what); });

// A library that lies beside the modules, and is mapped.
class library_of_tests {
 public:
  explicit library_of_tests(const char* name)
      : handle_(::dlopen(test_module(name).c_str(), RTLD_NOW | RTLD_NOLOAD)) {}
  ~library_of_tests() {
    if (handle_ != nullptr) ::dlclose(handle_);
  }
  library_of_tests(const library_of_tests&) = delete;
  library_of_tests& operator=(const library_of_tests&) = delete;

  template <class Result, class... Args>
  Result call(const char* function, Args... args) const {
    return reinterpret_cast<Result (*)(Args...)>(::dlsym(handle_, function))(args...);
  }

 private:
  void* handle_;
};

TEST(left_behind, nothing_pins_nothing) {
  const kept_reports quiet;
  host h;
  const device_ref d = load_module(h, test_module("leaves"));
  ASSERT_TRUE(d->submit({.opcode = leaves::nothing}));
  expect_unmapped(h.unload(d));
}

TEST(left_behind, for_on_exit_pins_and_is_called_at_the_end) {
  if (UFENCE_SANITIZED) GTEST_SKIP() << "a sanitizer stands before functions for the end";
  EXPECT_EQ(in_child([] {
              const kept_reports quiet;
              static host* const h = new host;  // which the end does not destroy
              const device_ref d = load_module(*h, test_module("leaves"));
              const auto f = d->submit({.opcode = leaves::on_exit_function});
              UFENCE_CHILD_EXPECT(f && !(*f)->wait());
              for (int attempt = 0; attempt < 2; ++attempt) {
                const auto pinned = h->unload(d);
                UFENCE_CHILD_EXPECT(pinned && pinned->state == unload_state::pinned);
                UFENCE_CHILD_EXPECT(pinned->pins.size() == 1);
                UFENCE_CHILD_EXPECT(pinned->pins.front().starts_with("D-21: a function of on_exit() at 0x"));
              }
              std::exit(1);  // the function has another status
            }),
            42);
}

TEST(left_behind, in_the_name_of_a_library_for_the_end_pins) {
  if (UFENCE_SANITIZED) GTEST_SKIP() << "a sanitizer stands before functions for the end";
  EXPECT_EQ(in_child([] {
              const kept_reports quiet;
              static host* const h = new host;
              const device_ref d = load_module(*h, test_module("gives_at_exit"));
              const auto f = d->submit({});
              UFENCE_CHILD_EXPECT(f && !(*f)->wait());
              const auto pinned = h->unload(d);
              UFENCE_CHILD_EXPECT(pinned && pinned->state == unload_state::pinned);
              UFENCE_CHILD_EXPECT(pinned->pins.size() == 1);
              UFENCE_CHILD_EXPECT(pinned->pins.front().starts_with("D-21: a function that exit() calls at 0x"));
              std::exit(1);
            }),
            42);
}

TEST(left_behind, by_a_thread_that_the_host_does_not_know_pins_while_it_runs) {
  if (UFENCE_SANITIZED) GTEST_SKIP() << "a sanitizer stands before the thread's function";
  EXPECT_EQ(in_child([] {
              const kept_reports quiet;
              host h;
              const device_ref d = load_module(h, test_module("leaves"));
              const auto f = d->submit({.opcode = leaves::thread_by_name});
              UFENCE_CHILD_EXPECT(f && !(*f)->wait());
              const auto pinned = h.unload(d);
              UFENCE_CHILD_EXPECT(pinned && pinned->state == unload_state::pinned);
              UFENCE_CHILD_EXPECT(pinned->pins.size() == 1);
              UFENCE_CHILD_EXPECT(pinned->pins.front().starts_with("D-13: thread "));
              return 0;
            }),
            0);
}

TEST(left_behind, by_an_init_that_failed_keeps_the_module) {
  EXPECT_EQ(in_child([] {
              const kept_reports quiet;
              std::string why;
              {
                host h;
                UFENCE_CHILD_EXPECT(error_of(h.load(test_module("leaves_init_fails"), &why)) ==
                                    errno_code(ENODEV));
                UFENCE_CHILD_EXPECT(why.contains("D-4") && why.contains("the handler of signal SIGUSR2"));
              }
              ::raise(SIGUSR2);  // the handler is there
              host h;
              UFENCE_CHILD_EXPECT(error_of(h.load(test_module("leaves_init_fails"), &why)) ==
                                  errno_code(EEXIST));
              return 0;
            }),
            0);
}

TEST(left_behind, in_the_data_of_a_library_pins_by_its_name_until_it_is_undone) {
  EXPECT_EQ(in_child([] {
              const kept_reports quiet;
              host h;
              for (int round = 0; round < 3; ++round) {
                const device_ref d = load_module(h, test_module("gives_itself"));
                UFENCE_CHILD_EXPECT(d != nullptr);
                const auto f = d->submit({});
                UFENCE_CHILD_EXPECT(f && !(*f)->wait());
                const auto pinned = h.unload(d);
                UFENCE_CHILD_EXPECT(pinned && pinned->state == unload_state::pinned);
                UFENCE_CHILD_EXPECT(pinned->pins.size() == 1);
                const std::string pin = pinned->pins.front();
                UFENCE_CHILD_EXPECT(pin.starts_with("D-21: what libkeeps.so has in its data"));
                library_of_tests keeps("libkeeps");
                UFENCE_CHILD_EXPECT(keeps.call<int>("keeps_call") == 1);
                keeps.call<void>("keeps_set", static_cast<void*>(nullptr));
                const auto done = h.unload(d);
                UFENCE_CHILD_EXPECT(done && done->state == unload_state::unmapped);
                UFENCE_CHILD_EXPECT(done->kept.size() == 1);
              }
              return 0;
            }),
            0);
}

TEST(left_behind, of_a_library_in_another_one_keeps_it) {
  EXPECT_EQ(in_child([] {
              const kept_reports quiet;
              host h;
              for (int round = 0; round < 3; ++round) {
                const device_ref d = load_module(h, test_module("gives_another"));
                UFENCE_CHILD_EXPECT(d != nullptr);
                const auto f = d->submit({});
                UFENCE_CHILD_EXPECT(f && !(*f)->wait());
                const auto done = h.unload(d);
                UFENCE_CHILD_EXPECT(done && done->state == unload_state::unmapped);
                UFENCE_CHILD_EXPECT(std::ranges::any_of(done->kept, [](const std::string& text) {
                  return text.starts_with("libgoes.so") && text.contains("libkeeps.so");
                }));
                library_of_tests keeps("libkeeps");
                UFENCE_CHILD_EXPECT(keeps.call<int>("keeps_call") == 42);
              }
              return 0;
            }),
            0);
}

TEST(left_behind, as_the_class_of_an_exception_that_is_handled_pins) {
  const kept_reports quiet;
  host h;
  const device_ref d = load_module(h, test_module("leaves"));
  ASSERT_TRUE(leave(d, leaves::thrower));
  try {
    place.thrower();
  } catch (const std::exception&) {
    const auto pinned = h.unload(d);
    ASSERT_TRUE(pinned && pinned->state == unload_state::pinned);
    EXPECT_THAT(pinned->pins, Contains(HasSubstr("D-21: the class of the exception that is being handled at 0x")));
  }
  expect_unmapped(h.unload(d));
}

TEST(left_behind, as_an_exception_is_not_by_the_handler_of_its_report) {
  EXPECT_EQ(in_child([] {
              // The handler may keep what it gets hold of; this one would be destroyed after its class was unmapped.
              static std::exception_ptr kept;
              static int told = 0;
              static_cast<void>(set_report_handler(
                  [](const report& r, void*) noexcept {
                    if (!r.text.contains("D-4: submit() threw an exception")) return;
                    ++told;
                    kept = std::current_exception();
                  },
                  nullptr));
              host h;
              const device_ref d = load_module(h, test_module("leaves"));
              const auto f = leave(d, leaves::exception);
              UFENCE_CHILD_EXPECT(f && (*f)->error() == -EIO);
              UFENCE_CHILD_EXPECT(told == 1 && kept == nullptr);
              const auto done = h.unload(d);
              UFENCE_CHILD_EXPECT(done && done->state == unload_state::unmapped);
              return 0;
            }),
            0);
}

TEST(left_behind, is_warned_about_by_import) {
  for (const char* const name : {"sigaltstack", "set_default_resource", "argp_program_version", "fopencookie",
                                 "fmemopen", "openlog", "initstate", "register_printf_specifier", "putenv", "set_terminate", "set_new_handler",
                                 "pthread_key_create", "setvbuf", "rdbuf"}) {
    EXPECT_THAT(inspect(test_module("leaves")).warnings,
                Contains(AllOf(HasSubstr("D-21"), HasSubstr(name))));
  }
  EXPECT_TRUE(inspect(test_module("puppet")).warnings.empty());
}

TEST(left_behind, warnings_are_told_at_the_load) {
  const kept_reports reports;
  host h;
  const device_ref d = load_module(h, test_module("leaves"));
  EXPECT_THAT(d->notes(), Contains(HasSubstr("putenv")));
  EXPECT_EQ(static_cast<std::size_t>(reports.count(report_kind::driver)), d->notes().size());
  expect_unmapped(h.unload(d));
}

TEST(thread_of_the_host, survives_pthread_exit_in_module_code) {
  const kept_reports reports;
  host h;
  const device_ref d = load_module(h, test_module("leaves"));
  int error = 0;
  int again = 1;
  std::thread caller([&] {
    error = d->submit({.opcode = leaves::thread_exit}).value()->error();
    again = d->submit({.opcode = leaves::nothing}).value()->error();
    // A thread may still end by it, outside of the module.
    ::pthread_exit(nullptr);
  });
  caller.join();
  EXPECT_EQ(error, -EIO);
  EXPECT_EQ(again, 0);
  const auto told = reports.all();
  EXPECT_TRUE(std::ranges::any_of(told, [](const auto& e) {
    return e.text.contains("D-24: submit() called pthread_exit()");
  }));
  expect_unmapped(h.unload(d));
}

TEST(thread_of_the_host, is_not_cancelled_in_module_code) {
  puppet_device p;
  std::latch is_cancelled(1);
  struct what {
    puppet_device& p;
    std::latch& is_cancelled;
    bool has_submitted = false;
  } shared{p, is_cancelled};
  pthread_t thread{};
  ASSERT_EQ(::pthread_create(
                &thread, nullptr,
                [](void* to) -> void* {
                  auto& w = *static_cast<what*>(to);
                  w.is_cancelled.wait();  // no cancellation point
                  w.p.give(puppet::block);
                  w.has_submitted = true;
                  for (;;) ::pthread_testcancel();
                },
                &shared),
            0);
  ASSERT_EQ(::pthread_cancel(thread), 0);
  is_cancelled.count_down();
  ASSERT_TRUE(testing::eventually([&] { return p.board->blocked == 1; }));
  p.board->let_go();
  void* end = nullptr;
  ASSERT_EQ(::pthread_join(thread, &end), 0);
  EXPECT_EQ(end, PTHREAD_CANCELED);
  EXPECT_TRUE(shared.has_submitted);
  p.unload();
}

}  // namespace
}  // namespace ufence

// exit() with devices at work: they stop before the static objects of their modules go, whichever
// thread owns the host and whichever calls exit(). Each test ends a child of fork().
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>

#include "ufence/fence/testing/support.h"
#include "ufence/issuer/device_impl.h"
#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"
#include "ufence/issuer/testing/ends.h"
#include "ufence/rcu/rcu.h"

namespace ufence {
namespace {

// Memory that a child shares.
class shared_page {
 public:
  shared_page()
      : page_(::new (::mmap(nullptr, sizeof(ends::page), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0)) ends::page) {}
  ~shared_page() { ::munmap(page_, sizeof(ends::page)); }
  shared_page(const shared_page&) = delete;
  shared_page& operator=(const shared_page&) = delete;
  ends::page* operator->() const { return page_; }
  ends::page* get() const { return page_; }

 private:
  ends::page* page_;
};

device_ref load_ends(host& h, ends::page* page) {
  const device_ref d = load_module(h, test_module("ends"));
  const auto f = d->submit({.opcode = ends::attach, .args = std::as_bytes(std::span(&page, 1))});
  if (!f || (*f)->wait()) std::_Exit(9);
  while (page->thread_runs == 0) ::sched_yield();
  return d;
}

// Runs it in a child, which ends by exit(); its status.
template <class Work>
int exit_status(Work work) {
  const pid_t child = ::fork();
  if (child == 0) {
    work();
    std::exit(0);
  }
  int status = -1;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void expect_in_order(const shared_page& page, std::uint32_t exits) {
  EXPECT_EQ(page->stops, 1U);
  EXPECT_EQ(page->exits, exits);
  EXPECT_EQ(page->statics_gone, 2U);
  EXPECT_EQ(page->stopped_too_late, 0U);
  EXPECT_EQ(page->ran_too_late, 0U);
}

std::optional<host> global_host;

TEST(process_end, stops_the_devices_of_a_global_host) {
  const shared_page page;
  EXPECT_EQ(exit_status([&] { load_ends(global_host.emplace(), page.get()); }), 0);
  expect_in_order(page, 1);
}

host& function_host() {
  static host h;
  return h;
}

TEST(process_end, stops_the_devices_of_a_host_in_a_function) {
  const shared_page page;
  EXPECT_EQ(exit_status([&] { load_ends(function_host(), page.get()); }), 0);
  expect_in_order(page, 1);
}

TEST(process_end, stops_the_devices_of_a_host_that_nobody_destroys) {
  const shared_page page;
  EXPECT_EQ(exit_status([&] {
              static host* const leaked = new host;
              load_ends(*leaked, page.get());
            }),
            0);
  expect_in_order(page, 1);
}

TEST(process_end, stops_a_device_whose_submit_calls_exit) {
  const shared_page page;
  EXPECT_EQ(exit_status([&] {
              const device_ref d = load_ends(function_host(), page.get());
              static_cast<void>(d->submit({.opcode = ends::exit_here}));
            }),
            0);
  expect_in_order(page, 0);
}

TEST(process_end, stops_a_device_whose_thread_calls_exit) {
  const shared_page page;
  EXPECT_EQ(exit_status([&] {
              const device_ref d = load_ends(function_host(), page.get());
              static_cast<void>(d->submit({.opcode = ends::exit_in_thread}));
              for (;;) ::pause();
            }),
            0);
  // exit() of the module is not called: its thread is inside.
  EXPECT_EQ(page->stops, 1U);
  EXPECT_EQ(page->statics_gone, 2U);
  EXPECT_EQ(page->stopped_too_late, 0U);
  EXPECT_EQ(page->ran_too_late, 0U);
}

extern "C" void exit_with_5(int) { std::exit(5); }

// A terminal's Ctrl-C, as programs often have it: exit() in the handler, while the thread waits.
TEST(process_end, stops_the_devices_when_a_signal_handler_calls_exit_in_a_wait) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer puts signals off until a call that it knows";
#endif
  const shared_page page;
  EXPECT_EQ(exit_status([&] {
              load_ends(function_host(), page.get());
              const new_fence pending = fence::create(fence::allocate_contexts(1), 1).value();
              if (::signal(SIGINT, &exit_with_5) == SIG_ERR) std::_Exit(9);
              std::thread([waits = ::pthread_self(), self = ::gettid()] {
                // Whatever it says of it then, it sleeps in the wait.
                for (std::string state; !state.starts_with("S");) {
                  std::ifstream stat("/proc/self/task/" + std::to_string(self) + "/stat");
                  std::getline(stat, state);
                  state.erase(0, state.rfind(')') + 2);
                }
                ::pthread_kill(waits, SIGINT);
              }).detach();
              static_cast<void>(pending.fence->wait());
              std::_Exit(8);
            }),
            5);
  expect_in_order(page, 1);
}

// Jobs that are held, jobs that a thread has, and one that blocks a thread of the host's.
void keep_busy(const puppet_device& d) {
  for (int i = 0; i < 20; ++i) {
    d.give(puppet::hold);
    d.give(puppet::work);
  }
  std::thread([&d] { static_cast<void>(d.submit(puppet::block)); }).detach();
  while (d.board->submits != 42) ::sched_yield();  // with the one that attaches the board
}

// There is nothing of its that could go too early.
TEST(process_end, comes_whatever_a_module_without_static_objects_does) {
  for (const bool is_leaked : {false, true}) {
    EXPECT_EQ(exit_status([is_leaked] {
                if (is_leaked) {
                  static const puppet_device* const leaked = new puppet_device;
                  keep_busy(*leaked);
                } else {
                  static const std::unique_ptr<puppet_device> owned =
                      std::make_unique<puppet_device>();
                  keep_busy(*owned);
                  owned->board->release = 1;  // its destructor waits for threads inside
                }
                std::exit(4);
              }),
              4)
        << is_leaked;
  }
}

TEST(process_end, has_nothing_to_do_for_a_device_that_is_gone) {
  const shared_page page;
  EXPECT_EQ(exit_status([&] {
              host h;
              for (int round = 0; round < 3; ++round) {
                device_ref d = load_ends(h, page.get());
                expect_unmapped(h.unload(d));
              }
            }),
            0);
  EXPECT_EQ(page->stops, 3U);
  EXPECT_EQ(page->exits, 3U);
  EXPECT_EQ(page->statics_gone, 6U);
  EXPECT_EQ(page->stopped_too_late + page->ran_too_late, 0U);
}

TEST(process_end, leaves_the_parents_devices_to_the_parent) {
  const shared_page page;
  host h;
  const device_ref d = load_ends(h, page.get());
  EXPECT_EQ(exit_status([] {}), 0);
  EXPECT_EQ(page->stops, 0U);
  expect_unmapped(h.unload(d));
}

TEST(process_end, ends_though_its_thread_reads_under_rcu) {
  // What is given up goes on while static objects go: a race, and the lesser evil.
  if (UFENCE_SANITIZED) GTEST_SKIP() << "a sanitizer tells of the race";
  const shared_page page;
  EXPECT_EQ(exit_status([&] {
              load_ends(function_host(), page.get());
              const rcu::read_section interrupted;
              std::exit(0);
            }),
            0);
  EXPECT_EQ(page->stops, 1U);
  EXPECT_EQ(page->stopped_too_late, 0U);
}

// As in a signal handler that has interrupted submit().
TEST(process_end, ends_though_its_thread_holds_the_lock_of_a_device) {
  // What is given up goes on while static objects go: a race, and the lesser evil.
  if (UFENCE_SANITIZED) GTEST_SKIP() << "a sanitizer tells of the race";
  const shared_page page;
  EXPECT_EQ(exit_status([&] {
              const device_ref d = load_ends(function_host(), page.get());
              d->internals().lock.lock_for_fork();  // nobody counts its rank
              std::exit(0);
            }),
            0);
  EXPECT_EQ(page->statics_gone, 2U);
}

std::size_t resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  }
  return 0;
}

TEST(process_end, costs_no_memory_for_each_reload) {
  if (UFENCE_SANITIZED) GTEST_SKIP() << "a sanitizer keeps what was freed";
  host h;
  std::size_t before = 0;
  for (int round = 0; round < 2'000; ++round) {
    const device_ref d = load_module(h, test_module("ends"));
    expect_unmapped(h.unload(d));
    if (round == 500) before = resident_kib();
  }
  // 32 bytes for each of 1,500 would be 48 KiB for one function alone.
  EXPECT_LE(resident_kib(), before + 40);
}

}  // namespace
}  // namespace ufence

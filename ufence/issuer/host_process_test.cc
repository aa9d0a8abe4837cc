// What needs a process of its own: fork(), modules that stay behind, calls that come too late.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <thread>

#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using testing::in_child;
using testing::kept_reports;
namespace ops = puppet;

TEST(host_process, a_child_of_fork_is_told_that_devices_are_not_its_own) {
  puppet_device p;
  const fence_ref pending = p.give(ops::hold);
  EXPECT_EQ(in_child([&] {
              UFENCE_CHILD_EXPECT(error_of(p.submit(ops::now)) == errno_code(EOWNERDEAD));
              UFENCE_CHILD_EXPECT(p.device->observe(pending) == errno_code(EOWNERDEAD));
              UFENCE_CHILD_EXPECT(error_of(p.at->unload(p.device)) == errno_code(EOWNERDEAD));
              UFENCE_CHILD_EXPECT(pending->wait(deadline_after(1)) == errno_code(EOWNERDEAD));
              // A host that goes in the child leaves the module alone, and tells nobody.
              const kept_reports reports;
              p.at.reset();
              UFENCE_CHILD_EXPECT(reports.all().empty());
              UFENCE_CHILD_EXPECT(p.board->stops == 0);
              return 0;
            }),
            0);
  // The parent's goes on.
  EXPECT_EQ(p.give(ops::finish_all)->status(), 1);
  EXPECT_EQ(pending->status(), 1);
  p.unload();
}

TEST(host_process, a_file_that_was_loaded_before_a_fork_is_the_parents) {
  host h;
  const device_ref d = load_module(h, test_module("minimal"));
  EXPECT_EQ(in_child([] {
              host own;
              std::string why;
              UFENCE_CHILD_EXPECT(error_of(own.load(test_module("minimal"), &why)) == errno_code(EEXIST));
              UFENCE_CHILD_EXPECT(why.contains("loaded before a fork()"));
              // Another file is the child's own, and its calls are watched there.
              const auto other = own.load(test_module("minimal_build_2"));
              UFENCE_CHILD_EXPECT(other);
              const auto done = own.unload(*other);
              UFENCE_CHILD_EXPECT(done && done->state == unload_state::unmapped);
              return 0;
            }),
            0);
  std::string why;
  EXPECT_EQ(error_of(h.load(test_module("minimal"), &why)), errno_code(EEXIST));
  EXPECT_FALSE(why.contains("fork()")) << why;
  expect_unmapped(h.unload(d));
}

// A child with mounts of its own; skipped where nobody may have some.
constexpr int may_not_mount = 77;

bool has_own_mounts() {
  const int user = ::geteuid() == 0 ? 0 : CLONE_NEWUSER;
  return ::unshare(CLONE_NEWNS | user) == 0 &&
         ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

TEST(host_process, a_file_system_that_is_mounted_noexec_is_named) {
  const scratch_folder folder;
  const std::string file = read_file(test_module("minimal"));
  const int ended = in_child([&] {
    if (!has_own_mounts()) return may_not_mount;
    UFENCE_CHILD_EXPECT(::mount("none", folder.path("").c_str(), "tmpfs", MS_NOEXEC, nullptr) == 0);
    host h;
    std::string why;
    const std::string path = folder.write("driver.so", file);
    UFENCE_CHILD_EXPECT(error_of(h.load(path, &why)) == errno_code(EPERM));
    UFENCE_CHILD_EXPECT(why.contains("mounted noexec"));
    // A copy in memory can be mapped.
    const auto copy = h.load(path, load_options{.private_copy = true});
    UFENCE_CHILD_EXPECT(copy && h.unload(*copy)->state == unload_state::unmapped);
    return 0;
  });
  if (ended == may_not_mount) GTEST_SKIP() << "no mounts of its own";
  EXPECT_EQ(ended, 0);
}

TEST(host_process, a_missing_proc_is_named) {
  const int ended = in_child([] {
    if (!has_own_mounts()) return may_not_mount;
    UFENCE_CHILD_EXPECT(::mount("none", "/proc", "tmpfs", 0, nullptr) == 0);
    host h;
    std::string why;
    UFENCE_CHILD_EXPECT(error_of(h.load(test_module("minimal"), &why)) == errno_code(ENOSYS));
    UFENCE_CHILD_EXPECT(why.contains("/proc is not mounted"));
    return 0;
  });
  if (ended == may_not_mount) GTEST_SKIP() << "no mounts of its own";
  EXPECT_EQ(ended, 0);
}

TEST(host_process, a_module_that_stays_pinned_is_reported_and_left_when_its_host_goes) {
  EXPECT_EQ(in_child([] {
              const kept_reports reports;
              puppet::board* board = nullptr;
              {
                puppet_device p;
                p.give(ops::linger);
                const unload_report pinned = p.try_unload();
                UFENCE_CHILD_EXPECT(pinned.state == unload_state::pinned);
                // Once more, by the host, with its default patience.
                board = p.board.release();
                p.at.reset();
              }
              UFENCE_CHILD_EXPECT(reports.count(report_kind::driver) == 1);
              const std::string text = reports.all()[0].text;
              UFENCE_CHILD_EXPECT(text.find("stays mapped") != std::string::npos);
              UFENCE_CHILD_EXPECT(text.find("thread lingerer") != std::string::npos);
              // Its code is still there, and its thread can end.
              board->let_go();
              UFENCE_CHILD_EXPECT(testing::eventually([&] { return board->blocked == 0; }));
              board->code();
              return 0;
            }),
            0);
}

TEST(host_process, a_call_into_an_unmapped_module_faults) {
  EXPECT_NE(in_child([] {
              puppet_device p;
              const auto code = p.board->code;
              code();  // still there
              if (p.unload().state != unload_state::unmapped) return 0;
              std::fprintf(stderr, "calling into an unmapped module, as the test wants\n");
              code();
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace ufence

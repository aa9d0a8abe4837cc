// What needs a process of its own: fork(), modules that stay behind, calls that come too late.
#include <gtest/gtest.h>

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

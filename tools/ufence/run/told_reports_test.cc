#include "tools/ufence/run/told_reports.h"

#include <gtest/gtest.h>

namespace ufence::tool {
namespace {

TEST(told_reports, say_each_line_once) {
  const report refused{.kind = report_kind::driver,
                       .context = 0,
                       .seqno = 0,
                       .driver_name = "uring",
                       .timeline_name = {},
                       .text = "io_uring is refused"};
  report dropped{.kind = report_kind::signaler_dropped,
                 .context = 7,
                 .seqno = 1,
                 .driver_name = "drv",
                 .timeline_name = "ring",
                 .text = "a signaler was dropped"};
  testing::internal::CaptureStderr();
  {
    const told_reports told;
    send_report(refused);
    send_report(dropped);
    send_report(refused);
    dropped.seqno = 2;
    send_report(dropped);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "ufence: driver: uring: io_uring is refused\n"
            "ufence: signaler dropped: fence 7:1 ring drv: a signaler was dropped\n"
            "ufence: signaler dropped: fence 7:2 ring drv: a signaler was dropped\n");
}

TEST(told_reports, leave_the_librarys_own_handler) {
  const report again{.kind = report_kind::driver,
                     .context = 0,
                     .seqno = 0,
                     .driver_name = "uring",
                     .timeline_name = {},
                     .text = "again"};
  testing::internal::CaptureStderr();
  { const told_reports told; }
  send_report(again);
  send_report(again);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "ufence: driver: uring: again\nufence: driver: uring: again\n");
}

}  // namespace
}  // namespace ufence::tool

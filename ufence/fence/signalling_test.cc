#include "ufence/fence/signalling.h"

#include <gtest/gtest.h>

#include <atomic>

#include "ufence/fence/report.h"
#include "ufence/fence/timeline.h"

namespace ufence {
namespace {

// Counts the reports of one kind while it lives.
class report_counter {
 public:
  explicit report_counter(report_kind kind) : kind_(kind) {
    EXPECT_FALSE(set_report_handler(
        [](const report& what, void* self) noexcept {
          auto& counter = *static_cast<report_counter*>(self);
          if (what.kind == counter.kind_) ++counter.count_;
        },
        this));
  }
  ~report_counter() { EXPECT_FALSE(set_report_handler(nullptr, nullptr)); }
  [[nodiscard]] int count() const { return count_; }

 private:
  const report_kind kind_;
  std::atomic<int> count_{0};
};

#if defined(UFENCE_DEBUG_CHECKS) && UFENCE_DEBUG_CHECKS
constexpr int reported = 1;
#else
constexpr int reported = 0;
#endif

TEST(signalling_section, reports_a_wait_inside_it_and_goes_on) {
  new_fence made = *fence::create(fence::allocate_contexts(1), 1);
  const report_counter reports(report_kind::signalling_path);
  {
    const signalling_section section;
    EXPECT_EQ(made.fence->wait(0), errno_code(ETIME));
  }
  EXPECT_EQ(reports.count(), reported);
  made.signal.signal();
}

TEST(signalling_section, reports_an_allocation_inside_it_and_goes_on) {
  timeline_issuer issuer = *timeline_issuer::create({.driver_name = "d", .timeline_name = "t"});
  const report_counter reports(report_kind::signalling_path);
  {
    const signalling_section section;
    EXPECT_TRUE(issuer.emit());
  }
  EXPECT_EQ(reports.count(), reported);
  issuer.signal_up_to(1);
}

TEST(signalling_section, nests_and_ends) {
  new_fence made = *fence::create(fence::allocate_contexts(1), 1);
  const report_counter reports(report_kind::signalling_path);
  {
    const signalling_section outer;
    { const signalling_section inner; }
    EXPECT_EQ(made.fence->wait(0), errno_code(ETIME));
  }
  EXPECT_EQ(reports.count(), reported);
  EXPECT_EQ(made.fence->wait(0), errno_code(ETIME));
  EXPECT_EQ(reports.count(), reported) << "outside of any section";
  made.signal.signal();
}

TEST(signalling_section, lets_a_thread_decide_and_look_and_settle_inside) {
  new_fence made = *fence::create(fence::allocate_contexts(1), 1);
  const report_counter reports(report_kind::signalling_path);
  {
    const signalling_section section;
    made.signal.signal(-EIO);
    EXPECT_EQ(made.fence->status(), -EIO);
    EXPECT_FALSE(made.fence->wait()) << "what is signaled is not waited for";
  }
  EXPECT_EQ(reports.count(), 0);
}

}  // namespace
}  // namespace ufence

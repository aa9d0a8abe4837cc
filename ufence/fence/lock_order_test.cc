#include "ufence/fence/lock_order.h"

#include <gtest/gtest.h>

#include <mutex>
#include <string>

#include "ufence/fence/fence.h"
#include "ufence/fence/signalling.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

#if UFENCE_DEBUG_CHECKS
constexpr int reported = 1;
#else
constexpr int reported = 0;
#endif

using watched_mutex = ordered_mutex<std::mutex>;

// Classes stay for the life of the process, so each test has its own.
TEST(lock_order, a_lock_of_the_signalling_section_that_is_held_over_a_wait_is_reported_once) {
  static lock_class jobs("jobs of the issuer");
  watched_mutex lock(jobs);
  new_fence made = make_fence();
  kept_reports reports;
  {
    const signalling_section section;
    const std::scoped_lock hold(lock);
  }
  EXPECT_EQ(reports.count(report_kind::lock_order), 0);
  for (int i = 0; i < 2; ++i) {
    const std::scoped_lock hold(lock);
    EXPECT_EQ(made.fence->wait(now_ns()), errno_code(ETIME));
  }
  ASSERT_EQ(reports.count(report_kind::lock_order), reported);
  if (reported != 0) {
    const std::string text = reports.all().back().text;
    EXPECT_NE(text.find("jobs of the issuer before the signalling section (at "), std::string::npos) << text;
    EXPECT_NE(text.find("the signalling section before jobs of the issuer (at "), std::string::npos) << text;
    EXPECT_NE(text.find("+0x"), std::string::npos) << text;
  }
  made.signal.signal();
}

TEST(lock_order, locks_of_issuers_and_consumers_in_a_circle_are_reported) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer reports the circle itself, and ends the test";
#endif
  static lock_class consumers("of the consumer"), issuers("of the issuer"), between("between");
  watched_mutex consumer(consumers), issuer(issuers), middle(between);
  kept_reports reports;
  const auto both = [](watched_mutex& first, watched_mutex& second) {
    const std::scoped_lock outer(first);
    const std::scoped_lock inner(second);
  };
  both(consumer, middle);
  both(middle, issuer);
  both(consumer, issuer);
  EXPECT_EQ(reports.count(report_kind::lock_order), 0);
  both(issuer, consumer);
  EXPECT_EQ(reports.count(report_kind::lock_order), reported);
}

TEST(lock_order, what_follows_no_order_is_not_reported) {
  static lock_class ones("one"), others("other");
  watched_mutex one(ones), other(others), another(ones);
  new_fence made = make_fence();
  kept_reports reports;
  {
    const std::scoped_lock hold(one);
    const std::scoped_lock second(another);  // of one class: not told apart
  }
  {
    const std::scoped_lock hold(one);
    const std::scoped_lock second(other);
  }
  {
    const std::scoped_lock hold(other);
    EXPECT_TRUE(one.try_lock());  // waits for nobody
    one.unlock();
    const signalling_section section;  // nor does this
  }
  {
    // Held over a wait, and never taken in a section.
    const std::scoped_lock hold(one);
    EXPECT_EQ(made.fence->wait(now_ns()), errno_code(ETIME));
  }
  EXPECT_EQ(reports.count(report_kind::lock_order), 0);
  made.signal.signal();
}

}  // namespace

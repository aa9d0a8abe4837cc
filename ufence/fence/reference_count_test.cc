// Counts of references that were lost.
#include "ufence/fence/reference_count.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"

namespace ufence::testing {
namespace {

constexpr counted_object thing{.text = "a thing", .context = 3, .seqno = 4};

int reports_of(const kept_reports& reports) {
  return reports.count(report_kind::references_saturated);
}

TEST(reference_count, the_last_one_is_told) {
  reference_count count;
  count.get(thing);
  EXPECT_FALSE(count.put(thing));
  EXPECT_TRUE(count.put(thing));
}

TEST(reference_count, regress_saturates_before_it_overflows_and_reports_it_once) {
  const kept_reports reports;
  reference_count count(0x7FFF'FFFF);
  count.get(thing);  // 2^31
  EXPECT_EQ(reports_of(reports), 0);
  count.get(thing);
  EXPECT_TRUE(eventually([&] { return reports_of(reports) == 1; }));
  const kept_reports::entry told = reports.all().front();
  EXPECT_EQ(told.text, "a thing");
  EXPECT_EQ(told.context, 3U);
  EXPECT_EQ(told.seqno, 4U);
  // Neither as many as were lost, nor more, end it.
  for (int i = 0; i < 10'000; ++i) EXPECT_FALSE(count.put(thing));
  for (int i = 0; i < 10'000; ++i) count.get(thing);
  for (int i = 0; i < 20'000; ++i) EXPECT_FALSE(count.put(thing));
  EXPECT_EQ(reports_of(reports), 1);
}

TEST(reference_count, a_saturated_one_stays_among_threads) {
  const kept_reports reports;
  reference_count count(0xC000'0000);
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 10'000; ++i) {
          EXPECT_FALSE(count.put(thing));
          if (i % 3 == 0) count.get(thing);
        }
      });
    }
  }
  EXPECT_EQ(reports_of(reports), 0) << "it was told when it began";
}

// The count of a fence is its second word: as if so many references to it had been lost.
void set_references(const fence_ref& f, std::uint32_t count) {
  reinterpret_cast<atomic<std::uint32_t>*>(f.get())[1].store(count, mo::relaxed);
}

TEST(reference_count, regress_a_fence_that_lost_2_to_the_31_references_is_never_freed) {
  const kept_reports reports;
  timeline_issuer issuer = make_timeline();
  const fence_ref f = issuer.emit().value();
  set_references(f, 0x8000'0000);
  {
    const fence_ref another = f;
    const atomic<fence*> slot{f.get()};
    const fence_ref through_slot = fence::get_rcu(slot);
    EXPECT_EQ(through_slot, f);
  }
  EXPECT_TRUE(eventually([&] { return reports_of(reports) == 1; }));
  EXPECT_EQ(reports.all().front().context, f->context());
  EXPECT_EQ(reports.all().front().seqno, f->seqno());
  for (int i = 0; i < 1000; ++i) fence_ref::adopt(f.get()).reset();  // more than there are
  issuer.signal_up_to(1);
  EXPECT_EQ(f->status(), 1);
  set_references(f, 1);  // so that this test leaks nothing
}

// The reports are told without any lock of the thread that found the count.
TEST(reference_count, is_reported_where_a_lock_is_held) {
  const kept_reports reports;
  mutex lock{lock_rank::leaf};
  reference_count count(0x8000'0000);
  {
    const scoped_lock hold(lock);
    count.get(thing);
  }
  EXPECT_TRUE(eventually([&] { return reports_of(reports) == 1; }));
}

}  // namespace
}  // namespace ufence::testing

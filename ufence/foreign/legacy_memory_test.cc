// The memory of legacy fences, which are larger than others.
#include <gtest/gtest.h>

#include <vector>

#include "ufence/fence/slab.h"
#include "ufence/fence/testing/memory_use.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"
#include "ufence/foreign/legacy.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

constexpr legacy_ops no_ops = {.lock = [](void*) noexcept {}, .unlock = [](void*) noexcept {}};

std::vector<fence_ref> make_signaled_legacy(timeline_issuer& issuer, std::size_t count) {
  std::vector<fence_ref> all;
  all.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    new_fence made = create_legacy_fence(issuer, no_ops, nullptr).value();
    made.signal.signal();
    all.push_back(std::move(made.fence));
  }
  return all;
}

}  // namespace

TEST(slab, counts_fences_of_all_kinds) {
  const std::size_t before = live_fences();
  timeline_issuer issuer = make_timeline();
  new_fence bare = make_fence();
  new_fence legacy = create_legacy_fence(issuer, no_ops, nullptr).value();
  fence_ref ordered = issuer.emit().value();
  EXPECT_EQ(live_fences(), before + 3);
  issuer.signal_up_to(2);
  ordered.reset();
  EXPECT_EQ(live_fences(), before + 2);
  bare.signal.signal();
  legacy.signal.signal();
  bare.fence.reset();
  legacy.fence.reset();
  EXPECT_EQ(live_fences(), before);
}

TEST(slab, memory_of_legacy_fences_goes_back) {
  timeline_issuer issuer = make_timeline();
  std::vector<fence_ref> all = make_signaled_legacy(issuer, many_fences() / 2);
  const pages_of pages(all);
  all.clear();
  EXPECT_LE(pages.resident_bytes(), stay_bytes_max) << "of " << pages.bytes();
}

TEST(slab, memory_of_both_sizes_that_went_back_is_used_again) {
  timeline_issuer issuer = make_timeline();
  std::size_t first_round = 0;
  for (int round = 0; round < 6; ++round) {
    {
      const std::vector<fence_ref> natives = make_signaled(many_fences() / 2);
      const std::vector<fence_ref> legacies = make_signaled_legacy(issuer, many_fences() / 4);
      for (const fence_ref& f : natives) ASSERT_EQ(f->status(), 1);
      for (const fence_ref& f : legacies) ASSERT_EQ(f->status(), 1);
    }
    if (round == 0) first_round = size_of_process().address_space_bytes;
  }
  // (Vectors that were freed may take some of it.)
  EXPECT_LE(size_of_process().address_space_bytes, first_round + many_fences() * sizeof(fence))
      << "that much in each of 5 more rounds";
}

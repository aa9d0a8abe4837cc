#include "ufence/container/unwrap.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ufence/container/array.h"
#include "ufence/container/container_test_support.h"
#include "ufence/fence/timeline.h"

namespace ufence {
namespace {

using fences = std::vector<fence_ref>;

// Signals what the test left pending.
struct issuer {
  std::vector<signaler> rights;
  ~issuer() {
    for (signaler& right : rights) right.signal();
  }
  fence_ref operator()(std::uint64_t context = fence::allocate_contexts(1),
                       std::uint64_t seqno = 1) {
    new_fence made = make_fence(context, seqno);
    rights.push_back(std::move(made.signal));
    return made.fence;
  }
};

std::vector<fence*> sorted(std::vector<fence*> list) {
  std::ranges::sort(list);
  return list;
}
std::vector<fence*> addresses(const fences& list) {
  std::vector<fence*> found;
  for (const fence_ref& f : list) found.push_back(f.get());
  return sorted(found);
}

TEST(dma_fence_unwrap, DU01_test_sanitycheck) {
  issuer make;
  const fence_ref f = make();
  EXPECT_EQ(leaves_of(*fence_array::create(fences{f})), std::vector{f.get()});
  EXPECT_EQ(leaves_of(f), std::vector{f.get()}) << "a leaf is its own";
  EXPECT_TRUE(leaves_of(nullptr).empty());
}

TEST(dma_fence_unwrap, DU02_test_unwrap_array) {
  issuer make;
  const fence_ref a = make(), b = make();
  EXPECT_EQ(leaves_of(*fence_array::create(fences{a, b})), (std::vector{a.get(), b.get()}));
}

TEST(dma_fence_unwrap, DU03_test_unwrap_chain) {
  issuer make;
  const fence_ref a = make(), b = make();
  const fence_ref chain = *fence_chain::create(a, b, 1);
  EXPECT_EQ(sorted(leaves_of(chain)), addresses({a, b}));
}

TEST(dma_fence_unwrap, DU04_test_unwrap_chain_array) {
  issuer make;
  const fence_ref a = make(), b = make();
  const fence_ref array = *fence_array::create(fences{a, b});
  EXPECT_EQ(sorted(leaves_of(*fence_chain::create(nullptr, array, 1))), addresses({a, b}));
}

TEST(dma_fence_unwrap, DU05_test_unwrap_merge) {
  issuer make;
  const fence_ref a = make(), b = make();
  EXPECT_EQ(sorted(leaves_of(*merge(fences{a, b}))), addresses({a, b}));
}

TEST(dma_fence_unwrap, DU06_test_unwrap_merge_duplicate) {
  issuer make;
  const fence_ref f = make();
  const fence_ref merged = *merge(fences{f, f});
  EXPECT_EQ(merged, f);
  EXPECT_EQ(leaves_of(merged), std::vector{f.get()});
}

TEST(dma_fence_unwrap, DU07_test_unwrap_merge_seqno) {
  issuer make;
  const std::uint64_t first = fence::allocate_contexts(1), second = fence::allocate_contexts(1);
  const fence_ref a = make(first, 1), later = make(first, 2), b = make(second, 1);
  EXPECT_EQ(leaves_of(*merge(fences{b, a, later})), (std::vector{later.get(), b.get()}))
      << "the later one of the first context, in the order of contexts";
}

TEST(dma_fence_unwrap, DU08_test_unwrap_merge_order) {
  issuer make;
  const std::uint64_t first = fence::allocate_contexts(1), second = fence::allocate_contexts(1);
  const fence_ref a1 = make(first, 1), a2 = make(second, 1);
  const fence_ref one = *fence_array::create(fences{a1, a2});
  const fence_ref other = *fence_array::create(fences{a2, a1});
  EXPECT_EQ(leaves_of(*merge(fences{one, other})), leaves_of(*merge(fences{other, one})));
  EXPECT_EQ(leaves_of(*merge(fences{one, other})), (std::vector{a1.get(), a2.get()}));
}

TEST(dma_fence_unwrap, DU09_test_unwrap_merge_complex) {
  issuer make;
  const fence_ref a = make(), b = make(), c = make(), d = make(), e = make();
  const fence_ref array = *fence_array::create(fences{a, b});
  const fence_ref chain = *fence_chain::create(nullptr, d, 1);
  const fence_ref merged = *merge(fences{c, chain});
  const fence_ref all = *merge(fences{array, merged, e, b});
  EXPECT_EQ(sorted(leaves_of(all)), addresses({a, b, c, d, e}));
}

TEST(dma_fence_unwrap, DU10_test_unwrap_merge_complex_seqno) {
  issuer make;
  const std::uint64_t x = fence::allocate_contexts(1), y = fence::allocate_contexts(1);
  const fence_ref x1 = make(x, 1), x3 = make(x, 3), y2 = make(y, 2), y5 = make(y, 5), z = make();
  const fence_ref array = *fence_array::create(fences{x3, y2});
  const fence_ref all = *merge(fences{x1, array, z, *merge(fences{y5, x1})});
  EXPECT_EQ(sorted(leaves_of(all)), addresses({x3, y5, z}));
}

TEST(merge, of_signaled_fences_is_signaled_with_the_newest_timestamp) {
  new_fence a = make_fence(), b = make_fence();
  a.signal.signal(-EIO);
  b.signal.signal();
  const fence_ref merged = *merge(fences{b.fence, a.fence});
  EXPECT_TRUE(merged->is_signaled());
  EXPECT_TRUE(merged->is_settled());
  EXPECT_EQ(merged->timestamp_ns(), b.fence->timestamp_ns());
  EXPECT_TRUE((*merge({}))->is_signaled()) << "nothing to wait for";
}

TEST(merge, leaves_out_what_is_signaled_and_null) {
  issuer make;
  new_fence done = make_fence();
  done.signal.signal();
  const fence_ref f = make();
  EXPECT_EQ(*merge(fences{done.fence, nullptr, f}), f);
}

TEST(merge, is_signaled_when_the_last_one_is) {
  new_fence a = make_fence(), b = make_fence();
  const fence_ref merged = *merge(fences{a.fence, b.fence});
  EXPECT_EQ(merged->seqno(), 1U);
  a.signal.signal();
  EXPECT_FALSE(merged->poll());
  b.signal.signal(-EIO);
  EXPECT_TRUE(merged->poll());
  EXPECT_EQ(merged->error(), -EIO);
}

TEST(merge, takes_more_fences_than_fit_on_the_stack) {
  issuer make;
  fences many;
  for (int i = 0; i < 1000; ++i) many.push_back(make());
  EXPECT_EQ(sorted(leaves_of(*merge(many))), addresses(many));
}

// Fences of an issuer that completes its work in any order.
struct unordered_pair {
  timeline_issuer line =
      *timeline_issuer::create({.driver_name = "any order", .timeline_name = "ring"});
  new_fence first = *line.create_unordered();
  new_fence second = *line.create_unordered();
};

TEST(merge, regress_keeps_what_an_issuer_completes_in_any_order) {
  unordered_pair of;
  const fence_ref merged = *merge(fences{of.first.fence, of.second.fence});
  EXPECT_EQ(sorted(leaves_of(merged)), addresses({of.first.fence, of.second.fence}));
  of.second.signal.signal();
  EXPECT_FALSE(merged->poll());
  of.first.signal.signal(-EIO);
  EXPECT_TRUE(merged->poll());
  EXPECT_EQ(merged->error(), -EIO);
}

// Two fences of a timeline, whose issuer may signal each of them alone.
struct timeline_pair {
  timeline_issuer line = *timeline_issuer::create({.timeline_name = "ring"});
  fence_ref first = *line.emit();
  fence_ref second = *line.emit();
  ~timeline_pair() { line.signal_up_to(2); }
};

TEST(merge, regress_waits_for_the_earlier_one_if_the_later_one_is_signaled_alone) {
  timeline_pair of;
  const fence_ref merged = *merge(fences{of.first, of.second});
  EXPECT_EQ(merged, of.second) << "the later one is enough";
  EXPECT_TRUE(of.line.signal(*of.second, -EIO));
  EXPECT_FALSE(merged->poll());
  of.line.signal_up_to(1);
  EXPECT_TRUE(merged->poll());
  EXPECT_EQ(merged->error(), -EIO);
}

TEST(merge, regress_keeps_the_earlier_one_if_the_later_one_was_signaled_alone) {
  timeline_pair of;
  EXPECT_TRUE(of.line.signal(*of.second));
  EXPECT_EQ(*merge(fences{of.first, of.second}), of.first);
}

TEST(dedup, regress_is_right_whenever_the_later_one_is_signaled_alone) {
  {
    timeline_pair of;
    fences list{of.first, of.second};
    ASSERT_EQ(dedup(list), 1U);
    EXPECT_EQ(list[0], of.second);
    EXPECT_TRUE(of.line.signal(*of.second));
    EXPECT_FALSE(list[0]->is_signaled());
    EXPECT_TRUE(of.line.signal(*of.first));
    EXPECT_TRUE(list[0]->is_signaled());
  }
  timeline_pair of;
  EXPECT_TRUE(of.line.signal(*of.second));
  fences list{of.second, of.first};
  ASSERT_EQ(dedup(list), 1U);
  EXPECT_EQ(list[0], of.first) << "the pending one";
}

TEST(dedup, regress_keeps_what_an_issuer_completes_in_any_order) {
  unordered_pair of;
  fences list{of.second.fence, of.first.fence, of.second.fence};
  ASSERT_EQ(dedup(list), 2U);
  EXPECT_EQ(list[0], of.first.fence);
  EXPECT_EQ(list[1], of.second.fence);
  of.first.signal.signal();
  of.second.signal.signal();
}

TEST(dedup, keeps_the_latest_of_each_context) {
  issuer make;
  const std::uint64_t x = fence::allocate_contexts(1), y = fence::allocate_contexts(1);
  fences list{make(y, 1), make(x, 1), make(x, 7), make(y, 3), make(x, 4)};
  const fence_ref x7 = list[2], y3 = list[3];
  ASSERT_EQ(dedup(list), 2U);
  EXPECT_EQ(list[0], x7);
  EXPECT_EQ(list[1], y3);
  EXPECT_FALSE(list[2] || list[3] || list[4]) << "the references of the others are dropped";
  EXPECT_EQ(dedup({}), 0U);
}

TEST(dedup, ignores_null_fences) {
  issuer make;
  const std::uint64_t x = fence::allocate_contexts(1), y = fence::allocate_contexts(1);
  fences list{nullptr, make(y, 1), nullptr, make(x, 2), make(x, 1), nullptr};
  const fence_ref y1 = list[1], x2 = list[3];
  ASSERT_EQ(dedup(list), 2U);
  EXPECT_EQ(list[0], x2);
  EXPECT_EQ(list[1], y1);
  EXPECT_FALSE(list[2] || list[3] || list[4] || list[5]);
  fences nulls(3);
  EXPECT_EQ(dedup(nulls), 0U);
}

TEST(error_origin, of_a_leaf_is_the_leaf_and_of_what_did_not_fail_nothing) {
  new_fence failed = make_fence(), pending = make_fence();
  failed.signal.signal(-EIO);
  EXPECT_EQ(error_origin(failed.fence), failed.fence);
  EXPECT_FALSE(error_origin(pending.fence));
  EXPECT_FALSE(error_origin(fence::stub()));
  EXPECT_FALSE(error_origin(nullptr));
  pending.signal.signal();
}

TEST(error_origin, is_found_through_an_array_of_chains_of_arrays) {
  std::vector<new_fence> made = make_fences(3);
  const fence_ref inner = *fence_array::create(fences{made[0].fence, made[1].fence});
  const fence_ref chain = *fence_chain::create(made[2].fence, inner, 1);
  made[1].signal.signal(-EIO);
  for (new_fence& f : made) f.signal.signal();
  ASSERT_TRUE(chain->poll());
  EXPECT_EQ(error_origin(chain), made[1].fence);
}

}  // namespace
}  // namespace ufence

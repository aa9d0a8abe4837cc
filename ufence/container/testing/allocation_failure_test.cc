// Each allocation fails once: -ENOMEM, and every argument is as it was and the caller's. Built with
// the sources of the layer and of those below, and the double of ufence/base/alloc.h.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "ufence/base/alloc.h"
#include "ufence/container/array.h"
#include "ufence/container/container_test_support.h"
#include "ufence/container/resv.h"
#include "ufence/fence/testing/fail_each.h"

using namespace ufence;
using ufence::testing::allocations;
using ufence::testing::fail_each;

namespace {

const std::error_code no_memory = errno_code(ENOMEM);

template <class T>
std::error_code error_of(const result<T>& r) {
  return r ? std::error_code() : r.error();
}

struct some_fences {
  std::vector<new_fence> made;
  std::vector<fence_ref> refs;

  explicit some_fences(std::size_t n) : made(make_fences(n)), refs(refs_of(made)) {}
  ~some_fences() { signal(); }
  void signal() { signal_all(made); }
  void expect_pending() const {
    for (std::size_t i = 0; i < made.size(); ++i) {
      EXPECT_EQ(refs[i], made[i].fence);
      EXPECT_EQ(refs[i]->status(), 0);
    }
  }
};

fence_ref nested_arrays(fence_ref f, int depth) {
  for (int i = 0; i < depth; ++i) f = *fence_array::create(std::array{f});
  return f;
}

TEST(container_allocation, an_array_takes_nothing_if_it_fails) {
  some_fences f(5);
  EXPECT_EQ(
      fail_each([&] { return error_of(fence_array::create(f.refs)); }, [&] { f.expect_pending(); }),
      1);
}

TEST(container_allocation, a_chain_node_takes_nothing_if_it_fails) {
  some_fences f(2);
  const fence_ref before = *fence_chain::create(nullptr, f.refs[0], 1);
  EXPECT_EQ(fail_each([&] { return error_of(fence_chain::create(before, f.refs[1], 2)); },
                      [&] { f.expect_pending(); }),
            1);
  EXPECT_EQ(leaves_of(before), (std::vector{f.refs[0].get()}));
}

TEST(container_allocation, what_takes_references_over_takes_none_if_it_fails) {
  some_fences f(2);
  std::vector<fence_ref> refs = f.refs;
  EXPECT_EQ(fail_each([&] { return error_of(fence_array::adopt(refs)); },
                      [&] { EXPECT_EQ(refs, f.refs); }),
            1);
  fence_ref before = f.refs[0];
  fence_ref contained = f.refs[1];
  EXPECT_EQ(
      fail_each(
          [&] { return error_of(fence_chain::create(std::move(before), std::move(contained), 2)); },
          [&] {
            EXPECT_EQ(before, f.refs[0]);
            EXPECT_EQ(contained, f.refs[1]);
          }),
      1);
}

TEST(container_allocation, a_merge_takes_nothing_if_it_fails) {
  some_fences f(100);
  std::vector<fence_ref> args = f.refs;
  args.push_back(nested_arrays(f.refs[0], 20));
  const std::vector<fence_ref> same = args;
  EXPECT_GE(fail_each([&] { return error_of(merge(args)); },
                      [&] {
                        EXPECT_EQ(args, same);
                        f.expect_pending();
                      }),
            4)
      << "the list of leaves, the depth of the walk, the array";
  const fence_ref merged = *merge(args);
  EXPECT_EQ(leaves_of(merged).size(), 100U);
}

TEST(container_allocation, a_walk_says_that_it_is_incomplete) {
  some_fences f(1);
  const fence_ref deep = nested_arrays(f.refs[0], 20);
  allocations::reset(1);
  leaves below(deep);
  EXPECT_EQ(below.next(), nullptr);
  EXPECT_TRUE(below.is_incomplete());
  allocations::reset();
}

// Eight levels need no memory for the depth. Each has 20 arrays, and each of those all of the level below.
TEST(container_allocation, a_walk_visits_everything_without_memory_for_what_it_has_visited) {
  some_fences f(20);
  std::vector<fence_ref> level = f.refs;
  for (int depth = 0; depth < 3; ++depth) {
    std::vector<fence_ref> above;
    for (std::size_t i = 0; i < level.size(); ++i) above.push_back(*fence_array::create(level));
    level = std::move(above);
  }
  const fence_ref top = *fence_array::create(level);
  EXPECT_EQ(leaves_of(top).size(), 400U) << "20 in each of the lowest arrays";
  allocations::reset(1);
  leaves below(top);
  std::set<fence*> met;
  while (fence* leaf = below.next()) met.insert(leaf);
  EXPECT_FALSE(below.is_incomplete());
  allocations::reset();
  EXPECT_EQ(met.size(), 20U);
}

TEST(container_allocation, a_reservation_that_fails_changes_nothing) {
  some_fences f(40);
  resv r;
  const auto reserve_again = [&] {
    EXPECT_FALSE(r.lock());
    const std::error_code failed = r.reserve(40);
    r.unlock();
    return failed;
  };
  ASSERT_FALSE(r.lock());
  ASSERT_FALSE(r.reserve(4));
  for (std::size_t i = 0; i < 4; ++i) ASSERT_FALSE(r.add(f.refs[i], resv_usage::read));
  r.unlock();
  EXPECT_EQ(fail_each(reserve_again,
                      [&] {
                        f.expect_pending();
                        EXPECT_EQ(r.get_fences(resv_usage::read)->size(), 4U);
                      }),
            1);
}

TEST(container_allocation, what_was_reserved_needs_no_memory) {
  some_fences f(6);
  resv r;
  ASSERT_FALSE(r.lock());
  ASSERT_FALSE(r.reserve(5));
  ASSERT_FALSE(r.add(f.refs[0], resv_usage::read));
  allocations::refuse_all = 1;
  EXPECT_EQ(r.reserve(1000), no_memory) << "it keeps what was reserved before";
  for (std::size_t i = 1; i < 5; ++i) EXPECT_FALSE(r.add(f.refs[i], resv_usage::read));
  EXPECT_EQ(r.add(f.refs[5], resv_usage::read), errno_code(ENOSPC));
  allocations::refuse_all = 0;
  r.unlock();
}

TEST(container_allocation, replacing_always_succeeds) {
  const std::uint64_t context = fence::allocate_contexts(1);
  std::vector<new_fence> old;
  for (std::uint64_t seqno = 4; seqno > 0; --seqno) old.push_back(make_fence(context, seqno));
  some_fences f(1);
  resv r;
  ASSERT_FALSE(r.lock());
  ASSERT_FALSE(r.reserve(4));  // all that the first list has room for
  for (new_fence& o : old) ASSERT_FALSE(r.add(o.fence, resv_usage::read));
  allocations::refuse_all = 1;
  EXPECT_FALSE(r.replace(context, f.refs[0], resv_usage::kernel));
  allocations::refuse_all = 0;
  resv_locked_cursor all(r, resv_usage::bookkeep);
  int seen = 0;
  while (fence* at = all.next()) {
    EXPECT_EQ(at, f.refs[0].get());
    EXPECT_EQ(all.usage(), resv_usage::kernel);
    ++seen;
  }
  EXPECT_EQ(seen, 4);
  r.unlock();
  for (new_fence& o : old) o.signal.signal();
}

TEST(container_allocation, a_copy_that_fails_changes_nothing) {
  some_fences f(10);
  resv source;
  resv r;
  const auto fill = [&](resv& to, std::size_t from, std::size_t end) {
    EXPECT_FALSE(to.lock());
    EXPECT_FALSE(to.reserve(10));
    for (std::size_t i = from; i < end; ++i) EXPECT_FALSE(to.add(f.refs[i], resv_usage::read));
    to.unlock();
  };
  fill(source, 0, 10);
  fill(r, 0, 1);
  const auto copy = [&] {
    EXPECT_FALSE(r.lock());
    const std::error_code failed = r.copy_from(source);
    r.unlock();
    return failed;
  };
  EXPECT_EQ(fail_each(copy, [&] { EXPECT_EQ(r.get_fences(resv_usage::read)->size(), 1U); }), 1);
  EXPECT_EQ(r.get_fences(resv_usage::read)->size(), 10U);
}

TEST(container_allocation, collecting_fences_takes_nothing_if_it_fails) {
  some_fences f(100);
  resv r;
  ASSERT_FALSE(r.lock());
  ASSERT_FALSE(r.reserve(100));
  for (const fence_ref& ref : f.refs) ASSERT_FALSE(r.add(ref, resv_usage::read));
  r.unlock();
  const auto all = resv_usage::read;
  EXPECT_EQ(fail_each([&] { return error_of(r.get_fences(all)); }), 2) << "64, then 128";
  EXPECT_EQ(fail_each([&] { return error_of(r.singleton(all)); }), 3) << "and the array";
}

TEST(container_allocation, looking_waiting_and_hinting_need_no_memory) {
  some_fences f(3);
  resv r;
  ASSERT_FALSE(r.lock());
  ASSERT_FALSE(r.reserve(3));
  for (const fence_ref& ref : f.refs) ASSERT_FALSE(r.add(ref, resv_usage::read));
  r.unlock();
  const fence_ref array = *fence_array::create(f.refs);
  allocations::reset();
  EXPECT_FALSE(r.test_signaled(resv_usage::read));
  EXPECT_EQ(r.wait(resv_usage::read, no_wait), errno_code(ETIME));
  r.set_deadline(resv_usage::read, INT64_C(1));
  array->set_deadline(INT64_C(1));
  EXPECT_FALSE(array->poll());
  EXPECT_EQ(array->wait(no_wait), errno_code(ETIME));
  f.signal();
  EXPECT_TRUE(array->is_signaled());
  EXPECT_TRUE(r.test_signaled(resv_usage::read));
  EXPECT_EQ(allocations::asked, 0);
}

}  // namespace

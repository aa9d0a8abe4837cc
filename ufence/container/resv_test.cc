#include "ufence/container/resv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/container_test_support.h"
#include "ufence/fence/timeline.h"
#include "ufence/rcu/rcu.h"

namespace ufence {
namespace {

constexpr std::array all_usages{resv_usage::kernel, resv_usage::write, resv_usage::read,
                                resv_usage::bookkeep};

// A fence for a test, signaled at the latest when that ends.
struct owned_fence : new_fence {
  explicit owned_fence(std::uint64_t context = fence::allocate_contexts(1), std::uint64_t seqno = 1)
      : new_fence(make_fence(context, seqno)) {}
  ~owned_fence() {
    if (signal) signal.signal();
  }
};

void reserve_and_add(resv& r, const fence_ref& f, resv_usage usage) {
  ASSERT_FALSE(r.lock());
  ASSERT_FALSE(r.reserve(1));
  ASSERT_FALSE(r.add(f, usage));
  r.unlock();
}

using seen_fences = std::vector<std::pair<fence*, resv_usage>>;

// What a locked look shows.
seen_fences locked_look(resv& r, resv_usage usage = resv_usage::bookkeep) {
  seen_fences seen;
  EXPECT_FALSE(r.lock());
  resv_locked_cursor all(r, usage);
  while (fence* f = all.next()) seen.emplace_back(f, all.usage());
  r.unlock();
  return seen;
}
seen_fences unlocked_look(const resv& r, resv_usage usage = resv_usage::bookkeep) {
  seen_fences seen;
  resv_unlocked_cursor all(r, usage);
  while (fence* f = all.next()) {
    if (all.is_restarted()) seen.clear();
    seen.emplace_back(f, all.usage());
  }
  return seen;
}
seen_fences rcu_look(const resv& r, resv_usage usage = resv_usage::bookkeep) {
  seen_fences seen;
  const rcu::read_section section;
  resv_rcu_cursor all(r, usage);
  while (fence* f = all.next()) seen.emplace_back(f, all.usage());
  return seen;
}

// --- The kernel's own cases, with each usage. ---

TEST(dma_resv, DR01_sanitycheck) {
  resv r;
  ASSERT_FALSE(r.lock());
  EXPECT_TRUE(r.was_locked());
  r.unlock();
  EXPECT_FALSE(r.was_locked());
}

TEST(dma_resv, DR02_test_signaling) {
  for (const resv_usage usage : all_usages) {
    owned_fence f;
    resv r;
    reserve_and_add(r, f.fence, usage);
    EXPECT_FALSE(r.test_signaled(usage));
    f.signal.signal();
    EXPECT_TRUE(r.test_signaled(usage));
  }
}

TEST(dma_resv, DR03_test_for_each) {
  for (const resv_usage usage : all_usages) {
    owned_fence f;
    resv r;
    reserve_and_add(r, f.fence, usage);
    ASSERT_FALSE(r.lock());
    resv_locked_cursor all(r, usage);
    EXPECT_EQ(all.next(), f.fence.get());
    EXPECT_EQ(all.usage(), usage);
    EXPECT_EQ(all.next(), nullptr);
    r.unlock();
  }
}

TEST(dma_resv, DR04_test_for_each_unlocked) {
  for (const resv_usage usage : all_usages) {
    owned_fence f;
    resv r;
    reserve_and_add(r, f.fence, usage);
    resv_unlocked_cursor all(r, usage);
    EXPECT_EQ(all.next(), f.fence.get());
    EXPECT_TRUE(all.is_restarted()) << "the first step";
    EXPECT_EQ(all.usage(), usage);

    ASSERT_FALSE(r.lock());
    ASSERT_FALSE(r.reserve(64)) << "a new list";
    r.unlock();
    EXPECT_EQ(all.next(), f.fence.get());
    EXPECT_TRUE(all.is_restarted());
    EXPECT_EQ(all.usage(), usage);
    EXPECT_EQ(all.next(), nullptr);
    EXPECT_FALSE(all.is_restarted());
  }
}

TEST(dma_resv, DR05_test_get_fences) {
  for (const resv_usage usage : all_usages) {
    owned_fence f;
    resv r;
    reserve_and_add(r, f.fence, usage);
    const result<fence_list> found = r.get_fences(usage);
    ASSERT_TRUE(found.has_value());
    ASSERT_EQ(found->size(), 1U);
    EXPECT_EQ((*found)[0], f.fence);
  }
}

// --- Usages ---

TEST(resv, shows_the_fences_up_to_a_usage) {
  std::array<owned_fence, 4> f;
  resv r;
  for (std::size_t i = 0; i < 4; ++i) reserve_and_add(r, f[i].fence, all_usages[i]);
  for (std::size_t up_to = 0; up_to < 4; ++up_to) {
    seen_fences expected;
    for (std::size_t i = 0; i <= up_to; ++i) {
      expected.emplace_back(f[i].fence.get(), all_usages[i]);
    }
    EXPECT_EQ(locked_look(r, all_usages[up_to]), expected);
    EXPECT_EQ(unlocked_look(r, all_usages[up_to]), expected);
    EXPECT_EQ(rcu_look(r, all_usages[up_to]), expected);
  }
}

TEST(resv, a_reader_waits_for_writers_and_a_writer_for_both) {
  EXPECT_EQ(usage_to_wait_for(false), resv_usage::write);
  EXPECT_EQ(usage_to_wait_for(true), resv_usage::read);
}

TEST(resv, unlocked_looks_leave_out_what_is_signaled_and_locked_ones_do_not) {
  owned_fence done;
  owned_fence open;
  resv r;
  reserve_and_add(r, done.fence, resv_usage::write);
  reserve_and_add(r, open.fence, resv_usage::write);
  done.signal.signal();
  EXPECT_EQ(locked_look(r).size(), 2U);
  const seen_fences pending{{open.fence.get(), resv_usage::write}};
  EXPECT_EQ(unlocked_look(r), pending);
  EXPECT_EQ(rcu_look(r), pending);
}

// --- Reserve, then add ---

TEST(resv, refuses_what_was_not_reserved) {
  owned_fence f;
  owned_fence g;
  resv r;
  ASSERT_FALSE(r.lock());
  EXPECT_EQ(r.add(f.fence, resv_usage::read), errno_code(ENOSPC)) << "never reserved";
  EXPECT_EQ(r.reserve(0), errno_code(EINVAL));
  ASSERT_FALSE(r.reserve(1));
  EXPECT_FALSE(r.add(f.fence, resv_usage::read));
  EXPECT_EQ(r.add(g.fence, resv_usage::read), errno_code(ENOSPC));
  ASSERT_FALSE(r.reserve(1));
  r.unlock();
  ASSERT_FALSE(r.lock());
  EXPECT_EQ(r.add(g.fence, resv_usage::read), errno_code(ENOSPC)) << "given back by unlock()";
  r.unlock();
  EXPECT_EQ(locked_look(r).size(), 1U);
}

TEST(resv, reserving_twice_is_reserving_the_larger_number) {
  std::array<owned_fence, 5> f;
  resv r;
  ASSERT_FALSE(r.lock());
  ASSERT_FALSE(r.reserve(4));
  ASSERT_FALSE(r.reserve(2));
  for (std::size_t i = 0; i < 4; ++i) EXPECT_FALSE(r.add(f[i].fence, resv_usage::read));
  EXPECT_EQ(r.add(f[4].fence, resv_usage::read), errno_code(ENOSPC));
  r.unlock();
}

TEST(resv, refuses_null_containers_and_unknown_usages) {
  owned_fence f;
  const fence_ref array = *fence_array::create(std::vector{f.fence});
  const fence_ref chain = *fence_chain::create(nullptr, f.fence, 1);
  resv r;
  ASSERT_FALSE(r.lock());
  ASSERT_FALSE(r.reserve(1));
  EXPECT_EQ(r.add(nullptr, resv_usage::read), errno_code(EINVAL));
  EXPECT_EQ(r.add(array, resv_usage::read), errno_code(EINVAL));
  EXPECT_EQ(r.add(chain, resv_usage::read), errno_code(EINVAL));
  EXPECT_EQ(r.add(f.fence, static_cast<resv_usage>(4)), errno_code(EINVAL));
  EXPECT_EQ(r.replace(f.fence->context(), array, resv_usage::read), errno_code(EINVAL));
  EXPECT_FALSE(r.add(f.fence, resv_usage::read)) << "the place is still reserved";
  r.unlock();
}

TEST(resv, a_fence_takes_the_place_of_an_earlier_one_of_its_context) {
  const std::uint64_t context = fence::allocate_contexts(1);
  owned_fence first(context, 1);
  owned_fence second(context, 2);
  resv r;
  reserve_and_add(r, first.fence, resv_usage::read);
  reserve_and_add(r, second.fence, resv_usage::write);
  EXPECT_EQ(locked_look(r), (seen_fences{{second.fence.get(), resv_usage::write}}));
}

TEST(resv, a_fence_keeps_its_place_from_one_of_a_later_usage_or_an_earlier_seqno) {
  const std::uint64_t context = fence::allocate_contexts(1);
  owned_fence first(context, 1);
  owned_fence second(context, 2);
  owned_fence third(context, 3);
  resv r;
  reserve_and_add(r, second.fence, resv_usage::write);
  reserve_and_add(r, third.fence, resv_usage::read);    // readers do not wait for it
  reserve_and_add(r, first.fence, resv_usage::kernel);  // earlier
  EXPECT_EQ(locked_look(r).size(), 3U);
}

TEST(resv, regress_keeps_what_an_issuer_completes_in_any_order) {
  timeline_issuer line =
      *timeline_issuer::create({.driver_name = "any order", .timeline_name = "ring"});
  new_fence first = *line.create_unordered();
  new_fence second = *line.create_unordered();
  resv r;
  reserve_and_add(r, first.fence, resv_usage::write);
  reserve_and_add(r, second.fence, resv_usage::write);
  second.signal.signal();
  EXPECT_FALSE(r.test_signaled(resv_usage::write));
  EXPECT_EQ(unlocked_look(r), (seen_fences{{first.fence.get(), resv_usage::write}}));
  EXPECT_EQ(r.wait(resv_usage::write, no_wait), errno_code(ETIME));
  first.signal.signal();
  EXPECT_TRUE(r.test_signaled(resv_usage::write));
}

TEST(resv, regress_waits_for_an_earlier_one_if_the_later_one_is_signaled_alone) {
  timeline_issuer line = *timeline_issuer::create({.timeline_name = "ring"});
  const fence_ref first = *line.emit();
  const fence_ref second = *line.emit();
  const fence_ref third = *line.emit();
  resv r;
  reserve_and_add(r, first, resv_usage::write);
  reserve_and_add(r, second, resv_usage::write);
  EXPECT_EQ(locked_look(r), (seen_fences{{second.get(), resv_usage::write}}));
  EXPECT_TRUE(line.signal(*second));
  EXPECT_FALSE(r.test_signaled(resv_usage::write));
  line.signal_up_to(1);
  EXPECT_TRUE(r.test_signaled(resv_usage::write));

  // Signaled alone before it is added.
  const fence_ref fourth = *line.emit();
  reserve_and_add(r, third, resv_usage::write);
  EXPECT_TRUE(line.signal(*fourth));
  reserve_and_add(r, fourth, resv_usage::write);
  EXPECT_FALSE(r.test_signaled(resv_usage::write));
  EXPECT_EQ(unlocked_look(r), (seen_fences{{third.get(), resv_usage::write}}));
  line.signal_up_to(4);
  EXPECT_TRUE(r.test_signaled(resv_usage::write));
}

TEST(resv, a_fence_that_is_there_already_is_not_added_again) {
  owned_fence f;
  resv r;
  for (int i = 0; i < 10; ++i) reserve_and_add(r, f.fence, resv_usage::read);
  EXPECT_EQ(locked_look(r), (seen_fences{{f.fence.get(), resv_usage::read}}));
  reserve_and_add(r, f.fence, resv_usage::write);
  EXPECT_EQ(locked_look(r), (seen_fences{{f.fence.get(), resv_usage::write}}));
}

TEST(resv, keeps_what_is_pending_when_it_grows_and_drops_what_is_signaled) {
  std::vector<owned_fence> f(40);
  resv r;
  for (std::size_t i = 0; i < f.size(); ++i) {
    reserve_and_add(r, f[i].fence, resv_usage::read);
    if (i % 4 != 0) f[i].signal.signal();
  }
  ASSERT_FALSE(r.lock());
  ASSERT_FALSE(r.reserve(1000));
  r.unlock();
  seen_fences pending;
  for (std::size_t i = 0; i < f.size(); i += 4) {
    pending.emplace_back(f[i].fence.get(), resv_usage::read);
  }
  EXPECT_EQ(locked_look(r), pending);
}

TEST(resv, its_references_go_with_it) {
  new_fence f = make_fence();
  fence* raw = f.fence.get();
  {
    resv r;
    reserve_and_add(r, f.fence, resv_usage::read);
    f.fence.reset();
    EXPECT_EQ(raw->status(), 0) << "alive";
    f.signal.signal();
    EXPECT_EQ(raw->status(), 1);
  }
  // What is left is found by the check for leaks.
}

// --- Replace ---

TEST(resv, replaces_all_fences_of_a_context_and_no_others) {
  const std::uint64_t context = fence::allocate_contexts(1);
  owned_fence preempt_1(context, 1);
  owned_fence preempt_2(context, 2);
  owned_fence other;
  owned_fence update;
  resv r;
  reserve_and_add(r, preempt_1.fence, resv_usage::write);
  reserve_and_add(r, preempt_2.fence, resv_usage::bookkeep);
  reserve_and_add(r, other.fence, resv_usage::read);
  ASSERT_FALSE(r.lock());
  EXPECT_FALSE(r.replace(context, update.fence, resv_usage::kernel));
  EXPECT_FALSE(r.replace(fence::allocate_contexts(1), preempt_1.fence, resv_usage::kernel))
      << "a context that is not there";
  r.unlock();
  EXPECT_EQ(locked_look(r), (seen_fences{{other.fence.get(), resv_usage::read},
                                         {update.fence.get(), resv_usage::kernel}}));
}

TEST(resv, replacing_takes_nothing_of_what_is_reserved) {
  owned_fence old;
  owned_fence update;
  std::array<owned_fence, 4> more;
  resv r;
  ASSERT_FALSE(r.lock());
  ASSERT_FALSE(r.reserve(1));
  ASSERT_FALSE(r.add(old.fence, resv_usage::read));
  ASSERT_FALSE(r.reserve(3));  // all that the list has room for
  EXPECT_FALSE(r.replace(old.fence->context(), update.fence, resv_usage::read));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_FALSE(r.add(more[i].fence, resv_usage::read));
  EXPECT_EQ(r.add(more[3].fence, resv_usage::read), errno_code(ENOSPC));
  r.unlock();
  EXPECT_EQ(locked_look(r).size(), 4U);
}

// --- Copy, collect ---

TEST(resv, copies_what_is_pending_in_place_of_its_own) {
  std::array<owned_fence, 6> f;
  owned_fence old;
  resv source;
  resv r;
  reserve_and_add(r, old.fence, resv_usage::read);
  for (std::size_t i = 0; i < f.size(); ++i) reserve_and_add(source, f[i].fence, all_usages[i % 4]);
  f[1].signal.signal();
  ASSERT_FALSE(r.lock());
  EXPECT_FALSE(r.copy_from(source));
  EXPECT_EQ(r.add(old.fence, resv_usage::read), errno_code(ENOSPC));
  r.unlock();
  EXPECT_EQ(locked_look(r), unlocked_look(source));
  EXPECT_EQ(locked_look(r).size(), 5U);

  resv empty;
  ASSERT_FALSE(r.lock());
  EXPECT_FALSE(r.copy_from(empty));
  r.unlock();
  EXPECT_TRUE(locked_look(r).empty());
}

TEST(resv, singleton_is_nothing_the_fence_or_an_array) {
  owned_fence f;
  owned_fence g;
  resv r;
  EXPECT_EQ(*r.singleton(resv_usage::bookkeep), nullptr);
  reserve_and_add(r, f.fence, resv_usage::write);
  EXPECT_EQ(*r.singleton(resv_usage::write), f.fence);
  reserve_and_add(r, g.fence, resv_usage::read);
  EXPECT_EQ(*r.singleton(resv_usage::write), f.fence);
  const fence_ref both = *r.singleton(resv_usage::read);
  ASSERT_NE(fence_array::from(*both), nullptr);
  EXPECT_EQ(leaves_of(both), (std::vector{f.fence.get(), g.fence.get()}));
  f.signal.signal();
  EXPECT_EQ(*r.singleton(resv_usage::read), g.fence);
}

// --- Waiting and hints ---

TEST(resv, waits_for_the_fences_up_to_a_usage) {
  owned_fence f;
  owned_fence g;
  resv r;
  EXPECT_FALSE(r.wait(resv_usage::bookkeep, no_wait)) << "none";
  reserve_and_add(r, f.fence, resv_usage::write);
  reserve_and_add(r, g.fence, resv_usage::bookkeep);
  EXPECT_EQ(r.wait(resv_usage::read, no_wait), errno_code(ETIME));
  EXPECT_FALSE(r.wait(resv_usage::kernel, no_wait));
  std::future<std::error_code> waiter =
      std::async(std::launch::async, [&] { return r.wait(resv_usage::read); });
  f.signal.signal();
  EXPECT_FALSE(waiter.get());
  EXPECT_EQ(r.wait(resv_usage::bookkeep, no_wait), errno_code(ETIME));
}

TEST(resv, hints_deadlines_to_the_fences_up_to_a_usage) {
  struct data : backend {
    std::int64_t deadline_ns = 0;
  };
  static const backend_ops ops{.set_deadline = [](backend* b, std::int64_t deadline_ns) noexcept {
    static_cast<data*>(b)->deadline_ns = deadline_ns;
  }};
  std::array<data, 2> issuers{data{{&ops}}, data{{&ops}}};
  std::array<new_fence, 2> f;
  resv r;
  for (std::size_t i = 0; i < 2; ++i) {
    f[i] = *fence::create(fence::allocate_contexts(1), 1, &issuers[i]);
    reserve_and_add(r, f[i].fence, i == 0 ? resv_usage::read : resv_usage::bookkeep);
  }
  r.set_deadline(resv_usage::read, INT64_C(77));
  EXPECT_EQ(issuers[0].deadline_ns, 77);
  EXPECT_EQ(issuers[1].deadline_ns, 0);
  for (new_fence& made : f) made.signal.signal();
}

TEST(resv, looking_calls_no_op) {
  static int calls = 0;
  calls = 0;
  static const backend_ops ops{.enable_signaling = [](backend*) noexcept { return ++calls; },
                               .poll = [](backend*) noexcept { return ++calls; }};
  backend issuer{&ops};
  new_fence f = *fence::create(fence::allocate_contexts(1), 1, &issuer);
  resv r;
  reserve_and_add(r, f.fence, resv_usage::read);
  EXPECT_FALSE(r.test_signaled(resv_usage::read));
  EXPECT_EQ(unlocked_look(r).size(), 1U);
  EXPECT_EQ(r.get_fences(resv_usage::read)->size(), 1U);
  EXPECT_EQ(calls, 0);
  f.signal.signal();
}

TEST(resv, describes_its_fences) {
  owned_fence f(fence::allocate_contexts(1), 5);
  owned_fence g(fence::allocate_contexts(1), 6);
  resv r;
  reserve_and_add(r, f.fence, resv_usage::kernel);
  reserve_and_add(r, g.fence, resv_usage::bookkeep);
  EXPECT_EQ(r.describe(), "\tkernel fence:" + f.fence->describe() + "\n");
  g.signal.signal();
  EXPECT_EQ(
      r.describe(resv_usage::bookkeep),
      "\tkernel fence:" + f.fence->describe() + "\n\tbookkeep fence:" + g.fence->describe() + "\n");
  EXPECT_EQ(resv().describe(), "");
}

// --- Cursors against changes ---

TEST(resv, an_unlocked_cursor_sees_what_is_added_behind_it) {
  std::array<owned_fence, 3> f;
  resv r;
  reserve_and_add(r, f[0].fence, resv_usage::read);
  resv_unlocked_cursor all(r, resv_usage::read);
  EXPECT_EQ(all.next(), f[0].fence.get());
  reserve_and_add(r, f[1].fence, resv_usage::read);
  EXPECT_EQ(all.next(), f[1].fence.get());
  EXPECT_FALSE(all.is_restarted());
  f[2].signal.signal();
  reserve_and_add(r, f[2].fence, resv_usage::read);
  EXPECT_EQ(all.next(), nullptr) << "signaled";
  all.restart();
  EXPECT_EQ(all.next(), f[0].fence.get());
  EXPECT_TRUE(all.is_restarted());
}

TEST(resv, a_cursor_that_misses_a_replaced_fence_finds_what_stands_for_it) {
  const std::uint64_t context = fence::allocate_contexts(1);
  owned_fence other;
  owned_fence old(context, 1);
  owned_fence young(context, 2);
  resv r;
  reserve_and_add(r, other.fence, resv_usage::read);
  reserve_and_add(r, old.fence, resv_usage::read);
  resv_unlocked_cursor unlocked(r, resv_usage::read);
  const rcu::read_section section;
  resv_rcu_cursor under_rcu(r, resv_usage::read);
  EXPECT_EQ(unlocked.next(), other.fence.get());
  EXPECT_EQ(under_rcu.next(), other.fence.get());
  ASSERT_FALSE(r.lock());
  // There is room: what blocks for a grace period must not be called in a read section.
  ASSERT_FALSE(r.reserve(1));
  ASSERT_FALSE(r.add(young.fence, resv_usage::read));
  r.unlock();
  EXPECT_EQ(unlocked.next(), young.fence.get());
  EXPECT_EQ(unlocked.next(), nullptr);
  EXPECT_EQ(under_rcu.next(), young.fence.get());
  EXPECT_EQ(under_rcu.next(), nullptr);
}

}  // namespace
}  // namespace ufence

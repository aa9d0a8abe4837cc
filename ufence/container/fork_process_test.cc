// F18: fork() beside containers, and containers in the child.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/slab.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"
#include "ufence/rcu/rcu.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

// Takes the slabs' lock each time, as the drop of a last reference may: large slots have no cache
// of their thread.
void use_slabs() {
  for (int i = 0; i < 100; ++i) {
    fence* const slot = detail::slab_allocate(detail::slot_size::large);
    ASSERT_NE(slot, nullptr);
    detail::slab_free(*slot, detail::slot_size::large);
  }
}

}  // namespace

// A grace period waits for the reader, the reader for a lock, fork() for the grace period: fork()
// must not have the lock yet.
TEST(F18_fork, regress_readers_that_drop_and_makers_of_containers_do_not_stop_it) {
  std::atomic<bool> stop = false;
  std::vector<std::jthread> threads;
  threads.emplace_back([&] {
    while (!stop) {
      const rcu::read_section section;
      use_slabs();
    }
  });
  threads.emplace_back([&] {
    const fence_ref inside = fence::stub();
    while (!stop) {
      for (int i = 0; i < 64; ++i) EXPECT_TRUE(fence_array::create(std::array{inside}));
      rcu::flush_deferred();
    }
  });
  const stress_clock clock(0.5);
  for (int forks = 0; forks < 100 || clock.runs(); ++forks) {
    ASSERT_EQ(in_child([] { return 0; }), 0);
  }
  stop = true;
}

// What the child makes of fences that only its parent could signal ends with that.
TEST(F18_fork, regress_containers_of_a_child_end_where_inherited_fences_can_not) {
  new_fence inherited = make_fence();
  const int child = in_child([&] {
    new_fence done = make_fence();
    done.signal.signal();
    const std::array both{done.fence, inherited.fence};
    const fence_ref all = *fence_array::create(both);
    UFENCE_CHILD_EXPECT(all->wait() == no_error);
    UFENCE_CHILD_EXPECT(all->status() == -EOWNERDEAD);

    const fence_ref none = *fence_array::create(std::array{inherited.fence}, array_mode::any);
    UFENCE_CHILD_EXPECT(none->wait() == no_error);
    UFENCE_CHILD_EXPECT(none->status() == -EOWNERDEAD);

    new_fence other = make_fence();
    const fence_ref any =
        *fence_array::create(std::array{inherited.fence, other.fence}, array_mode::any);
    any->enable_signaling();
    UFENCE_CHILD_EXPECT(any->status() == 0);
    other.signal.signal();
    UFENCE_CHILD_EXPECT(any->status() == 1);

    const fence_ref first = *fence_chain::create(nullptr, inherited.fence, 1);
    const fence_ref second = *fence_chain::create(first, done.fence, 2);
    UFENCE_CHILD_EXPECT(second->wait() == no_error);
    UFENCE_CHILD_EXPECT(second->status() == -EOWNERDEAD);

    // Not before what can be waited for.
    new_fence last = make_fence();
    const fence_ref third = *fence_chain::create(first, last.fence, 3);
    third->enable_signaling();
    UFENCE_CHILD_EXPECT(third->status() == 0);
    last.signal.signal();
    UFENCE_CHILD_EXPECT(third->status() == -EOWNERDEAD);
    return 0;
  });
  EXPECT_EQ(child, 0);
  inherited.signal.signal();
}

TEST(F18_fork, inherited_chains_answer_from_what_is_in_memory) {
  new_fence failed = make_fence();
  new_fence pending = make_fence();
  const fence_ref first = *fence_chain::create(nullptr, failed.fence, 1);
  const fence_ref second = *fence_chain::create(first, pending.fence, 2);
  failed.signal.signal(-EIO);
  EXPECT_EQ(fence_chain::walk(*second), nullptr);  // unlinks the first
  const int child = in_child([&] {
    UFENCE_CHILD_EXPECT(second->wait() == errno_code(EOWNERDEAD));
    UFENCE_CHILD_EXPECT(fence_chain::walk(*second) == nullptr);
    UFENCE_CHILD_EXPECT(fence_chain::from(*second)->first_failed() == failed.fence);
    fence_ref at = second;
    UFENCE_CHILD_EXPECT(fence_chain::find_seqno(at, 2) == no_error && at == second);
    UFENCE_CHILD_EXPECT(fence_chain::find_seqno(at, 1) == no_error && at == nullptr);
    return 0;
  });
  EXPECT_EQ(child, 0);
  pending.signal.signal();
}

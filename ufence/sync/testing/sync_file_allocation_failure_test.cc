// Each allocation of sync files and software timelines fails once: -ENOMEM, and all is as it was.
// Built with the sources of the layers and the double of ufence/base/alloc.h.
#include <gtest/gtest.h>

#include <functional>

#include "ufence/base/alloc.h"
#include "ufence/fence/slab.h"
#include "ufence/rcu/rcu.h"
#include "ufence/sync/reactor.h"
#include "ufence/sync/sw_sync.h"
#include "ufence/sync/sync_test_support.h"

namespace ufence::testing {
namespace {

// Calls `attempt`, which undoes what it did, with its first allocation failing, then its second,
// ... until it is not hit any more. Returns how many failed.
int fail_each(const std::function<std::error_code()>& attempt) {
  for (int nth = 1;; ++nth) {
    detail::reap_hung_up();
    rcu::flush_deferred();
    const long blocks = allocations::living;
    allocations::reset(nth);
    const std::error_code failed = attempt();
    const bool was_hit = allocations::asked >= nth;
    allocations::reset();
    if (!was_hit) {
      EXPECT_EQ(failed, no_error);
      return nth - 1;
    }
    EXPECT_EQ(failed, errno_code(ENOMEM)) << "allocation " << nth;
    EXPECT_TRUE(eventually([&] {
      detail::reap_hung_up();
      rcu::flush_deferred();
      return allocations::living == blocks;
    })) << "allocation "
        << nth;
    if (nth > 20) return nth;
  }
}

template <class T>
std::error_code error_of(const result<T>& r) {
  return r ? no_error : r.error();
}

TEST(sync_file_allocation_failure, of_create_makes_nothing) {
  new_fence f = make_fence();
  EXPECT_EQ(fail_each([&] { return error_of(sync_file_create(f.fence)); }), 1);
  f.signal.signal();
}

TEST(sync_file_allocation_failure, of_merge_makes_nothing) {
  new_fence a = make_fence();
  new_fence b = make_fence();
  const unique_fd first = sync_file_create(a.fence).value();
  const unique_fd second = sync_file_create(b.fence).value();
  EXPECT_EQ(fail_each([&] { return error_of(sync_file_merge(first.get(), second.get())); }), 2);
  a.signal.signal();
  b.signal.signal();
  EXPECT_TRUE(becomes_readable(first.get()));
}

TEST(sync_file_allocation_failure, of_info_changes_nothing) {
  new_fence f = make_fence();
  const unique_fd file = sync_file_create(f.fence).value();
  EXPECT_EQ(fail_each([&] {
              ::sync_file_info info{};
              return sync_file_get_info(file.get(), info);
            }),
            1);
  EXPECT_EQ(info_of(file.get()).leaves.size(), 1U);
  f.signal.signal();
}

TEST(sync_file_allocation_failure, of_a_software_timeline_and_its_fences) {
  EXPECT_EQ(fail_each([] { return error_of(sw_sync::create("none")); }), 1);
  sw_sync line = sw_sync::create("some").value();
  EXPECT_EQ(fail_each([&] { return error_of(line.create_fence(5)); }), 1);
  const fence_ref f = line.create_fence(5).value();
  EXPECT_EQ(fail_each([&] { return error_of(line.create_fence(5)); }), 0);
  line.increment(5);
  EXPECT_EQ(f->status(), 1);
}

}  // namespace
}  // namespace ufence::testing

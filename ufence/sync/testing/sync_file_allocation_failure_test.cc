// Each allocation of sync files and software timelines fails once: -ENOMEM, and all is as it was.
// Built with the sources of the layers and the double of ufence/base/alloc.h.
#include <gtest/gtest.h>

#include <functional>

#include "ufence/base/alloc.h"
#include "ufence/fence/testing/fail_each.h"
#include "ufence/io/reactor.h"
#include "ufence/sync/sw_sync.h"
#include "ufence/sync/sync_test_support.h"

namespace ufence::testing {
namespace {

int fail_each_of(const std::function<std::error_code()>& attempt) {
  return fail_each(
      attempt, [] {}, [] { detail::the_reactor.reap_closed(); });
}

template <class T>
std::error_code error_of(const result<T>& r) {
  return r ? no_error : r.error();
}

TEST(sync_file_allocation_failure, of_create_makes_nothing) {
  new_fence f = make_fence();
  EXPECT_EQ(fail_each_of([&] { return error_of(sync_file_create(f.fence)); }), 1);
  f.signal.signal();
}

TEST(sync_file_allocation_failure, of_merge_makes_nothing) {
  new_fence a = make_fence();
  new_fence b = make_fence();
  const unique_fd first = sync_file_create(a.fence).value();
  const unique_fd second = sync_file_create(b.fence).value();
  EXPECT_EQ(fail_each_of([&] { return error_of(sync_file_merge(first.get(), second.get())); }), 2);
  a.signal.signal();
  b.signal.signal();
  EXPECT_TRUE(becomes_readable(first.get()));
}

TEST(sync_file_allocation_failure, of_info_changes_nothing) {
  new_fence f = make_fence();
  const unique_fd file = sync_file_create(f.fence).value();
  EXPECT_EQ(fail_each_of([&] {
              ::sync_file_info info{};
              return sync_file_get_info(file.get(), info);
            }),
            1);
  EXPECT_EQ(info_of(file.get()).leaves.size(), 1U);
  f.signal.signal();
}

TEST(sync_file_allocation_failure, of_a_software_timeline_and_its_fences) {
  EXPECT_EQ(fail_each_of([] { return error_of(sw_sync::create("none")); }), 1);
  sw_sync line = sw_sync::create("some").value();
  EXPECT_EQ(fail_each_of([&] { return error_of(line.create_fence(5)); }), 1);
  const fence_ref f = line.create_fence(5).value();
  EXPECT_EQ(fail_each_of([&] { return error_of(line.create_fence(5)); }), 0);
  line.increment(5);
  EXPECT_EQ(f->status(), 1);
}

}  // namespace
}  // namespace ufence::testing

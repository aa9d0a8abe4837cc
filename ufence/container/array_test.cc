#include "ufence/container/array.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <thread>

#include "ufence/container/container_test_support.h"

namespace ufence {
namespace {

fence_ref array_of(const std::vector<new_fence>& made, array_mode mode = array_mode::all) {
  return *fence_array::create(refs_of(made), mode);
}

TEST(fence_array, is_signaled_exactly_with_its_last_child) {
  std::vector<new_fence> made = make_fences(3);
  const fence_ref array = array_of(made);
  array->enable_signaling();
  made[2].signal.signal();
  made[0].signal.signal();
  EXPECT_FALSE(array->is_signaled());
  made[1].signal.signal();
  EXPECT_TRUE(array->is_signaled());
  EXPECT_EQ(array->status(), 1);
}

TEST(fence_array, any_is_signaled_exactly_with_its_first_child) {
  std::vector<new_fence> made = make_fences(3);
  const fence_ref array = array_of(made, array_mode::any);
  array->enable_signaling();
  EXPECT_FALSE(array->is_signaled());
  made[1].signal.signal(-EIO);
  EXPECT_TRUE(array->is_signaled());
  EXPECT_EQ(array->error(), -EIO);
  EXPECT_EQ(error_origin(array), made[1].fence);
  made[0].signal.signal(-ETIME);
  made[2].signal.signal();
  EXPECT_EQ(array->error(), -EIO) << "the result does not change";
}

TEST(fence_array, any_ignores_errors_of_later_children) {
  std::vector<new_fence> made = make_fences(2);
  const fence_ref array = array_of(made, array_mode::any);
  array->enable_signaling();
  made[1].signal.signal();
  made[0].signal.signal(-EIO);
  EXPECT_EQ(array->status(), 1);
}

TEST(fence_array, has_the_first_error_that_occurred) {
  std::vector<new_fence> made = make_fences(3);
  const fence_ref array = array_of(made);
  array->enable_signaling();
  made[2].signal.signal(-ETIME);
  made[0].signal.signal(-EIO);
  EXPECT_FALSE(array->is_signaled()) << "an error does not end the wait for the others";
  made[1].signal.signal();
  EXPECT_EQ(array->error(), -ETIME);
  EXPECT_EQ(error_origin(array), made[2].fence);
}

TEST(fence_array, a_polled_array_keeps_its_childrens_errors) {
  std::vector<new_fence> made = make_fences(2);
  const fence_ref array = array_of(made);
  for (new_fence& f : made) f.signal.signal(-EIO);
  EXPECT_FALSE(array->is_signaled()) << "looking calls nothing";
  EXPECT_TRUE(array->poll());
  EXPECT_EQ(array->error(), -EIO);
}

TEST(fence_array, of_signaled_fences_is_signaled_when_it_is_enabled) {
  std::vector<new_fence> made = make_fences(2);
  made[0].signal.signal();
  made[1].signal.signal(-EIO);
  const fence_ref array = array_of(made);
  EXPECT_FALSE(array->wait(no_wait));
  EXPECT_EQ(array->error(), -EIO);
}

TEST(fence_array, errors_and_their_origin_pass_through_nested_arrays) {
  std::vector<new_fence> made = make_fences(3);
  const fence_ref inner = *fence_array::create(std::vector{made[0].fence, made[1].fence});
  const fence_ref middle = *fence_array::create(std::vector{inner});
  const fence_ref outer = *fence_array::create(std::vector{made[2].fence, middle});
  outer->enable_signaling();
  made[1].signal.signal(-ENODATA);
  made[2].signal.signal();
  EXPECT_FALSE(outer->is_signaled());
  made[0].signal.signal();
  EXPECT_EQ(outer->error(), -ENODATA);
  EXPECT_EQ(error_origin(outer), made[1].fence);
}

TEST(fence_array, is_enabled_at_most_once_and_enables_its_children) {
  struct data : backend {
    int enabled = 0;
  };
  static const backend_ops ops{.enable_signaling = [](backend* b) noexcept {
    ++static_cast<data*>(b)->enabled;
    return 0;
  }};
  data issuer{{&ops}};
  new_fence made = *fence::create(fence::allocate_contexts(1), 1, &issuer);
  const fence_ref inner = *fence_array::create(std::vector{made.fence});
  const fence_ref outer = *fence_array::create(std::vector{inner, inner});
  EXPECT_EQ(issuer.enabled, 0);
  outer->enable_signaling();
  outer->enable_signaling();
  EXPECT_EQ(issuer.enabled, 1);
  made.signal.signal();
  EXPECT_TRUE(outer->is_signaled());
}

TEST(fence_array, a_child_that_completes_while_it_is_enabled_counts_once) {
  static const backend_ops ops{.enable_signaling = [](backend*) noexcept { return -EIO; }};
  backend issuer{&ops};
  new_fence now = *fence::create(fence::allocate_contexts(1), 1, &issuer);
  new_fence later = make_fence();
  const fence_ref array = *fence_array::create(std::vector{now.fence, later.fence});
  array->enable_signaling();
  EXPECT_TRUE(now.fence->is_signaled());
  EXPECT_FALSE(array->is_signaled());
  later.signal.signal();
  EXPECT_EQ(array->error(), -EIO);
}

TEST(fence_array, identity_and_children_stay_after_signal) {
  std::vector<new_fence> made = make_fences(2);
  const fence_ref array = array_of(made);
  array->enable_signaling();
  for (new_fence& f : made) f.signal.signal();
  ASSERT_TRUE(array->is_signaled());
  fence_array* same = fence_array::from(*array);
  ASSERT_NE(same, nullptr);
  EXPECT_EQ(same->size(), 2U);
  EXPECT_EQ(&same->child(1), made[1].fence.get());
  EXPECT_EQ(array->driver_name(), "dma_fence_array");
  EXPECT_EQ(array->timeline_name(), "unbound");
  EXPECT_EQ(fence_array::from(*made[0].fence), nullptr);
}

TEST(fence_array, refuses_no_fences_and_null_ones) {
  EXPECT_EQ(fence_array::create({}).error(), errno_code(EINVAL));
  new_fence made = make_fence();
  EXPECT_EQ(fence_array::create(std::vector<fence_ref>{made.fence, nullptr}).error(),
            errno_code(EINVAL));
  made.signal.signal();
}

TEST(fence_array, takes_over_the_references_that_it_adopts) {
  std::vector<new_fence> made = make_fences(3);
  std::vector<fence*> fences;
  std::vector<fence_ref> refs;
  for (new_fence& f : made) {
    fences.push_back(f.fence.get());
    refs.push_back(std::move(f.fence));
  }
  const fence_ref array = *fence_array::adopt(refs);
  EXPECT_EQ(refs, std::vector<fence_ref>(3));
  ASSERT_EQ(fence_array::from(*array)->size(), 3U);
  for (std::uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(&fence_array::from(*array)->child(i), fences[i]);
  }
  array->enable_signaling();
  for (new_fence& f : made) f.signal.signal();
  // Its children are there as long as it is.
  EXPECT_EQ(array->status(), 1);
  for (fence* f : fences) EXPECT_EQ(f->status(), 1);
}

TEST(fence_array, leaves_the_references_that_it_refuses_to_adopt) {
  new_fence made = make_fence();
  std::array<fence_ref, 2> refs{made.fence, nullptr};
  EXPECT_EQ(fence_array::adopt(refs).error(), errno_code(EINVAL));
  EXPECT_EQ(refs[0], made.fence);
  EXPECT_EQ(fence_array::adopt({}).error(), errno_code(EINVAL));
  made.signal.signal();
}

TEST(fence_array, released_while_pending_leaves_its_children) {
  std::vector<new_fence> made = make_fences(2);
  array_of(made).reset();
  fence_ref array = array_of(made);
  array->enable_signaling();
  array.reset();
  for (new_fence& f : made) EXPECT_TRUE(f.signal.signal());
}

TEST(fence_array, nested_4096_deep_is_enabled_signaled_and_released_on_a_small_stack) {
  on_small_stack([] {
    new_fence made = make_fence();
    fence_ref top = made.fence;
    for (int i = 0; i < 4096; ++i) top = *fence_array::create(std::vector{top});
    int runs = 0;
    callback_registration registration([&](fence& f) { runs += f.error() == -EIO ? 1 : 100; });
    ASSERT_FALSE(registration.add(top));
    EXPECT_EQ(leaves_of(top), std::vector{made.fence.get()});
    made.signal.signal(-EIO);
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(error_origin(top), made.fence);
    registration.remove();
    top.reset();
  });
}

TEST(fence_array, nested_4096_deep_is_polled_on_a_small_stack) {
  on_small_stack([] {
    new_fence made = make_fence();
    fence_ref top = made.fence;
    for (int i = 0; i < 4096; ++i) top = *fence_array::create(std::vector{top});
    EXPECT_FALSE(top->poll());
    made.signal.signal();
    EXPECT_TRUE(top->poll());
  });
}

// Children signaled by two threads while a third enables: exactly one completion.
TEST(fence_array, enabling_races_with_children_that_signal) {
  for (int round = 0; round < 2000; ++round) {
    std::vector<new_fence> made = make_fences(4);
    const fence_ref array = array_of(made, round % 2 == 0 ? array_mode::all : array_mode::any);
    std::atomic<int> runs{0};
    std::thread other([&] {
      made[0].signal.signal();
      made[1].signal.signal(-EIO);
    });
    callback_registration registration([&](fence&) { ++runs; });
    const std::error_code refused = registration.add(array);
    made[2].signal.signal();
    made[3].signal.signal();
    other.join();
    ASSERT_TRUE(array->is_signaled());
    ASSERT_EQ(runs, refused ? 0 : 1);
    if (array->error() != 0) {
      ASSERT_EQ(error_origin(array), made[1].fence);
    }
  }
}

}  // namespace
}  // namespace ufence

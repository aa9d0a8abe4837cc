// Containers that share children: whatever walks over them costs what is there, not what paths there are.
// A test that visits paths does not end within the test's time.
#include "ufence/container/visited.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/container/container_test_support.h"
#include "ufence/container/resv.h"

namespace ufence {
namespace {

constexpr int levels = 60;  // 2^60 paths

// A leaf whose issuer counts what it is asked.
struct counted_leaf : backend {
  counted_leaf() : backend{&ops}, made(make()) {}
  ~counted_leaf() { made.signal.signal(); }
  counted_leaf(const counted_leaf&) = delete;
  counted_leaf& operator=(const counted_leaf&) = delete;

  int enables = 0;
  int polls = 0;
  int deadlines = 0;
  bool is_complete = false;
  new_fence made;

 private:
  new_fence make() { return *fence::create(fence::allocate_contexts(1), 1, this); }
  static counted_leaf& self(backend* b) { return *static_cast<counted_leaf*>(b); }
  static int enable(backend* b) noexcept {
    ++self(b).enables;
    return 0;
  }
  static int poll(backend* b) noexcept {
    ++self(b).polls;
    return self(b).is_complete ? 1 : 0;
  }
  static void hint(backend* b, std::int64_t) noexcept { ++self(b).deadlines; }
  static constexpr backend_ops ops{.enable_signaling = &counted_leaf::enable,
                                   .poll = &counted_leaf::poll,
                                   .set_deadline = &counted_leaf::hint};
};

using two_of = fence_ref (*)(const fence_ref&);

fence_ref array_of_two(const fence_ref& f) { return *fence_array::create(std::array{f, f}); }
fence_ref any_of_two(const fence_ref& f) {
  return *fence_array::create(std::array{f, f}, array_mode::any);
}
fence_ref chain_of_two(const fence_ref& f) { return *fence_chain::create(f, f, 1); }
fence_ref mixed(const fence_ref& f) { return *fence_chain::create(f, array_of_two(f), 1); }

fence_ref nested(fence_ref f, two_of make) {
  for (int i = 0; i < levels; ++i) f = make(f);
  return f;
}

class shared_children : public ::testing::TestWithParam<two_of> {};

TEST_P(shared_children, regress_are_visited_once) {
  counted_leaf leaf;
  const fence_ref top = nested(leaf.made.fence, GetParam());
  const std::size_t told = leaves_of(top).size();
  EXPECT_GE(told, 1U);
  EXPECT_LE(told, 3U) << "as often as it is in the lowest container";

  EXPECT_FALSE(top->poll());
  EXPECT_LE(leaf.polls, 3);
  EXPECT_EQ(leaf.enables, 1);
  top->set_deadline(INT64_C(1));
  EXPECT_GE(leaf.deadlines, 1);
  EXPECT_LE(leaf.deadlines, 3);
  EXPECT_FALSE(top->describe().empty());
  EXPECT_EQ(top->wait(no_wait), errno_code(ETIME));

  const fence_ref other = nested(leaf.made.fence, &array_of_two);
  EXPECT_EQ(*merge(std::array{top, top, other}), leaf.made.fence);

  leaf.is_complete = true;
  EXPECT_TRUE(top->poll());
  EXPECT_EQ(top->status(), 1);
  EXPECT_TRUE(other->poll());
}

TEST_P(shared_children, regress_end_with_an_error_that_has_its_origin) {
  counted_leaf leaf;
  const fence_ref top = nested(leaf.made.fence, GetParam());
  leaf.made.signal.signal(-EIO);
  EXPECT_TRUE(top->poll());
  EXPECT_EQ(error_origin(top), leaf.made.fence);
}

INSTANTIATE_TEST_SUITE_P(container, shared_children,
                         ::testing::Values(&array_of_two, &any_of_two, &chain_of_two, &mixed));

TEST(shared_chain, regress_of_which_all_nodes_are_in_an_array_is_walked_once) {
  constexpr std::size_t points = 3000;
  const chain_of_fences chain(points);
  EXPECT_EQ(leaves_of(*fence_array::create(chain.points)).size(), points);
  std::vector<fence_ref> backwards(chain.points.rbegin(), chain.points.rend());
  EXPECT_EQ(leaves_of(*fence_array::create(backwards)).size(), points);
  EXPECT_EQ(leaves_of(*merge(chain.points)).size(), points);
}

TEST(shared_array, regress_that_is_given_many_times_is_merged_once) {
  constexpr std::size_t many = 3000;
  std::vector<new_fence> made = make_fences(many);
  const fence_ref array = *fence_array::create(refs_of(made));
  const std::vector<fence_ref> same(many, array);
  EXPECT_EQ(leaves_of(*merge(same)).size(), many);
  EXPECT_EQ(leaves_of(*fence_array::create(same)).size(), many);
  signal_all(made);
}

TEST(visited_containers, are_entered_once_if_others_have_references) {
  std::vector<new_fence> made = make_fences(1000);
  detail::visited_containers visited;
  for (const new_fence& f : made) {
    EXPECT_TRUE(visited.enter(*f.fence, 2)) << "its two references, fence and signaler";
    EXPECT_TRUE(visited.enter(*f.fence, 2)) << "no other path leads there, so nothing was noted";
    EXPECT_TRUE(visited.enter(*f.fence, 1));
    EXPECT_FALSE(visited.enter(*f.fence, 1));
  }
  for (const new_fence& f : made) EXPECT_FALSE(visited.enter(*f.fence, 1));
  signal_all(made);
}

}  // namespace
}  // namespace ufence

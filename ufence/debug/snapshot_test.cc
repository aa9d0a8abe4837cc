#include "ufence/debug/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ufence::debug {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

node fence_node(std::uint64_t context, cause why = cause::none) {
  return {.why = why, .context = context, .seqno = 1, .type = "plain fence", .state = "pending"};
}

node thread_node(std::int64_t id, std::int64_t age_ns) {
  return {.kind = node_kind::thread, .id = id, .state = "until something is signaled",
          .age_ns = age_ns};
}

edge waits(std::uint32_t from, std::uint32_t to) { return {.from = from, .to = to, .how = {}}; }
edge perhaps(std::uint32_t from, std::uint32_t to) {
  return {.from = from, .to = to, .is_guess = true, .how = {}};
}

// 0 thread -> 1 array -> 2, 3; 4 another thread -> 3
snapshot tree() {
  snapshot s;
  s.nodes = {thread_node(7, 5'000'000'000), fence_node(10), fence_node(20, cause::never_signaled),
             fence_node(30, cause::lost_notification), thread_node(8, 9'000'000'000)};
  s.edges = {waits(0, 1), waits(1, 2), waits(1, 3), waits(4, 3)};
  find_causes(s);
  return s;
}

TEST(roots_of, are_what_waits_for_nothing) {
  const snapshot s = tree();
  EXPECT_THAT(roots_of(s, 0), UnorderedElementsAre(2, 3));
  EXPECT_THAT(roots_of(s, 4), ElementsAre(3));
  EXPECT_THAT(roots_of(s, 2), ElementsAre(2));
  EXPECT_TRUE(s.circles.empty());
}

TEST(roots_of, one_of_each_circle_and_what_is_behind_it) {
  snapshot s;
  s.nodes = {thread_node(7, 1), fence_node(10), fence_node(20), fence_node(30)};
  s.edges = {waits(0, 1), waits(1, 2), waits(2, 1), waits(2, 3)};
  find_causes(s);
  ASSERT_EQ(s.circles.size(), 1U);
  EXPECT_THAT(s.circles[0], UnorderedElementsAre(1, 2));
  EXPECT_EQ(s.nodes[1].why, cause::circle);
  EXPECT_EQ(s.nodes[3].why, cause::none);
  EXPECT_THAT(roots_of(s, 0), UnorderedElementsAre(1, 3));
  EXPECT_THAT(explain(s, 0), HasSubstr("a circle: 10:1 plain fence -> 20:1 plain fence -> the first"));
}

TEST(find_causes, takes_no_guess_where_something_is_sure) {
  snapshot s;
  s.nodes = {fence_node(10), fence_node(20, cause::never_signaled), fence_node(30)};
  s.edges = {waits(0, 1), perhaps(0, 2), perhaps(2, 0)};
  find_causes(s);
  EXPECT_EQ(s.edges.size(), 2U);
  EXPECT_TRUE(s.circles.empty());
}

TEST(find_causes, a_guess_makes_a_circle_that_is_told_as_one) {
  snapshot s;
  s.nodes = {fence_node(10), fence_node(20)};
  s.edges = {waits(0, 1), perhaps(1, 0)};
  find_causes(s);
  EXPECT_THAT(explain(s, 0), HasSubstr("perhaps a circle: "));
}

TEST(find_causes, a_node_may_wait_for_itself) {
  snapshot s;
  s.nodes = {fence_node(10)};
  s.edges = {waits(0, 0)};
  find_causes(s);
  EXPECT_EQ(s.circles.size(), 1U);
  EXPECT_THAT(roots_of(s, 0), ElementsAre(0));
}

TEST(find_causes, drops_edges_that_lead_nowhere) {
  snapshot s;
  s.nodes = {fence_node(10)};
  s.edges = {waits(0, 5), waits(9, 0)};
  find_causes(s);
  EXPECT_TRUE(s.edges.empty());
}

TEST(find_causes, long_chains_need_no_stack) {
  constexpr std::uint32_t length = 200'000;
  snapshot s;
  for (std::uint32_t n = 0; n < length; ++n) s.nodes.push_back(fence_node(n + 1));
  for (std::uint32_t n = 0; n + 1 < length; ++n) s.edges.push_back(waits(n, n + 1));
  find_causes(s);
  EXPECT_TRUE(s.circles.empty());
  EXPECT_THAT(roots_of(s, 0), ElementsAre(length - 1));
  s.edges.push_back(waits(length - 1, 0));
  find_causes(s);
  ASSERT_EQ(s.circles.size(), 1U);
  EXPECT_EQ(s.circles[0].size(), length);
}

TEST(explain, tells_the_root_first_or_the_waiter) {
  const snapshot s = tree();
  const std::string up = explain(s, 4);
  EXPECT_THAT(up, HasSubstr("30:1 plain fence, pending: the device has completed it"));
  EXPECT_LT(up.find("30:1"), up.find("  <- thread 8"));
  EXPECT_THAT(up, HasSubstr("  <- 10:1 plain fence, pending\n    <- thread 7"));
  const std::string down = explain(s, 0, {.from_root = false});
  EXPECT_THAT(down, HasSubstr("  -> 10:1 plain fence, pending\n    -> 20:1"));
}

TEST(explain, stops_at_a_depth) {
  const snapshot s = tree();
  const std::string shallow = explain(s, 0, {.from_root = false, .depth_max = 1});
  EXPECT_THAT(shallow, HasSubstr("10:1"));
  EXPECT_THAT(shallow, HasSubstr("... 2 more"));
  EXPECT_THAT(shallow, Not(HasSubstr("20:1")));
}

TEST(waiters_in, are_threads_by_age_and_then_what_no_thread_is_above) {
  snapshot s = tree();
  s.nodes.push_back(fence_node(40));  // 5: with a callback
  s.nodes.back().callbacks = {"program"};
  s.nodes.push_back(fence_node(50));  // 6: nobody waits for it
  find_causes(s);
  EXPECT_THAT(waiters_in(s), ElementsAre(4, 0, 5));
}

TEST(to_json, escapes_names_of_strangers) {
  snapshot s;
  s.program = "a\"b\\c\n\x01\xff\xc3\xa4\xed\xa0\x80";
  EXPECT_THAT(to_json(s), HasSubstr("\"program\":\"a\\\"b\\\\c\\u000a\\u0001\\ufffd\xc3\xa4"
                                    "\\ufffd\\ufffd\\ufffd\""));
}

TEST(cause, each_has_a_name_of_its_own) {
  for (int i = 0; i <= static_cast<int>(cause::not_submitted); ++i) {
    EXPECT_FALSE(name_of(static_cast<cause>(i)).empty());
    for (int j = 0; j < i; ++j) {
      EXPECT_NE(name_of(static_cast<cause>(i)), name_of(static_cast<cause>(j)));
    }
  }
  EXPECT_EQ(name_of(cause::circle), "circle");
  EXPECT_EQ(name_of(cause::not_pushed), "not_pushed");
}

}  // namespace
}  // namespace ufence::debug

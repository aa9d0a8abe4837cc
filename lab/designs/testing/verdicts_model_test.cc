// The verdicts that the lab must come to: designs with a known fault are caught, those without are
// not accused, and of each barrier of flag-last some hazard shows what it is for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "lab/designs/model/run.h"

namespace ufence::lab {
namespace {

// A short one; what does not end is searched on, but not for ever.
settings quickly() {
  settings with;
  with.seconds = 1;
  return with;
}

finding run(std::string_view id, std::string_view name, settings with = quickly()) {
  const hazard* h = find_hazard(id);
  const candidate c = find_candidate(name);
  EXPECT_NE(h, nullptr) << id;
  EXPECT_NE(c.of, nullptr) << name;
  return h != nullptr && c.of != nullptr ? run_hazard(*h, c, with) : finding{};
}

void expect_verdict(std::string_view id, const candidate& c, std::string_view expected) {
  SCOPED_TRACE(std::string(id) + " of " + c.name());
  const finding f = run(id, c.name());
  EXPECT_EQ(to_string(f.result), expected) << f.explored;
  if (f.result == verdict::safe || f.result == verdict::not_applicable) return;
  // The trace that is shown repeats it.
  settings again;
  again.replay = f.explored.trace;
  const finding repeated = run(id, c.name(), again);
  EXPECT_EQ(repeated.result, f.result) << repeated.explored;
  EXPECT_FALSE(repeated.explored.steps.empty());
}

// One word for each column: kernel-7.0, kernel-7.1, kernel-7.1-fixed, flag-last, locked-callbacks,
// unlocked-callbacks, grace-period, ufence.
void expect_row(std::string_view id, const std::string& words) {
  std::istringstream expected(words);
  for (const design* d : all_designs()) {
    std::string word;
    ASSERT_TRUE(expected >> word) << "no verdict for " << d->name;
    expect_verdict(id, {d, 0}, word);
  }
}

TEST(designs, are_in_their_order) {
  std::vector<std::string_view> names;
  for (const design* d : all_designs()) names.push_back(d->name);
  EXPECT_THAT(names, testing::ElementsAre("kernel-7.0", "kernel-7.1", "kernel-7.1-fixed",
                                          "flag-last", "locked-callbacks", "unlocked-callbacks",
                                          "grace-period", "ufence"));
}
TEST(designs, are_found_by_name) {
  EXPECT_EQ(find_candidate("kernel-7.1-fixed").name(), "kernel-7.1-fixed");
  EXPECT_EQ(find_candidate("flag-last-B14").without, 14U);
  for (const char* none : {"", "flag", "flag-last-B0", "flag-last-B15", "flag-last-B",
                           "kernel-7.1-B1", "flag-last-B1x", "ufence "}) {
    EXPECT_EQ(find_candidate(none).of, nullptr) << none;
  }
}
TEST(hazards, are_those_of_the_dispute) {
  std::vector<std::string_view> ids;
  for (const hazard& h : all_hazards()) ids.push_back(h.id);
  EXPECT_THAT(ids, testing::ElementsAre("R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10",
                                        "R11", "R12", "R14", "R17", "R18", "R21", "R22", "Q3", "Q6",
                                        "Q10", "Q11", "Q12", "Q15", "Q18", "Q22"));
}

TEST(verdicts, names_vs_detach) {
  expect_row("R1", "use-after-free null-call safe safe safe safe safe safe");
}
TEST(verdicts, identity_after_detach) {
  expect_row("R2",
             "safe wrong-result wrong-result wrong-result wrong-result wrong-result wrong-result "
             "safe");
}
TEST(verdicts, op_vs_destructor) {
  expect_row("R3",
             "use-after-free use-after-free use-after-free safe safe use-after-free safe safe");
}
TEST(verdicts, signaled_before_callbacks) {
  expect_row("R4",
             "use-after-free use-after-free use-after-free safe use-after-free use-after-free "
             "use-after-free safe");
}
TEST(verdicts, polling_while_callbacks_run) {
  expect_row("R5",
             "wrong-result wrong-result wrong-result safe wrong-result wrong-result wrong-result "
             "safe");
}
TEST(verdicts, set_deadline_vs_signal) {
  expect_row("R6",
             "use-after-free use-after-free use-after-free safe deadlock use-after-free safe safe");
}
TEST(verdicts, external_lock_vs_last_reference) {
  expect_row("R7",
             "use-after-free use-after-free use-after-free use-after-free use-after-free "
             "use-after-free use-after-free safe");
}
TEST(verdicts, enable_vs_final_put) {
  expect_row("R8",
             "use-after-free use-after-free use-after-free use-after-free use-after-free "
             "use-after-free use-after-free safe");
}
TEST(verdicts, timestamp_window) {
  expect_row("R9", "data-race data-race data-race safe data-race data-race data-race safe");
}
TEST(verdicts, double_signal) {
  expect_row("R10",
             "wrong-result wrong-result wrong-result wrong-result wrong-result wrong-result "
             "wrong-result safe");
}
TEST(verdicts, lock_inversion) {
  expect_row("R11", "deadlock deadlock deadlock deadlock deadlock safe deadlock safe");
}
TEST(verdicts, lock_of_a_fence_that_goes) {
  expect_row("R12",
             "use-after-free use-after-free use-after-free use-after-free use-after-free "
             "use-after-free use-after-free safe");
}
TEST(verdicts, lost_reference) {
  expect_row("R14",
             "use-after-free use-after-free use-after-free use-after-free use-after-free "
             "use-after-free use-after-free use-after-free");
}
TEST(verdicts, array_enable_vs_signaled) {
  for (const char* name : {"kernel-7.1-fixed", "flag-last", "ufence"}) {
    expect_verdict("R17", find_candidate(name), "safe");
  }
}
TEST(verdicts, scheduler_deadline) {
  expect_row("R18",
             "wrong-result wrong-result wrong-result safe wrong-result wrong-result wrong-result "
             "safe");
}
TEST(verdicts, unlocked_iteration) { expect_row("R21", "safe safe safe safe safe safe safe safe"); }
TEST(verdicts, syncobj_wait_vs_install) {
  expect_row("R22", "safe safe safe safe safe safe safe safe");
}
TEST(verdicts, done_means_readable) {
  expect_row("Q3",
             "wrong-result wrong-result wrong-result safe wrong-result wrong-result wrong-result "
             "safe");
}
TEST(verdicts, no_op_after_signal) {
  expect_row("Q6", "wrong-result wrong-result wrong-result safe safe wrong-result safe safe");
}
TEST(verdicts, signal_under_the_drivers_lock) {
  expect_row("Q10",
             "use-after-free use-after-free use-after-free safe deadlock use-after-free safe safe");
}
TEST(verdicts, reentrancy) {
  expect_row("Q11", "deadlock deadlock deadlock deadlock deadlock deadlock deadlock safe");
}
TEST(verdicts, one_winner) { expect_row("Q12", "safe safe safe safe safe safe safe safe"); }
TEST(verdicts, enable_without_lock) {
  expect_row("Q15", "deadlock deadlock deadlock deadlock deadlock use-after-free deadlock safe");
}
TEST(verdicts, plain_pending_list) {
  expect_row("Q18", "deadlock deadlock deadlock deadlock deadlock use-after-free deadlock safe");
}
TEST(verdicts, destructor_exactly_once) {
  expect_row("Q22",
             "use-after-free use-after-free use-after-free wrong-result wrong-result "
             "use-after-free wrong-result safe");
}

TEST(barriers, of_flag_last_are_each_needed) {
  const struct {
    unsigned barrier;
    const char* hazard;
    const char* verdict;
  } needed[] = {
      {1, "Q3", "wrong-result"},   {2, "Q3", "wrong-result"},   {3, "Q12", "data-race"},
      {4, "R22", "lost-wakeup"},   {5, "R3", "use-after-free"}, {6, "R1", "null-call"},
      {7, "R9", "data-race"},      {8, "R21", "wrong-result"},  {9, "Q12", "use-after-free"},
      {10, "R4", "data-race"},     {11, "R22", "lost-wakeup"},  {12, "R17", "wrong-result"},
      {13, "R21", "wrong-result"}, {14, "R18", "wrong-result"},
  };
  const candidate whole = find_candidate("flag-last");
  ASSERT_EQ(whole.of->barriers, std::size(needed));
  for (const auto& n : needed) {
    expect_verdict(n.hazard, whole, "safe");
    expect_verdict(n.hazard, {whole.of, n.barrier}, n.verdict);
  }
}

// That ufence is safe is not because the scenarios cannot see it: its own orders, weakened.
TEST(ufence, is_not_safe_with_a_weaker_order) {
  settings with = quickly();
  for (const char* file : {"fence/fence.cc", "fence/fence.h", "fence/settle.cc"}) {
    with.weakenings.push_back({.file = file, .first_line = 1, .last_line = 100'000});
  }
  for (const char* id : {"R3", "R6", "Q3", "Q6"}) {
    const finding f = run(id, "ufence", with);
    EXPECT_TRUE(f.explored.weakening_was_used) << id;
    EXPECT_NE(f.result, verdict::safe) << id << f.explored;
  }
}

TEST(ufence, has_all_executions_explored_of_callbacks_against_their_removal) {
  for (const char* id : {"R4", "R7"}) {
    settings with;
    with.how = search::exhaustive;
    with.seconds = 100;  // much more than it takes
    const finding f = run(id, "ufence", with);
    EXPECT_TRUE(f.explored.is_exhaustive()) << id << f.explored;
  }
}

TEST(costs, are_those_that_the_design_pays) {
  const auto paid = [](std::string_view id, std::string_view name) { return run(id, name).paid; };
  const auto bit = [](cost c) { return costs{1} << static_cast<unsigned>(c); };
  EXPECT_EQ(paid("R3", "grace-period"), bit(cost::grace_period));
  EXPECT_EQ(paid("R3", "locked-callbacks"), bit(cost::lock_over_driver_code));
  EXPECT_EQ(paid("R3", "flag-last"), bit(cost::announces) | bit(cost::waits_for_ops));
  EXPECT_EQ(paid("R3", "ufence"), bit(cost::defers));
  EXPECT_EQ(paid("R22", "kernel-7.1"), bit(cost::lock_over_callbacks));
  EXPECT_EQ(paid("R3", "kernel-7.0"), 0U);
}

}  // namespace
}  // namespace ufence::lab

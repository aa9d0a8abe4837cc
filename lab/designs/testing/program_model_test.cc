// The parts of ufence-lab: answers in the order of the questions, whatever becomes of a scenario;
// traces in columns.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "lab/designs/program/cell.h"
#include "lab/designs/program/matrix.h"
#include "lab/engine/columns.h"
#include "lab/engine/scenario.h"

namespace ufence::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const hazard safe_one{
    .id = "R100", .title = "none", .story = "nothing", .body = [](const candidate&) {
      atomic<int> x{0};
      thread a("a", [&] { x.store(1, mo::relaxed); });
      thread b("b", [&] { x.store(2, mo::relaxed); });
    }};
const hazard bad_one{
    .id = "R101", .title = "race", .story = "a race", .body = [](const candidate&) {
      cell<int> x{0};
      thread a("a", [&] { x.set(1); });
      thread b("b", [&] { x.set(2); });
    }};
const hazard crashing_one{
    .id = "R102", .title = "crash", .story = "a crash", .body = [](const candidate&) {
      std::abort();
    }};
const hazard double_free_one{
    .id = "R103", .title = "double free", .story = "freed twice", .body = [](const candidate&) {
      int* volatile x = new int(0);
      delete x;
      delete x;
    }};

const candidate any_design = find_candidate("kernel-7.0");

std::vector<answer> answers_to(const std::vector<question>& questions, unsigned jobs) {
  settings with;
  with.seconds = 1;
  std::size_t finished = 0;
  std::vector<answer> answers =
      answer_all(questions, with, jobs, [&](std::size_t done) { EXPECT_EQ(done, ++finished); });
  EXPECT_EQ(finished, questions.size());
  return answers;
}

TEST(answers, are_in_the_order_of_the_questions) {
  for (const unsigned jobs : {1U, 3U, 20U}) {
    const auto answers = answers_to({{&bad_one, any_design},
                                     {&safe_one, any_design},
                                     {&double_free_one, any_design},
                                     {&safe_one, find_candidate("flag-last-B3")}},
                                    jobs);
    ASSERT_EQ(answers.size(), 4U);
    EXPECT_EQ(answers[0].hazard, "R101");
    EXPECT_EQ(answers[0].result, verdict::data_race);
    EXPECT_FALSE(answers[0].steps.empty());
    EXPECT_EQ(answers[1].result, verdict::safe);
    EXPECT_TRUE(answers[1].is_exhaustive);
    EXPECT_EQ(answers[1].executions, 2U);
    EXPECT_EQ(answers[2].result, verdict::double_run);
    EXPECT_EQ(answers[3].design, "flag-last-B3");
  }
}

TEST(answers, tell_of_a_scenario_that_crashes_and_go_on) {
  const auto answers = answers_to({{&crashing_one, any_design}, {&safe_one, any_design}}, 1);
  EXPECT_EQ(answers[0].result, verdict::broken);
  EXPECT_THAT(answers[0].text, HasSubstr("Aborted"));
  EXPECT_FALSE(answers[0].is_good());
  EXPECT_EQ(answers[1].result, verdict::safe);
}

TEST(answers, to_nothing_are_none) { EXPECT_TRUE(answers_to({}, 2).empty()); }

step of(unsigned thread, const char* name, const char* what) {
  return {thread, name, "file.cc:1", "f", what};
}

TEST(columns, have_a_thread_each) {
  const trace_view view = view_of({of(0, "T0 main", "begins"), of(0, "T0 main", "writes x"),
                                   of(0, "T0 main", "starts T1"), of(1, "T1 writer", "begins"),
                                   of(1, "T1 writer", "writes y"), of(2, "T2", "reads y"),
                                   of(2, "T2", "reads y"), of(1, "T1 writer", "ends"),
                                   of(0, "T0 main", "joins T1"), of(0, "T0 main", "frees x")});
  EXPECT_EQ(view.before, 2U);
  EXPECT_THAT(view.threads, ElementsAre("writer", "T2", "main"));
  ASSERT_EQ(view.rows.size(),
            3U);  // no beginnings and ends; what is repeated at once is there once
  EXPECT_EQ(view.rows[0].number, 5U);
  EXPECT_EQ(view.rows[1].column, 1U);
  EXPECT_EQ(view.rows[2].what, "frees x");
  const std::string text = text_columns(view, 20);
  EXPECT_THAT(text, HasSubstr("       writer                T2                    main\n"));
  EXPECT_THAT(text, HasSubstr("    6                        reads y\n"));
}

TEST(columns, have_what_main_does_beside_the_threads_that_it_has_started) {
  const trace_view view =
      view_of({of(0, "T0 main", "writes x"), of(0, "T0 main", "starts T1"),
               of(0, "T0 main", "writes y"), of(1, "T1", "reads y"), of(0, "T0 main", "frees x")});
  EXPECT_EQ(view.before, 1U);
  EXPECT_THAT(view.threads, ElementsAre("main", "T1"));
  ASSERT_EQ(view.rows.size(), 3U);
  EXPECT_EQ(view.rows[0].what, "writes y");
  EXPECT_EQ(view.rows[2].column, 0U);
}

TEST(columns, of_main_alone_are_none) {
  const trace_view view = view_of({of(0, "T0 main", "begins"), of(0, "T0 main", "writes x")});
  EXPECT_TRUE(view.rows.empty());
  EXPECT_EQ(view.before, 2U);
}

TEST(columns, wrap_what_is_long) {
  const trace_view view = view_of({of(1, "T1 a", "one two three four five")});
  const std::string text = text_columns(view, 10);
  EXPECT_THAT(text, HasSubstr("    1  one two\n         three\n         four\n         five\n"));
}

TEST(cells, are_short) {
  answer a;
  a.result = verdict::safe;
  a.executions = 1'234'567;
  EXPECT_EQ(cell_text(a), "safe 1,234,567*");
  a.is_exhaustive = true;
  a.executions = 999;
  a.paid =
      1U << static_cast<unsigned>(cost::grace_period) | 1U << static_cast<unsigned>(cost::defers);
  EXPECT_EQ(cell_text(a), "safe 999 GD");
  EXPECT_EQ(cell_text(a, false), "safe GD");
  EXPECT_THAT(cost_names(a.paid),
              ElementsAre("waits a grace period", "defers cleanup to the last op"));
  a.result = verdict::null_call;
  EXPECT_EQ(cell_text(a), "null-call GD");
  a.result = verdict::not_applicable;
  EXPECT_EQ(cell_text(a), "-");
}

}  // namespace
}  // namespace ufence::lab

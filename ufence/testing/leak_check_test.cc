// Runs single tests of leaking_tests.cc and reads what the leak check says about them.
#include "ufence/testing/leak_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>

namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

struct outcome {
  int exit_status = -1;
  std::string output;
};

outcome run(const std::string& test, const char* program = UFENCE_LEAKING_TESTS) {
  const std::string command = std::string(program) + " --gtest_filter=" + test + " 2>&1";
  std::FILE* pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr) return {};
  outcome result;
  std::array<char, 4096> buffer;
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    result.output.append(buffer.data(), n);
  }
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) result.exit_status = WEXITSTATUS(status);
  return result;
}

void expect_failure(const std::string& test, const std::string& text) {
  const outcome result = run(test);
  EXPECT_GT(result.exit_status, 0);
  EXPECT_THAT(result.output, HasSubstr("[  FAILED  ] " + test));
  EXPECT_THAT(result.output, ContainsRegex(test + " " + text));
}

void expect_success(const std::string& test) {
  const outcome result = run(test);
  EXPECT_EQ(result.exit_status, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("[  PASSED  ] 1 test"));
  EXPECT_THAT(result.output, Not(HasSubstr("leaked")));
}

}  // namespace

TEST(leak_check, passes_a_test_that_leaves_nothing) { expect_success("clean.leaves_nothing"); }

TEST(leak_check, does_not_charge_the_suite_to_its_test) {
  expect_success("suite_with_a_file.is_not_charged_to_the_test");
}

TEST(leak_check, names_a_file_descriptor_and_its_target) {
  expect_failure("leak.file_descriptor", "leaked: file descriptor [0-9]+ -> /dev/null");
}

TEST(leak_check, sees_another_file_under_the_same_number) {
  const std::string test = "leak.file_descriptor_under_a_number_used_before";
  expect_failure(test, "leaked: file descriptor [0-9]+ -> /dev/zero");
  expect_failure(test, "ended, but not its own: file descriptor [0-9]+ -> /dev/null");
}

TEST(leak_check, names_a_file_descriptor_closed_by_one_who_did_not_open_it) {
  expect_failure("suite_with_a_file.closed_by_the_test",
                 "ended, but not its own: file descriptor [0-9]+ -> /dev/null");
}

TEST(leak_check, covers_the_destructor_of_a_fixture) {
  expect_failure("fixture_that_leaks.in_its_destructor",
                 "leaked: file descriptor [0-9]+ -> /dev/null");
}

TEST(leak_check, names_a_thread) {
  expect_failure("leak.thread", "leaked: thread \"left_behind\" \\([0-9]+\\)");
}

TEST(leak_check, tells_how_many_of_what_is_counted) {
  expect_failure("leak.counted", "leaked: 3 counted things");
}

TEST(leak_check, tells_how_many_fences) {
  const outcome result = run("leak.two_of_three_fences", UFENCE_LEAKING_FENCE_TESTS);
  EXPECT_GT(result.exit_status, 0);
  EXPECT_THAT(result.output, HasSubstr("leak.two_of_three_fences leaked: 2 fences alive"));
  EXPECT_EQ(run("clean.drops_its_fences", UFENCE_LEAKING_FENCE_TESTS).exit_status, 0);
}

TEST(leak_check, names_a_mapped_module) {
  expect_failure("leak.module", "leaked: mapped module /.*/ufence/drivers/leaked.so");
}

TEST(leak_check, names_a_mapped_module_whose_file_is_gone) {
  expect_failure("leak.module_of_a_deleted_file",
                 "leaked: mapped module /.*/ufence/drivers/leaked.so \\(deleted\\)");
}

TEST(leak_check, covers_a_skipped_test) {
  const outcome result = run("leak.in_a_skipped_test");
  EXPECT_GT(result.exit_status, 0);
  EXPECT_THAT(result.output, HasSubstr("leaked: file descriptor"));
}

#include "tools/ufence/run/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

namespace ufence::tool {
namespace {

namespace fs = std::filesystem;

// In this process, so that the leak check sees what a run leaves behind.
class run_in_process : public testing::Test {
 protected:
  run_in_process() {
    std::string name = testing::TempDir() + "ufence-run-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    fs::create_directories(folder_ / "tree/sub");
    for (int i = 0; i < 200; ++i) {
      const std::string file = "tree/" + std::string(i % 2 == 0 ? "sub/" : "") + std::to_string(i);
      std::ofstream(folder_ / file) << std::string(static_cast<std::size_t>(i) * 1000, 'x');
    }
    options_.inputs = {folder_ / "tree"};
    options_.output = folder_ / "sums";
    options_.block_bytes = 16384;
    options_.quiet = true;
  }
  ~run_in_process() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string sums() const {
    std::ifstream file(folder_ / "sums");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  fs::path folder_;
  run_options options_;
};

TEST_F(run_in_process, leaves_nothing_behind_and_always_says_the_same) {
  ASSERT_EQ(run(options_), 0);
  const std::string expected = sums();
  EXPECT_EQ(std::ranges::count(expected, '\n'), 200);
  for (const unload_policy policy : {unload_policy::drain, unload_policy::cancel}) {
    for (const bool holds : {false, true}) {
      options_.policy = policy;
      options_.holds = holds;
      options_.reload_every_ms = 1;
      options_.workers = 3;
      EXPECT_EQ(run(options_), 0);
      EXPECT_EQ(sums(), expected);
    }
  }
}

TEST_F(run_in_process, leaves_nothing_behind_when_it_fails) {
  options_.driver_path = folder_;
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(options_), 1);
  EXPECT_THAT(testing::internal::GetCapturedStderr(), testing::HasSubstr("uring.so: "));
  EXPECT_FALSE(fs::exists(folder_ / "sums"));
}

TEST_F(run_in_process, leaves_nothing_behind_without_a_program_for_the_reader) {
  options_.via = read_path::sync_file;
  options_.reader_program = folder_ / "missing";
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(options_), 1);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              testing::MatchesRegex("ufence: reader: .*/missing: No such file or directory\n"));
  EXPECT_FALSE(fs::exists(folder_ / "sums"));
}

// A program that says nothing and ends is not started for ever.
TEST_F(run_in_process, gives_up_a_reader_that_never_reads) {
  options_.via = read_path::sync_file;
  options_.reader_program = "/bin/false";
  testing::internal::CaptureStderr();
  EXPECT_EQ(run(options_), 1);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "ufence: reader: ended with status 1, 5 times without having read anything\n");
  EXPECT_FALSE(fs::exists(folder_ / "sums"));
}

TEST_F(run_in_process, leaves_nothing_behind_with_readers_that_are_killed) {
  ASSERT_EQ(run(options_), 0);
  const std::string expected = sums();
  options_.reader_program = UFENCE_PROGRAM;
  for (const read_path via : {read_path::sync_file, read_path::syncobj}) {
    for (const std::uint64_t every_ms : {0U, 1U, 20U}) {
      options_.via = via;
      options_.kill_reader_every_ms = every_ms;
      options_.holds = every_ms == 20;
      EXPECT_EQ(run(options_), 0);
      EXPECT_EQ(sums(), expected);
    }
  }
}

// As soon as the run listens to signals: it may load, hash or unload by then.
void interrupt_soon() {
  // The run's own thread takes the signal, as in the program.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  struct sigaction action {};
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ::sigaction(SIGTERM, nullptr, &action);
  } while (action.sa_handler == SIG_DFL);
  ::kill(::getpid(), SIGTERM);
}

TEST_F(run_in_process, leaves_nothing_behind_when_it_is_interrupted) {
  const fs::path hole = folder_ / "tree/hole";
  std::ofstream(hole).close();
  fs::resize_file(hole, std::uintmax_t{1} << 40U);
  options_.reload_every_ms = 1;
  for (int round = 0; round < 10; ++round) {
    options_.holds = round % 2 == 0;
    options_.via = static_cast<read_path>(round % 3);
    options_.reader_program = UFENCE_PROGRAM;
    std::thread interrupter(interrupt_soon);
    EXPECT_EQ(run(options_), 128 + SIGTERM);
    interrupter.join();
    EXPECT_FALSE(fs::exists(folder_ / "sums"));
  }
}

}  // namespace
}  // namespace ufence::tool

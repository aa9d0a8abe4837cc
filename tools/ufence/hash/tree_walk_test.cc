#include "tools/ufence/hash/tree_walk.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace ufence::tool {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

struct listener : walk_observer {
  void skipped() override { ++skips; }
  void failed(std::string_view path, std::string_view text) override {
    failures.push_back(std::string(path) + ": " + std::string(text));
  }
  [[nodiscard]] bool goes_on() const override { return !is_over; }
  int skips = 0;
  bool is_over = false;
  std::vector<std::string> failures;
};

// Works in a directory of its own, so that the paths are short.
class walk : public testing::Test {
 protected:
  walk() : before_(fs::current_path()) {
    std::string name = testing::TempDir() + "ufence-walk-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    fs::current_path(folder_);
  }
  ~walk() override {
    fs::current_path(before_);
    fs::remove_all(folder_);
  }

  static void file(const std::string& path) {
    if (path.find('/') != std::string::npos) fs::create_directories(fs::path(path).parent_path());
    const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_GE(fd, 0) << path;
    ::close(fd);
  }

  std::vector<std::string> paths(const std::vector<std::string>& roots, bool keeps_order = false) {
    std::vector<std::string> found;
    input_walk files(roots, keeps_order, seen_);
    while (files.next()) {
      const tree_walk& at = files.current();
      const int directory = at.directory() ? at.directory()->get() : AT_FDCWD;
      struct stat status {};
      EXPECT_EQ(::fstatat(directory, at.path().c_str() + at.name_begin(), &status, 0), 0)
          << at.path();
      found.push_back(at.path());
    }
    return found;
  }

  fs::path before_, folder_;
  listener seen_;
};

TEST_F(walk, of_several_roots_can_keep_their_order) {
  for (const char* path : {"b/2", "b/1", "a", "c/1"}) file(path);
  EXPECT_THAT(paths({"c", "a", "b", "a"}), ElementsAre("a", "a", "b/1", "b/2", "c/1"));
  EXPECT_THAT(paths({"c", "a", "b", "a"}, true), ElementsAre("c/1", "a", "b/1", "b/2", "a"));
}

TEST_F(walk, visits_files_in_byte_order_of_whole_paths) {
  for (const char* path :
       {"t/a/x", "t/a.txt", "t/a-b", "t/a0", "t/ab/y", "t/a/!", "t/b", "t/a/x.y/z"}) {
    file(path);
  }
  EXPECT_THAT(paths({"t"}), ElementsAre("t/a-b", "t/a.txt", "t/a/!", "t/a/x", "t/a/x.y/z", "t/a0",
                                        "t/ab/y", "t/b"));
  EXPECT_THAT(seen_.failures, IsEmpty());
}

TEST_F(walk, order_holds_for_any_names) {
  std::mt19937 random(20261120);
  const std::string letters = "a\xFF!./0-A~ \n";
  const auto name = [&] {
    std::string n;
    for (std::size_t length = 1 + random() % 3; n.size() < length;) {
      const char c = letters[random() % letters.size()];
      if (c != '/') n += c;
    }
    return n == "." || n == ".." ? n + "x" : n;
  };
  std::vector<std::string> expected;
  for (int i = 0; i < 120; ++i) {
    std::string path = "t";
    for (std::size_t depth = 1 + random() % 4; depth-- > 0;) path += "/" + name();
    if (fs::exists(path)) continue;
    std::error_code is_file_above;
    fs::create_directories(fs::path(path).parent_path(), is_file_above);
    if (is_file_above) continue;
    file(path);
    expected.push_back(path);
  }
  std::ranges::sort(expected);
  EXPECT_EQ(paths({"t"}), expected);
}

TEST_F(walk, prefixes_paths_with_the_root_as_given) {
  file("t/x");
  EXPECT_THAT(paths({"t/"}), ElementsAre("t/x"));
  EXPECT_THAT(paths({"./t//"}), ElementsAre("./t//x"));
  EXPECT_THAT(paths({"."}), ElementsAre("./t/x"));
  EXPECT_THAT(paths({"t/x"}), ElementsAre("t/x"));
}

TEST_F(walk, merges_roots_and_repeats_what_lies_below_two) {
  for (const char* path : {"t/a", "t/b/c", "t/d", "u/e"}) file(path);
  EXPECT_THAT(paths({"u", "t/b", "t", "t/d"}),
              ElementsAre("t/a", "t/b/c", "t/b/c", "t/d", "t/d", "u/e"));
}

TEST_F(walk, skips_and_counts_what_is_no_file) {
  file("t/x");
  fs::create_symlink("x", "t/link");
  fs::create_symlink("nothing", "t/dangling");
  fs::create_directory_symlink("..", "t/up");
  ASSERT_EQ(::mkfifo("t/fifo", 0600), 0);
  EXPECT_THAT(paths({"t"}), ElementsAre("t/x"));
  EXPECT_EQ(seen_.skips, 4);
  EXPECT_THAT(seen_.failures, IsEmpty());
}

TEST_F(walk, follows_a_link_that_was_named) {
  file("t/x");
  fs::create_directory_symlink("t", "link");
  fs::create_symlink("t/x", "file_link");
  EXPECT_THAT(paths({"link", "file_link"}), ElementsAre("file_link", "link/x"));
}

TEST_F(walk, tells_what_cannot_be_visited_and_goes_on) {
  file("t/x");
  fs::create_symlink("nothing", "dangling");
  ASSERT_EQ(::mkfifo("fifo", 0600), 0);
  EXPECT_THAT(paths({"dangling", "fifo", "missing", "", "t", "t/x/y"}), ElementsAre("t/x"));
  EXPECT_THAT(seen_.failures,
              ElementsAre(": No such file or directory", "dangling: No such file or directory",
                          "fifo: Not a regular file or directory",
                          "missing: No such file or directory", "t/x/y: Not a directory"));
}

TEST_F(walk, ends_at_a_directory_when_told) {
  for (const char* path : {"t/a", "t/b/c", "t/d"}) file(path);
  seen_.is_over = true;
  EXPECT_THAT(paths({"t"}), ElementsAre("t/a"));
}

TEST_F(walk, goes_deeper_than_a_path_may_be_long) {
  // Files before and after each directory, so that all levels are visited again on the way back.
  constexpr std::size_t depth = 100;
  const std::string name(100, 'd');
  fs::create_directory("t");
  int directory = ::open("t", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  std::string prefix = "t/";
  std::vector<std::string> expected;
  for (std::size_t i = 0; i < depth; ++i) {
    for (const char* file_name : {"a", "z"}) {
      const int fd = ::openat(directory, file_name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
      ASSERT_GE(fd, 0);
      ::close(fd);
      expected.push_back(prefix + file_name);
    }
    ASSERT_EQ(::mkdirat(directory, name.c_str(), 0700), 0);
    const int child = ::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ASSERT_GE(child, 0);
    ::close(directory);
    directory = child;
    prefix += name + "/";
  }
  ::close(directory);
  std::ranges::sort(expected);
  EXPECT_EQ(paths({"t"}), expected);
  EXPECT_THAT(seen_.failures, IsEmpty());
}

TEST_F(walk, tells_of_a_directory_that_was_moved_below_it) {
  std::string deep = "t";
  for (int i = 0; i < 20; ++i) deep += "/d";
  file(deep + "/x");
  file("t/d/d/z");
  fs::create_directory("elsewhere");
  tree_walk files("t", seen_);
  ASSERT_TRUE(files.next());
  EXPECT_EQ(files.path(), deep + "/x");
  fs::rename("t/d/d/d/d", "elsewhere/d");
  EXPECT_FALSE(files.next());
  ASSERT_FALSE(seen_.failures.empty());
  EXPECT_THAT(seen_.failures.front(), testing::HasSubstr("moved"));
}

}  // namespace
}  // namespace ufence::tool

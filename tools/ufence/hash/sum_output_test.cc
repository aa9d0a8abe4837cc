#include "tools/ufence/hash/sum_output.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "ufence/base/result.h"

namespace ufence::tool {
namespace {

namespace fs = std::filesystem;

class sum_output_file : public testing::Test {
 protected:
  sum_output_file() {
    std::string name = testing::TempDir() + "ufence-output-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~sum_output_file() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] std::ptrdiff_t files() const {
    return std::distance(fs::directory_iterator(folder_), {});
  }

  fs::path folder_;
};

TEST_F(sum_output_file, appears_with_commit) {
  sum_output out;
  ASSERT_FALSE(out.open_file(path("sums")));
  out.lines() += "one\n";
  out.flush_if_full();
  EXPECT_FALSE(fs::exists(path("sums")));
  EXPECT_FALSE(out.commit());
  EXPECT_EQ(read("sums"), "one\n");
  EXPECT_EQ(files(), 1);
}

TEST_F(sum_output_file, dropped_leaves_everything_as_it_was) {
  write("sums", "old");
  {
    sum_output out;
    ASSERT_FALSE(out.open_file(path("sums")));
    out.lines() += std::string(1 << 20, 'x');
    out.flush_if_full();
  }
  EXPECT_EQ(read("sums"), "old");
  EXPECT_EQ(files(), 1);
}

TEST_F(sum_output_file, keeps_the_mode_of_the_one_it_replaces) {
  write("sums", "old");
  ASSERT_EQ(::chmod(path("sums").c_str(), 0640), 0);
  sum_output out;
  ASSERT_FALSE(out.open_file(path("sums")));
  EXPECT_FALSE(out.commit());
  EXPECT_EQ(read("sums"), "");
  EXPECT_EQ(fs::status(path("sums")).permissions(), fs::perms{0640});
}

TEST_F(sum_output_file, replaces_what_a_link_points_to) {
  fs::create_directory(path("elsewhere"));
  write("elsewhere/sums", "old");
  fs::create_symlink("elsewhere/sums", path("link"));
  sum_output out;
  ASSERT_FALSE(out.open_file(path("link")));
  out.lines() += "new";
  EXPECT_FALSE(out.commit());
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(read("elsewhere/sums"), "new");
}

TEST_F(sum_output_file, knows_itself_when_it_is_met) {
  write("sums", "old");
  sum_output out;
  ASSERT_FALSE(out.open_file(path("sums")));
  struct stat status {};
  ASSERT_EQ(::stat(path("sums").c_str(), &status), 0);
  EXPECT_FALSE(out.is_own_file(status));  // what is replaced is a file as any other
  int own = 0;
  for (int fd = 3; fd < 100; ++fd) {
    if (::fstat(fd, &status) == 0 && out.is_own_file(status)) ++own;
  }
  EXPECT_EQ(own, 1);
}

TEST_F(sum_output_file, writes_to_a_device_in_place) {
  sum_output out;
  ASSERT_FALSE(out.open_file("/dev/null"));
  out.lines() += "x";
  EXPECT_FALSE(out.commit());
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(sum_output_file, tells_the_first_error_of_writing) {
  sum_output out;
  ASSERT_FALSE(out.open_file("/dev/full"));
  out.lines() += std::string(1 << 20, 'x');
  out.flush_if_full();
  EXPECT_TRUE(out.has_failed());
  EXPECT_EQ(out.commit(), errno_code(ENOSPC));
}

TEST_F(sum_output_file, tells_why_it_cannot_be_opened) {
  sum_output in_nothing;
  EXPECT_EQ(in_nothing.open_file(path("nothing/sums")), errno_code(ENOENT));
  sum_output directory;
  EXPECT_EQ(directory.open_file(folder_), errno_code(EISDIR));
  EXPECT_EQ(files(), 0);
}

TEST(sum_output, goes_nowhere_by_default) {
  sum_output out;
  out.lines() += std::string(1 << 20, 'x');
  out.flush_if_full();
  EXPECT_TRUE(out.lines().empty());
  EXPECT_FALSE(out.commit());
}

}  // namespace
}  // namespace ufence::tool

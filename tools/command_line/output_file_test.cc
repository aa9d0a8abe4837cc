#include "tools/command_line/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "ufence/base/result.h"

namespace ufence::tool {
namespace {

namespace fs = std::filesystem;

class named_output : public testing::Test {
 protected:
  named_output() {
    std::string name = testing::TempDir() + "ufence-output-XXXXXX";
    folder_ = ::mkdtemp(name.data());
  }
  ~named_output() override { fs::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path(name)) << text; }
  [[nodiscard]] std::string read(const std::string& name) const {
    std::ifstream file(path(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  [[nodiscard]] std::ptrdiff_t files() const { return std::distance(fs::directory_iterator(folder_), {}); }
  static std::error_code put(const std::string& to, const std::string& text) {
    output_file out;
    const std::error_code failed = out.open(to);
    return failed ? failed : out.write_and_commit(text);
  }

  fs::path folder_;
};

TEST_F(named_output, appears_when_it_is_complete) {
  write("old", "old");
  output_file out;
  for (const std::string name : {"new", "old"}) {
    ASSERT_FALSE(out.open(path(name)));
    EXPECT_EQ(out.replaces(), path(name));
    ASSERT_FALSE(out.write("text"));
    EXPECT_EQ(read("old"), "old");
    EXPECT_FALSE(fs::exists(path("new")) && name == "new");
    ASSERT_FALSE(out.commit());
    EXPECT_EQ(read(name), "text");
  }
  EXPECT_EQ(files(), 2);
}

TEST_F(named_output, dropped_changes_nothing) {
  write("old", "old");
  ASSERT_EQ(::link(path("old").c_str(), path("other").c_str()), 0);
  for (const std::string name : {"new", "old", "other"}) {
    output_file out;
    ASSERT_FALSE(out.open(path(name)));
  }
  EXPECT_EQ(read("old"), "old");
  EXPECT_EQ(files(), 2);
}

TEST_F(named_output, is_written_into_what_is_no_regular_file) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  const unique_fd reader(::open(path("fifo").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(reader);
  fs::create_symlink("fifo", path("link"));
  ASSERT_FALSE(put(path("link"), "text"));
  char got[8]{};
  EXPECT_EQ(::read(reader.get(), got, sizeof got), 4);
  EXPECT_STREQ(got, "text");
  EXPECT_TRUE(fs::is_fifo(path("fifo")));
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_EQ(put("/dev/full", "text"), errno_code(ENOSPC));
  EXPECT_FALSE(put("/dev/null", "text"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(named_output, of_an_open_file_goes_behind_what_is_there) {
  const unique_fd file(::open(path("file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_EQ(::write(file.get(), "one ", 4), 4);
  const std::string number = std::to_string(file.get());
  fs::create_symlink("/dev/fd/" + number, path("link"));
  for (const std::string& name : {"/proc/self/fd/" + number, "/dev/fd/" + number, path("link"),
                                 "/proc/" + std::to_string(::getpid()) + "/fd/" + number}) {
    ASSERT_FALSE(put(name, "more ")) << name;
  }
  // Others write there as well, from where it ended.
  ASSERT_EQ(::write(file.get(), "end", 3), 3);
  EXPECT_EQ(read("file"), "one more more more more end");
  const unique_fd only_read(::open(path("file").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(put("/dev/fd/" + std::to_string(only_read.get()), "x"), errno_code(EBADF));
  // Also one that has no name any more.
  ASSERT_EQ(::unlink(path("file").c_str()), 0);
  EXPECT_FALSE(put("/proc/self/fd/" + number, "x"));
  struct stat info {};
  ASSERT_EQ(::fstat(file.get(), &info), 0);
  EXPECT_EQ(info.st_size, 28);
}

TEST_F(named_output, with_several_names_keeps_them) {
  write("one", "a longer text");
  ASSERT_EQ(::link(path("one").c_str(), path("other").c_str()), 0);
  ASSERT_FALSE(put(path("one"), "new"));
  EXPECT_EQ(read("other"), "new");
  ASSERT_FALSE(put(path("one"), ""));
  EXPECT_EQ(read("other"), "");
}

TEST_F(named_output, that_can_not_be_opened_is_told) {
  EXPECT_EQ(put(path("nothing/file"), ""), errno_code(ENOENT));
  EXPECT_EQ(put(path(""), ""), errno_code(EISDIR));
  EXPECT_EQ(put("", ""), errno_code(ENOENT));
  fs::create_symlink("nothing", path("link"));
  EXPECT_EQ(put(path("link"), ""), errno_code(ENOENT));
  output_file out;
  EXPECT_THROW(out.open_or_throw(path("link")), std::runtime_error);
  EXPECT_EQ(files(), 1);
}

TEST_F(named_output, may_be_another_file_that_is_put_there) {
  write("old", "old");
  ASSERT_EQ(::chmod(path("old").c_str(), 0640), 0);
  output_file out;
  ASSERT_FALSE(out.open(path("old")));
  write("made", "made");
  ASSERT_FALSE(out.commit_file(path("made")));
  EXPECT_EQ(read("old"), "made");
  EXPECT_EQ(fs::status(path("old")).permissions(), fs::perms{0640});
  EXPECT_EQ(files(), 1);
}

TEST_F(named_output, in_a_folder_of_others_is_written_into) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can be another user";
  write("file", "old and longer");
  ASSERT_EQ(::chown(path("file").c_str(), 65534, 65534), 0);
  struct stat before {}, after {};
  ASSERT_EQ(::stat(path("file").c_str(), &before), 0);
  ASSERT_FALSE(put(path("file"), "new"));
  ASSERT_EQ(::stat(path("file").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(after.st_uid, 65534U);
  EXPECT_EQ(read("file"), "new");
}

}  // namespace
}  // namespace ufence::tool

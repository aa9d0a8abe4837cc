#include "ufence/module/maps.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "ufence/base/fd.h"
#include "ufence/module/module_test_support.h"

namespace ufence::detail {
namespace {

// Two mapped pages of a file.
class mapped_pages {
 public:
  explicit mapped_pages(const std::string& path) {
    const unique_fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(ftruncate(fd.get(), static_cast<off_t>(size_)), 0);
    at_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    EXPECT_NE(at_, MAP_FAILED);
  }
  ~mapped_pages() { munmap(at_, size_); }
  [[nodiscard]] address_range range() const {
    const auto begin = reinterpret_cast<std::uintptr_t>(at_);
    return {.begin = begin, .end = begin + size_};
  }

 private:
  std::size_t size_ = 2UL * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* at_ = MAP_FAILED;
};

TEST(maps, a_mapped_file_is_found_by_any_part_of_its_range) {
  const scratch_folder folder;
  const mapped_pages pages(folder.path("pages"));
  const address_range whole = pages.range();
  const std::string file = mapped_file(whole).value();
  EXPECT_NE(file, "");
  EXPECT_EQ(mapped_file({.begin = whole.begin + 1, .end = whole.begin + 2}).value(), file);
  EXPECT_EQ(mapped_file({.begin = whole.end - 1, .end = whole.end}).value(), file);
  EXPECT_EQ(mapped_file(whole, file).value(), file);
  EXPECT_EQ(mapped_file(whole, "00:00 1").value(), "");
}

TEST(maps, two_files_differ_and_a_renamed_one_stays_the_same) {
  const scratch_folder folder;
  const mapped_pages one(folder.path("one"));
  const mapped_pages two(folder.path("two"));
  const std::string before = mapped_file(one.range()).value();
  EXPECT_NE(before, mapped_file(two.range()).value());
  // A long name, longer than what is kept of a line.
  std::filesystem::rename(folder.path("one"), folder.path(std::string(250, 'n')));
  EXPECT_EQ(mapped_file(one.range()).value(), before);
  EXPECT_EQ(mapped_file(two.range(), mapped_file(two.range()).value()).value(),
            mapped_file(two.range()).value());
}

TEST(maps, asking_and_reading_say_the_same) {
  const scratch_folder folder;
  const mapped_pages pages(folder.path("pages"));
  const address_range whole = pages.range();
  const result<std::string> asked = mapped_file_by_asking(whole, "");
  if (!asked) {
    EXPECT_EQ(asked.error(), errno_code(ENOTTY));
    GTEST_SKIP() << "this kernel does not answer for one address";
  }
  const std::string file = mapped_file_by_reading(whole, "").value();
  EXPECT_EQ(*asked, file);
  const address_range around{.begin = whole.begin - 64 * 4096, .end = whole.end + 64 * 4096};
  for (const address_range& range : {whole, around}) {
    for (const char* only : {file.c_str(), "00:00 1"}) {
      EXPECT_EQ(mapped_file_by_asking(range, only).value(),
                mapped_file_by_reading(range, only).value());
    }
  }
  const int on_stack = 0;
  const auto at = reinterpret_cast<std::uintptr_t>(&on_stack);
  EXPECT_EQ(mapped_file_by_asking({.begin = at, .end = at + 1}, "").value(), "");
  EXPECT_EQ(mapped_file_by_asking({.begin = UINTPTR_MAX - 4096, .end = UINTPTR_MAX}, "").value(), "");
}

TEST(maps, what_is_not_mapped_or_anonymous_is_no_file) {
  const scratch_folder folder;
  address_range gone;
  {
    const mapped_pages pages(folder.path("pages"));
    gone = pages.range();
  }
  EXPECT_EQ(mapped_file(gone).value(), "");
  EXPECT_EQ(mapped_file_by_reading(gone, "").value(), "");
  const int on_stack = 0;
  const auto at = reinterpret_cast<std::uintptr_t>(&on_stack);
  EXPECT_EQ(mapped_file({.begin = at, .end = at + 1}).value(), "");
}

}  // namespace
}  // namespace ufence::detail

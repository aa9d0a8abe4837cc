#include "ufence/module/checked_files.h"

#include <gtest/gtest.h>

#include <time.h>

namespace ufence::detail {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

file_stamp stamp(ino_t inode, std::int64_t age_s) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t then_ns = (now.tv_sec - age_s) * second_ns;
  // A device that no file system has.
  return {.id = {.device = ~dev_t{0}, .inode = inode}, .size = 100, .modified_ns = then_ns, .changed_ns = then_ns};
}

std::shared_ptr<const checked_file> found(std::uint64_t memory_size) {
  auto file = std::make_shared<checked_file>();
  file->info.memory_size = memory_size;
  return file;
}

TEST(checked_files, are_known_until_they_change) {
  const file_stamp old = stamp(1, 3600);
  EXPECT_EQ(find_checked(old), nullptr);
  note_checked(old, found(1));
  ASSERT_NE(find_checked(old), nullptr);
  EXPECT_EQ(find_checked(old)->info.memory_size, 1U);
  for (file_stamp changed : {old, old, old, old}) {
    static int which = 0;
    switch (which++) {
      case 0: changed.changed_ns += 1; break;
      case 1: changed.modified_ns += 1; break;
      case 2: changed.size += 1; break;
      default: changed.mode ^= 0100; break;
    }
    EXPECT_EQ(find_checked(changed), nullptr);
  }
  file_stamp newer = old;
  newer.changed_ns += second_ns;
  note_checked(newer, found(2));
  EXPECT_EQ(find_checked(old), nullptr);
  ASSERT_NE(find_checked(newer), nullptr);
  EXPECT_EQ(find_checked(newer)->info.memory_size, 2U);
}

TEST(checked_files, that_were_written_to_just_now_are_read_again) {
  const file_stamp fresh = stamp(2, 0);
  note_checked(fresh, found(1));
  EXPECT_EQ(find_checked(fresh), nullptr);
  // A clock that was set back.
  const file_stamp future = stamp(2, -3600);
  note_checked(future, found(1));
  EXPECT_EQ(find_checked(future), nullptr);
  note_checked({}, found(1));
  EXPECT_EQ(find_checked({}), nullptr);
}

TEST(checked_files, are_few) {
  constexpr ino_t first = 100;
  for (ino_t n = first; n < first + 9; ++n) note_checked(stamp(n, 3600 + static_cast<std::int64_t>(n)), found(n));
  int known = 0;
  for (ino_t n = first; n < first + 9; ++n) {
    known += find_checked(stamp(n, 3600 + static_cast<std::int64_t>(n))) != nullptr ? 1 : 0;
  }
  EXPECT_GE(known, 7);  // the clock may have gone on
  EXPECT_LE(known, 8);
}

}  // namespace
}  // namespace ufence::detail

#include "tools/ufence/hash/sum_line.h"

#include <gtest/gtest.h>

#include <string>

namespace ufence::tool {
namespace {

constexpr sha256_digest digest{0x00, 0x1F, 0xA0, 0xFF};
const std::string hex = "001fa0ff" + std::string(56, '0');

std::string line_of(std::string_view path) {
  std::string line = "before\n";
  append_sum_line(line, digest, path);
  return line;
}

TEST(sum_line, is_appended_with_two_spaces) {
  EXPECT_EQ(line_of("a b/c"), "before\n" + hex + "  a b/c\n");
}

TEST(sum_line, keeps_bytes_that_are_no_text) {
  EXPECT_EQ(line_of("\xFF\t\x01-"), "before\n" + hex + "  \xFF\t\x01-\n");
}

TEST(sum_line, escapes_what_would_break_a_line_and_says_so) {
  EXPECT_EQ(line_of("a\nb"), "before\n\\" + hex + "  a\\nb\n");
  EXPECT_EQ(line_of("a\rb"), "before\n\\" + hex + "  a\\rb\n");
  EXPECT_EQ(line_of("a\\nb\n"), "before\n\\" + hex + "  a\\\\nb\\n\n");
}

TEST(printable, is_one_line_whatever_the_name_is) {
  EXPECT_EQ(printable("a/\xC3\xA4 b"), "a/\xC3\xA4 b");
  EXPECT_EQ(printable("\x1B[2J\n\\\x7F"), "\\x1b[2J\\n\\\\\\x7f");
}

}  // namespace
}  // namespace ufence::tool

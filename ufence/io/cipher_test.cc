#include "ufence/io/cipher.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace ufence::detail {
namespace {

// RFC 8439, 2.3.2.
TEST(cipher, has_the_block_of_the_standards_example) {
  std::array<std::uint8_t, 32> bytes{};
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  cipher_key key{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    key[i / 4] |= static_cast<std::uint32_t>(bytes[i]) << 8 * (i % 4);
  }
  const std::array<std::uint8_t, 64> expected = {
      0x10, 0xf1, 0xe7, 0xe4, 0xd1, 0x3b, 0x59, 0x15, 0x50, 0x0f, 0xdd, 0x1f, 0xa3,
      0x20, 0x71, 0xc4, 0xc7, 0xd1, 0xf4, 0xc7, 0x33, 0xc0, 0x68, 0x03, 0x04, 0x22,
      0xaa, 0x9a, 0xc3, 0xd4, 0x6c, 0x4e, 0xd2, 0x82, 0x64, 0x46, 0x07, 0x9f, 0xaa,
      0x09, 0x14, 0xc2, 0xd7, 0x05, 0xd9, 0x8b, 0x02, 0xa2, 0xb5, 0x12, 0x9c, 0xd1,
      0xde, 0x16, 0x4e, 0xb9, 0xcb, 0xd0, 0x83, 0xe8, 0xa2, 0x50, 0x3c, 0x4e};
  EXPECT_EQ(cipher_block(key, 1, {0x09000000, 0x4a000000, 0}), expected);
}

TEST(cipher, gives_back_what_it_hid) {
  const cipher_key key{1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<std::uint8_t> bytes(40, 7);
  const std::vector<std::uint8_t> before = bytes;
  cipher_in_place(bytes, key, {9, 9, 9});
  EXPECT_NE(bytes, before);
  cipher_in_place(bytes, key, {9, 9, 9});
  EXPECT_EQ(bytes, before);
}

}  // namespace
}  // namespace ufence::detail

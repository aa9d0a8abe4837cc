#include "ufence/net/remote_point.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace ufence {
namespace {

constexpr remote_point some{
    .namespace_id = 0xabc, .timeline_id = 0x123456789abcdef0, .epoch = 77, .point = 42};

TEST(remote_point, is_the_same_after_a_way_as_text_or_as_bytes) {
  for (const remote_point& p : {some,
                                remote_point{.namespace_id = UINT32_MAX,
                                .timeline_id = UINT64_MAX,
                                .epoch = remote_point::epoch_max,
                                .point = remote_point::point_max},
                                remote_point{.epoch = 1}}) {
    EXPECT_EQ(remote_point::parse(p.to_string()).value(), p);
    EXPECT_EQ(remote_point::from_bytes(p.to_bytes()).value(), p);
  }
  EXPECT_EQ(some.to_string(), "uf1.00000abc.123456789abcdef0.000000000000004d.42");
}

TEST(remote_point, has_one_text_and_no_other) {
  for (const std::string text :
       {"", "uf1", "uf1.", "uf2.00000abc.123456789abcdef0.000000000000004d.42",
        "uf1.00000abc.123456789abcdef0.000000000000004d.042",
        "uf1.abc.123456789abcdef0.000000000000004d.42",
        "uf1.00000ABC.123456789abcdef0.000000000000004d.42",
        "uf1.00000abc.123456789abcdef0.000000000000004d.42.",
        "uf1.00000abc.123456789abcdef0.000000000000004d.-1",
        " uf1.00000abc.123456789abcdef0.000000000000004d.42",
        "uf1.00000abc.123456789abcdef0.0000000000000000.42",
        "uf1.00000abc.123456789abcdef0.ffffffffffffffff.42",
        "uf1.00000abc.123456789abcdef0.000000000000004d.18446744073709551616",
        "uf1.00000abc.123456789abcdef0.000000000000004d.4611686018427387904"}) {
    EXPECT_EQ(remote_point::parse(text).error(), errno_code(EINVAL)) << text;
  }
}

TEST(remote_point, of_bytes_is_checked) {
  const auto right = some.to_bytes();
  for (std::size_t size = 0; size < right.size(); ++size) {
    EXPECT_FALSE(remote_point::from_bytes(std::span(right).first(size)));
  }
  auto wrong = right;
  wrong[0] ^= std::byte{1};
  EXPECT_FALSE(remote_point::from_bytes(wrong)) << "version";
  wrong = right;
  for (std::size_t i = 16; i < 24; ++i) wrong[i] = std::byte{0};
  EXPECT_FALSE(remote_point::from_bytes(wrong)) << "epoch";
  wrong = right;
  wrong[31] = std::byte{0x40};
  EXPECT_FALSE(remote_point::from_bytes(wrong)) << "point";
}

TEST(net_names, are_what_fits_a_subject_or_a_line) {
  EXPECT_TRUE(is_net_namespace("demo-1_A"));
  EXPECT_TRUE(is_net_name("gpu 0, copies"));
  for (const std::string_view wrong : {"", "a.b", "a b", "*", ">", "\xc3\xa4"}) {
    EXPECT_FALSE(is_net_namespace(wrong)) << wrong;
  }
  for (const std::string_view wrong : {"", "\x1b[31m", "\xc3\xa4", "a\n"})
    EXPECT_FALSE(is_net_name(wrong)) << wrong;
  EXPECT_TRUE(is_net_name(std::string(net_name_max, 'x')));
  EXPECT_FALSE(is_net_name(std::string(net_name_max + 1, 'x')));
  EXPECT_FALSE(is_net_namespace(std::string(net_name_max + 1, 'x')));
}

}  // namespace
}  // namespace ufence

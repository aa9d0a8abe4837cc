#include "tools/ufence/cli/units.h"

#include <gtest/gtest.h>

namespace ufence::tool {
namespace {

TEST(units, numbers_are_grouped_by_three) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(1234567), "1,234,567");
}

TEST(units, sizes_have_at_most_four_digits) {
  EXPECT_EQ(byte_size(0), "0 B");
  EXPECT_EQ(byte_size(999), "999 B");
  EXPECT_EQ(byte_size(1000), "1.0 kB");
  EXPECT_EQ(byte_size(999'949), "999.9 kB");
  EXPECT_EQ(byte_size(999'960), "1.0 MB");
  EXPECT_EQ(byte_size(134.2e6), "134.2 MB");
  EXPECT_EQ(byte_size(5e18), "5000.0 PB");
}

TEST(units, durations_get_coarser) {
  EXPECT_EQ(duration(0.1821), "0.182 s");
  EXPECT_EQ(duration(12.06), "12.1 s");
  EXPECT_EQ(duration(200.9), "3 min 20 s");
}

}  // namespace
}  // namespace ufence::tool

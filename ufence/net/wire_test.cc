#include "ufence/net/wire.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ufence/net/testing/wire_fuzz.h"

namespace ufence::detail {
namespace {

value_record some_value() {
  value_record r{.timeline_id = name_number("gpu 0"), .owner = 7, .epoch = 9, .value = 1234};
  r.error = -EIO;
  r.lease_ns = 3'000'000'000;
  r.owner_time_ns = 1'700'000'000'000'000'000;
  r.timeline_name = "gpu 0";
  r.origin = {.host = "mill", .process = 4711, .driver = "ring"};
  return r;
}

TEST(net_wire, reads_what_it_wrote) {
  const value_record value = some_value();
  EXPECT_EQ(parse_value(to_bytes(value), value.timeline_id).value(), value);
  const beat sign{.owner = 7, .sent_ns = -1};
  EXPECT_EQ(parse_beat(to_bytes(sign), 7).value(), sign);
  const point_hint hint{.timeline_id = 3, .epoch = 9, .point = 5, .within_ns = 0};
  EXPECT_EQ(parse_hint(to_bytes(hint), 3).value(), hint);
}

TEST(net_wire, cuts_and_cleans_what_people_are_shown) {
  value_record value = some_value();
  value.origin.host = "\x1b[31m" + std::string(200, 'h');
  value.origin.driver = "dr\xc3\xa4ver";
  const auto read = parse_value(to_bytes(value), value.timeline_id).value();
  EXPECT_EQ(read.origin.host, "?[31m" + std::string(origin_text_max - 5, 'h'));
  EXPECT_EQ(read.origin.driver, "dr??ver");
}

TEST(net_wire, refuses_a_value_that_is_out_of_range) {
  const std::vector<std::pair<const char*, std::function<void(value_record&)>>> wrongs{
      {"owner", [](value_record& r) { r.owner = 0; }},
      {"epoch", [](value_record& r) { r.epoch = 0; }},
      {"epoch, large", [](value_record& r) { r.epoch = remote_point::epoch_max + 1; }},
      {"value", [](value_record& r) { r.value = remote_point::point_max + 1; }},
      {"error", [](value_record& r) { r.error = 1; }},
      {"error, small", [](value_record& r) { r.error = -4096; }},
      {"lease", [](value_record& r) { r.lease_ns = lease_ns_min - 1; }},
      {"lease, long", [](value_record& r) { r.lease_ns = lease_ns_max + 1; }},
      {"time", [](value_record& r) { r.owner_time_ns = -1; }},
      {"name of another timeline", [](value_record& r) { r.timeline_name = "gpu 1"; }},
      {"no name", [](value_record& r) { r.timeline_name.clear(); }},
      {"another timeline", [](value_record& r) { r.timeline_id += 1; }},
  };
  const std::uint64_t id = some_value().timeline_id;
  ASSERT_TRUE(parse_value(to_bytes(some_value()), id));
  for (const auto& [what, spoil] : wrongs) {
    value_record wrong = some_value();
    spoil(wrong);
    EXPECT_EQ(parse_value(to_bytes(wrong), id).error(), errno_code(EPROTO)) << what;
  }
}

TEST(net_wire, refuses_other_sizes_and_versions) {
  const value_record value = some_value();
  const std::vector<std::vector<std::byte>> right{
      to_bytes(value), to_bytes(beat{.owner = value.timeline_id}),
      to_bytes(point_hint{.timeline_id = value.timeline_id, .epoch = 1})};
  const auto is_read = [&](std::span<const std::byte> bytes) {
    return parse_value(bytes, value.timeline_id).has_value() ||
           parse_beat(bytes, value.timeline_id).has_value() ||
           parse_hint(bytes, value.timeline_id).has_value();
  };
  for (const auto& bytes : right) {
    ASSERT_TRUE(is_read(bytes));
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(is_read(std::span(bytes).first(size))) << size;
    }
    auto longer = bytes;
    longer.push_back(std::byte{0});
    EXPECT_FALSE(is_read(longer));
    for (std::size_t i = 0; i < 8; ++i) {  // version and size
      auto wrong = bytes;
      wrong[i] ^= std::byte{4};
      EXPECT_FALSE(is_read(wrong)) << i;
    }
  }
}

// The same checks as the fuzzer's, over mutations of right ones, seeded.
TEST(net_wire, any_bytes_are_borne) {
  std::mt19937_64 random(14);
  const std::vector<std::vector<std::byte>> right{
      to_bytes(some_value()), to_bytes(beat{.owner = 3, .sent_ns = 4}),
      to_bytes(point_hint{.timeline_id = 3, .epoch = 9, .point = 5, .within_ns = 10})};
  testing::net_fuzzed seen;
  for (int i = 0; i < 100'000; ++i) {
    std::vector<std::byte> bytes = right[random() % right.size()];
    for (std::uint64_t flips = random() % 4; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    if (random() % 8 == 0) bytes.resize(random() % 200);
    const testing::net_fuzzed one = testing::fuzz_net_wire(bytes);
    seen.is_value |= one.is_value;
    seen.is_beat |= one.is_beat;
    seen.is_hint |= one.is_hint;
  }
  EXPECT_TRUE(seen.is_value && seen.is_beat && seen.is_hint);
}

}  // namespace
}  // namespace ufence::detail

// Any bytes of another process are read or refused, never more: mutations of right ones, seeded.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <random>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/fence/testing/support.h"
#include "ufence/sync/testing/wire_fuzz.h"

namespace ufence::testing {
namespace {

std::chrono::milliseconds fuzz_time() {
  const char* const asked = std::getenv("UFENCE_FUZZ_MS");
  return std::chrono::milliseconds(asked != nullptr ? std::atoll(asked) : 1000);
}

using bytes = std::vector<std::byte>;

bytes right_record() {
  new_fence a = make_fence();
  new_fence b = make_fence();
  const fence_ref both = fence_array::create(std::array{a.fence, b.fence}).value();
  bytes record(detail::record_room(both).value());
  record.resize(detail::write_record(record, "a name", both));
  a.signal.signal();
  b.signal.signal(-EIO);
  return record;
}
bytes right_address() {
  const detail::socket_address address = detail::write_address({.exporter = 0x123456789abcdef0,
                                                                .serial = 77,
                                                                .context = 5,
                                                                .seqno = 6,
                                                                .driver_name = "driver",
                                                                .timeline_name = "timeline"});
  const auto* const path = reinterpret_cast<const std::byte*>(address.name.sun_path);
  return {path, path + address.size - offsetof(sockaddr_un, sun_path)};
}
bytes right_request() {
  const detail::sync_request request{.has_deadline = 1, .deadline_ns = 12345};
  const auto view = std::as_bytes(std::span(&request, 1));
  return {view.begin(), view.end()};
}

void mutate(bytes& what, std::mt19937_64& random) {
  const auto below = [&random](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  for (std::size_t changes = below(6); changes != 0 && !what.empty(); --changes) {
    const std::size_t at = below(what.size());
    switch (below(5)) {
      case 0: what[at] = static_cast<std::byte>(random()); break;
      case 1: what[at] ^= static_cast<std::byte>(1U << below(8)); break;
      case 2: what[at] = std::byte{0xff}; break;
      case 3: what.insert(what.begin() + static_cast<std::ptrdiff_t>(at), std::byte{0}); break;
      default: what.resize(what.size() - below(std::min<std::size_t>(what.size(), 16))); break;
    }
  }
}

TEST(wire, survives_any_bytes) {
  const std::array<bytes, 3> right = {right_record(), right_address(), right_request()};
  const auto end = std::chrono::steady_clock::now() + fuzz_time();
  std::array<std::uint64_t, 3> read{};
  std::uint64_t refused = 0;
  for (std::uint64_t seed = 0; std::chrono::steady_clock::now() < end; ++seed) {
    std::mt19937_64 random(seed);
    bytes some = right[seed % right.size()];
    mutate(some, random);
    const fuzzed seen = fuzz_wire(some);
    read[0] += seen.is_record ? 1 : 0;
    read[1] += seen.is_address ? 1 : 0;
    read[2] += seen.is_request ? 1 : 0;
    refused += !seen.is_record && !seen.is_address && !seen.is_request ? 1 : 0;
  }
  for (const std::uint64_t n : read) EXPECT_GT(n, 0U);
  EXPECT_GT(refused, 0U);
}

TEST(wire, names_that_have_no_room_are_cut_off) {
  const std::string driver(40, 'd');
  const std::string timeline(40, 't');
  const detail::socket_address address = detail::write_address({.exporter = UINT64_MAX,
                                                                .serial = UINT64_MAX,
                                                                .context = UINT64_MAX,
                                                                .seqno = UINT64_MAX,
                                                                .driver_name = driver,
                                                                .timeline_name = timeline});
  const auto told = detail::parse_address(address);
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->seqno, UINT64_MAX);
  EXPECT_FALSE(told->driver_name.empty());
  EXPECT_TRUE(driver.starts_with(told->driver_name));
  EXPECT_FALSE(told->timeline_name.empty());
  EXPECT_TRUE(timeline.starts_with(told->timeline_name));
}

}  // namespace
}  // namespace ufence::testing

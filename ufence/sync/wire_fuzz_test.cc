// Any bytes of another process are read or refused, never more: mutations of right ones, seeded.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <string_view>
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
const detail::label_secret secret{.key = {1, 2, 3, 4}, .of_label = {5}, .of_verdict = {6}};

// The key, and the name of a socket.
bytes with_key(const detail::socket_address& address) {
  const std::size_t path_size = address.size - offsetof(sockaddr_un, sun_path);
  bytes all(sizeof secret.key + path_size);
  std::memcpy(all.data(), secret.key.data(), sizeof secret.key);
  std::memcpy(all.data() + sizeof secret.key, address.name.sun_path, path_size);
  return all;
}
bytes right_label() {
  return with_key(detail::write_label({.timeline = 5,
                                       .context = 7,
                                       .seqno = 6,
                                       .driver_name = "driver",
                                       .timeline_name = "timeline",
                                       .file_name = "file"},
                                      secret));
}
bytes right_verdict() {
  return with_key(detail::write_verdict({.status = -EIO, .timestamp_ns = 77}, secret));
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
  const std::array<bytes, 4> right = {right_record(), right_label(), right_verdict(),
                                      right_request()};
  const auto end = std::chrono::steady_clock::now() + fuzz_time();
  std::array<std::uint64_t, 5> read{};
  std::uint64_t refused = 0;
  for (std::uint64_t seed = 0; std::chrono::steady_clock::now() < end; ++seed) {
    std::mt19937_64 random(seed);
    bytes some = right[seed % right.size()];
    mutate(some, random);
    const fuzzed seen = fuzz_wire(some);
    read[0] += seen.is_record ? 1 : 0;
    read[1] += seen.is_label ? 1 : 0;
    read[2] += seen.is_readable_label ? 1 : 0;
    read[3] += seen.is_verdict ? 1 : 0;
    read[4] += seen.is_request ? 1 : 0;
    refused += !seen.is_record && !seen.is_label && !seen.is_verdict && !seen.is_request ? 1 : 0;
  }
  for (const std::uint64_t n : read) EXPECT_GT(n, 0U);
  EXPECT_GT(refused, 0U);
}

TEST(label, names_that_have_no_room_are_cut_off) {
  const std::string driver(40, 'd');
  const std::string timeline(40, 't');
  const detail::socket_address address = detail::write_label({.timeline = UINT64_MAX,
                                                              .seqno = UINT64_MAX,
                                                              .driver_name = driver,
                                                              .timeline_name = timeline,
                                                              .file_name = "file",
                                                              .seqno_wraps = true},
                                                             secret);
  const auto told = detail::open_label(address, secret.key);
  ASSERT_TRUE(told && told->is_readable);
  EXPECT_TRUE(told->seqno_wraps);
  EXPECT_EQ(told->timeline, UINT64_MAX);
  EXPECT_EQ(told->seqno, UINT64_MAX);
  const std::string_view driver_told = told->driver_name.data();
  const std::string_view timeline_told = told->timeline_name.data();
  EXPECT_FALSE(driver_told.empty());
  EXPECT_TRUE(driver.starts_with(driver_told));
  EXPECT_FALSE(timeline_told.empty());
  EXPECT_TRUE(timeline.starts_with(timeline_told));
}

TEST(label, says_everything_with_the_key_and_nothing_without) {
  const bytes label = right_label();
  detail::socket_address address;
  address.name.sun_family = AF_UNIX;
  const std::size_t n = label.size() - sizeof secret.key;
  std::memcpy(address.name.sun_path, label.data() + sizeof secret.key, n);
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + n);
  const auto told = detail::open_label(address, secret.key);
  ASSERT_TRUE(told && told->is_readable);
  EXPECT_EQ(told->timeline, 5U);
  EXPECT_EQ(told->context, 7U);
  EXPECT_FALSE(told->seqno_wraps);
  EXPECT_EQ(told->seqno, 6U);
  EXPECT_STREQ(told->driver_name.data(), "driver");
  EXPECT_STREQ(told->timeline_name.data(), "timeline");
  EXPECT_STREQ(told->file_name.data(), "file");
  for (std::size_t word = 0; word < secret.key.size(); ++word) {
    auto wrong = secret.key;
    wrong[word] ^= 1;
    const auto other = detail::open_label(address, wrong);
    ASSERT_TRUE(other.has_value());
    EXPECT_FALSE(other->is_readable);
  }
  const std::string_view shown(address.name.sun_path, sizeof address.name.sun_path);
  for (const char* name : {"driver", "timeline", "file"}) {
    EXPECT_EQ(shown.find(name), shown.npos) << name;
  }
}

TEST(label, verdicts_are_read_with_the_key_alone) {
  for (const std::int32_t status : {1, -1, -EIO, -4095}) {
    const auto address = detail::write_verdict({.status = status, .timestamp_ns = 99}, secret);
    const auto told = detail::open_verdict(address, secret.key);
    ASSERT_TRUE(told.has_value());
    EXPECT_EQ(told->status, status);
    EXPECT_EQ(told->timestamp_ns, 99);
    EXPECT_EQ(detail::open_verdict(address, {9, 9, 9, 9}).value().status, -EPROTO);
    EXPECT_FALSE(detail::open_label(address, secret.key).has_value());
  }
  for (const std::int32_t status : {0, 2, -4096}) {
    const auto address = detail::write_verdict({.status = status}, secret);
    EXPECT_EQ(detail::open_verdict(address, secret.key).value().status, -EPROTO) << status;
  }
}

}  // namespace
}  // namespace ufence::testing

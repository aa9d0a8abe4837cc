// What every sequence of bytes must stand when it is read as something that came from another host.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include "ufence/net/wire.h"

namespace ufence::testing {

struct net_fuzzed {
  bool is_value = false;
  bool is_beat = false;
  bool is_hint = false;
  bool is_point = false;
};

inline void net_fuzz_expect(bool holds) {
  if (!holds) std::abort();
}

/// Reads the bytes as each of what hosts send, by the subject that they name themselves; aborts
/// where a reader lets something pass that breaks what the rest relies on, or that is not what its
/// writer makes of it.
inline net_fuzzed fuzz_net_wire(std::span<const std::byte> bytes) {
  net_fuzzed seen;
  std::uint64_t subject = 0;
  if (bytes.size() >= 16) std::memcpy(&subject, bytes.data() + 8, sizeof subject);
  const auto is_text = [](std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
  };
  if (const auto value = detail::parse_value(bytes, subject)) {
    seen.is_value = true;
    net_fuzz_expect(value->timeline_id == subject && value->owner != 0);
    net_fuzz_expect(value->epoch >= 1 && value->epoch <= remote_point::epoch_max);
    net_fuzz_expect(value->value <= remote_point::point_max);
    net_fuzz_expect(value->error <= 0 && value->error >= -4095);
    net_fuzz_expect(value->lease_ns >= detail::lease_ns_min &&
                    value->lease_ns <= detail::lease_ns_max);
    net_fuzz_expect(is_net_name(value->timeline_name) &&
                    detail::name_number(value->timeline_name) == subject);
    net_fuzz_expect(is_text(value->origin.host) && is_text(value->origin.driver));
    net_fuzz_expect(std::ranges::equal(to_bytes(*value), bytes));
    net_fuzz_expect(!detail::parse_value(bytes, subject + 1));
  }
  if (const auto sign = detail::parse_beat(bytes, subject)) {
    seen.is_beat = true;
    net_fuzz_expect(sign->owner == subject && subject != 0);
    net_fuzz_expect(std::ranges::equal(to_bytes(*sign), bytes));
    net_fuzz_expect(!detail::parse_beat(bytes, subject + 1));
  }
  if (const auto hint = detail::parse_hint(bytes, subject)) {
    seen.is_hint = true;
    net_fuzz_expect(hint->point <= remote_point::point_max && hint->within_ns >= -1);
    net_fuzz_expect(std::ranges::equal(to_bytes(*hint), bytes));
    net_fuzz_expect(!detail::parse_hint(bytes, subject + 1));
  }
  if (const auto point = remote_point::from_bytes(bytes)) {
    seen.is_point = true;
    net_fuzz_expect(std::ranges::equal(point->to_bytes(), bytes));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (const auto point = remote_point::parse(text)) {
    seen.is_point = true;
    net_fuzz_expect(point->to_string() == text);
  }
  return seen;
}

}  // namespace ufence::testing

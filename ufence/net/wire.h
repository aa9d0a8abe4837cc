// The messages that hosts send each other: the state of a timeline, signs of life of an owner, hints to an
// owner. Everything that comes from outside is read here, and refused if anything of it is wrong.
// Inside the layer only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ufence/base/result.h"
#include "ufence/net/remote_point.h"

namespace ufence::detail {

inline constexpr std::int64_t lease_ns_min = 50'000'000;
inline constexpr std::int64_t lease_ns_max = 60'000'000'000;
/// Of a driver's name and a host's name; longer ones are cut.
inline constexpr std::size_t origin_text_max = 64;

/// Whose state it is: told together with an error, and shown to people.
struct origin_text {
  std::string host;
  std::uint32_t process = 0;
  std::string driver;
  bool operator==(const origin_text&) const = default;
};

/// The state of one timeline. The stream keeps the last one of each timeline.
struct value_record {
  std::uint64_t timeline_id = 0;
  std::uint64_t owner = 0;  // the link that owns it; whose signs of life count
  std::uint64_t epoch = 0;
  std::uint64_t value = 0;         // all points up to this one are reached
  std::int32_t error = 0;          // 0; or later points end with this negative errno
  std::int64_t lease_ns = 0;       // of the owner
  std::int64_t owner_time_ns = 0;  // CLOCK_REALTIME of the owner, when it was signaled
  std::string timeline_name = {};
  origin_text origin = {};
  bool operator==(const value_record&) const = default;
};

/// A sign of life of an owner, of all its timelines.
struct beat {
  std::uint64_t owner = 0;
  std::int64_t sent_ns = 0;  // the owner's CLOCK_MONOTONIC: it alone makes something of it
  bool operator==(const beat&) const = default;
};

/// A hint of an importer to the owner: somebody waits for a point, and by when.
struct point_hint {
  std::uint64_t timeline_id = 0;
  std::uint64_t epoch = 0;
  std::uint64_t point = 0;
  std::int64_t within_ns = -1;  // from when it arrives; -1: no deadline
  bool operator==(const point_hint&) const = default;
};

/// Text beyond the limits is cut. Throws std::bad_alloc.
[[nodiscard]] std::vector<std::byte> to_bytes(const value_record& record);
[[nodiscard]] std::vector<std::byte> to_bytes(const beat& sign);
[[nodiscard]] std::vector<std::byte> to_bytes(const point_hint& hint);

/// @param timeline_id  of the subject that it came by
/// @return  -EPROTO it is none, or one of another timeline; -ENOMEM
[[nodiscard]] result<value_record> parse_value(std::span<const std::byte> bytes,
                                               std::uint64_t timeline_id) noexcept;
/// @param owner  of the subject
/// @return  -EPROTO
[[nodiscard]] result<beat> parse_beat(std::span<const std::byte> bytes,
                                      std::uint64_t owner) noexcept;
/// @param timeline_id  of the subject
/// @return  -EPROTO
[[nodiscard]] result<point_hint> parse_hint(std::span<const std::byte> bytes,
                                            std::uint64_t timeline_id) noexcept;

}  // namespace ufence::detail

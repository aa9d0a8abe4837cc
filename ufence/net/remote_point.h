// remote_point: the name of one point of a timeline of any host, 32 bytes, to be sent by whatever
// way.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "ufence/base/api.h"
#include "ufence/base/result.h"

namespace ufence {

/// How long names of namespaces and of timelines may be.
inline constexpr std::size_t net_name_max = 63;

/// Up to net_name_max letters, digits, '-' and '_', at least one: what a namespace may be called.
[[nodiscard]] UFENCE_API bool is_net_namespace(std::string_view name) noexcept;
/// Up to net_name_max printable ASCII characters, at least one: what a timeline may be called.
[[nodiscard]] UFENCE_API bool is_net_name(std::string_view name) noexcept;

/// By value: which namespace, which timeline (both by numbers made of their names), which epoch of
/// its owner, which point. An owner that starts again has another epoch: an old remote_point fails,
/// and never comes to mean something else.
struct UFENCE_API remote_point {
  static constexpr std::uint32_t this_version = 0x756e0001;
  static constexpr std::uint64_t epoch_max = (std::uint64_t{1} << 63) - 1;
  static constexpr std::uint64_t point_max = (std::uint64_t{1} << 62) - 1;
  static constexpr std::size_t bytes = 32;

  std::uint32_t version = this_version;
  std::uint32_t namespace_id = 0;
  std::uint64_t timeline_id = 0;
  std::uint64_t epoch = 0;  // 1 to epoch_max
  std::uint64_t point = 0;  // up to point_max

  auto operator<=>(const remote_point&) const = default;

  /// "uf1.NAMESPACE.TIMELINE.EPOCH.POINT": three numbers in hexadecimal, the point in decimal.
  [[nodiscard]] std::string to_string() const;
  /// Reads a text that to_string() made, and no other.
  /// @return  -EINVAL
  [[nodiscard]] static result<remote_point> parse(std::string_view text) noexcept;

  /// In little endian, whatever the machine is.
  [[nodiscard]] std::array<std::byte, bytes> to_bytes() const noexcept;
  /// @return  -EINVAL another size or version, or an epoch or a point out of range
  [[nodiscard]] static result<remote_point> from_bytes(std::span<const std::byte> from) noexcept;
};
static_assert(sizeof(remote_point) == remote_point::bytes);

namespace detail {

/// The number that stands for a name in subjects and in remote points. Two names of one number are
/// told apart by the records, which have the names.
[[nodiscard]] std::uint64_t name_number(std::string_view name) noexcept;

}  // namespace detail
}  // namespace ufence

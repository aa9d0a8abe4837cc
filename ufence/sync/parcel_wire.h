// The bytes of a parcel. What arrives is checked here.
//
//   head    magic, how many items, how many bytes, tag
//   items   kind and point of each; each but an empty syncobj has one descriptor, in this order
//   bytes   the users'
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ufence/base/result.h"

namespace ufence::detail {

enum class parcel_kind : std::uint32_t { fence = 1, syncobj = 2, empty_syncobj = 3, timeline = 4 };

struct parcel_head {
  static constexpr std::uint32_t right_magic = 0x75667001;
  std::uint32_t magic = right_magic;
  std::uint32_t items = 0;
  std::uint64_t bytes = 0;
  std::uint64_t tag = 0;
};
struct parcel_item {
  parcel_kind kind{};
  std::uint32_t zero = 0;
  std::uint64_t point = 0;  // of a syncobj: the last; 0: binary
};

[[nodiscard]] constexpr std::size_t parcel_size(std::size_t items, std::size_t bytes) noexcept {
  return sizeof(parcel_head) + items * sizeof(parcel_item) + bytes;
}
[[nodiscard]] constexpr bool has_descriptor(parcel_kind kind) noexcept {
  return kind != parcel_kind::empty_syncobj;
}

/// A parcel that was checked.
class parcel_view {
 public:
  /// @return  -EPROTO not a parcel with so many descriptors, or beyond these limits
  [[nodiscard]] static result<parcel_view> parse(std::span<const std::byte> message,
                                                 std::size_t fds, std::size_t items_max,
                                                 std::size_t bytes_max) noexcept;

  [[nodiscard]] std::uint64_t tag() const noexcept { return head_.tag; }
  [[nodiscard]] std::size_t items() const noexcept { return head_.items; }
  [[nodiscard]] parcel_item item(std::size_t i) const noexcept;
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return message_.subspan(parcel_size(head_.items, 0));
  }

 private:
  parcel_head head_;
  std::span<const std::byte> message_;
};

}  // namespace ufence::detail

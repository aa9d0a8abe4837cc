// Numbers and texts as bytes, little endian whatever the machine is. Inside the layer only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ufence::detail {

/// Writes from the front of memory that has room for all of it.
class byte_writer {
 public:
  explicit byte_writer(std::span<std::byte> to) noexcept : to_(to) {}

  void u16(std::uint16_t number) noexcept { put(number, sizeof number); }
  void u32(std::uint32_t number) noexcept { put(number, sizeof number); }
  void u64(std::uint64_t number) noexcept { put(number, sizeof number); }
  void i64(std::int64_t number) noexcept { put(static_cast<std::uint64_t>(number), sizeof number); }
  void text(std::string_view bytes) noexcept {
    std::ranges::copy(std::as_bytes(std::span(bytes)), to_.begin());
    to_ = to_.subspan(bytes.size());
  }

 private:
  void put(std::uint64_t number, std::size_t size) noexcept {
    for (std::byte& byte : to_.first(size)) {
      byte = static_cast<std::byte>(number & 0xff);
      number >>= 8;
    }
    to_ = to_.subspan(size);
  }

  std::span<std::byte> to_;
};

/// Reads from the front. What is not there reads as 0, and is noted.
class byte_reader {
 public:
  explicit byte_reader(std::span<const std::byte> from) noexcept : from_(from) {}

  std::uint16_t u16() noexcept { return static_cast<std::uint16_t>(take(2)); }
  std::uint32_t u32() noexcept { return static_cast<std::uint32_t>(take(4)); }
  std::uint64_t u64() noexcept { return take(8); }
  std::int64_t i64() noexcept { return static_cast<std::int64_t>(take(8)); }
  std::string_view text(std::size_t size) noexcept {
    if (size > from_.size()) {
      is_short_ = true;
      return {};
    }
    const auto bytes = from_.first(size);
    from_ = from_.subspan(size);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  /// All was there, and nothing is left.
  [[nodiscard]] bool is_exact() const noexcept { return !is_short_ && from_.empty(); }

 private:
  std::uint64_t take(std::size_t size) noexcept {
    if (size > from_.size()) {
      is_short_ = true;
      from_ = {};
      return 0;
    }
    std::uint64_t number = 0;
    for (std::size_t i = size; i-- > 0;)
      number = number << 8 | std::to_integer<std::uint64_t>(from_[i]);
    from_ = from_.subspan(size);
    return number;
  }

  std::span<const std::byte> from_;
  bool is_short_ = false;
};

}  // namespace ufence::detail

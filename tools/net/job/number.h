// Numbers in messages: eight bytes, the lowest first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ufence::tool {

inline constexpr std::size_t number_bytes = 8;

inline void append_number(std::string& to, std::uint64_t number) {
  for (std::size_t i = 0; i < number_bytes; ++i) to += static_cast<char>(number >> (8 * i) & 0xff);
}

/// The bytes are there.
[[nodiscard]] inline std::uint64_t number_at(std::string_view from, std::size_t at) {
  std::uint64_t number = 0;
  for (std::size_t i = number_bytes; i-- > 0;) {
    number = number << 8 | static_cast<unsigned char>(from[at + i]);
  }
  return number;
}

}  // namespace ufence::tool

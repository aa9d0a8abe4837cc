// The lines of a checksum file, byte for byte as sha256sum prints them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace ufence::tool {

using sha256_digest = std::array<std::uint8_t, 32>;

/// Appends "<hex>  <path>\n". A path with a newline, carriage return or backslash is escaped, and
/// its line begins with a backslash, as coreutils 9 does.
void append_sum_line(std::string& out, const sha256_digest& digest, std::string_view path);

/// The path as part of one line on a terminal: control bytes and backslashes are escaped,
/// everything else, valid UTF-8 or not, stays as it is.
[[nodiscard]] std::string printable(std::string_view path);

}  // namespace ufence::tool

// Numbers for people.
#pragma once

#include <cstdint>
#include <string>

namespace ufence::tool {

/// 12,345
[[nodiscard]] std::string grouped(std::uint64_t number);
/// "512 B", "1.5 kB", "134.2 MB": decimal units
[[nodiscard]] std::string byte_size(double bytes);
/// "0.182 s", "12.1 s", "3 min 20 s"
[[nodiscard]] std::string duration(double seconds);

}  // namespace ufence::tool

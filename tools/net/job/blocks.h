// The blocks of a file on their way over the server: each says which attempt it belongs to and
// where it begins. They come in order, and some of them twice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ufence/base/result.h"

namespace ufence::tool {

/// @param bytes  empty: the end of the file
/// @param error  a negative errno: the file could not be read
[[nodiscard]] std::string block_message(std::uint64_t attempt, std::uint64_t offset,
                                        std::string_view bytes, int error = 0);
/// How many bytes block_message() adds.
inline constexpr std::size_t block_head_bytes = 24;

/// Puts them in order.
class block_order {
 public:
  /// @return  nothing: it was one that had come already; 0: the end; how many bytes were taken;
  ///          -EPROTO it makes no sense; -ESTALE one is missing, or of another attempt; what the
  ///          run said of the file
  [[nodiscard]] result<std::optional<std::size_t>> take(std::string_view message,
                                                        std::uint64_t attempt,
                                                        std::span<std::byte> to);

 private:
  std::uint64_t next_ = 0;
};

}  // namespace ufence::tool

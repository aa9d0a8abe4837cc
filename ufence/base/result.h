// Errors that cross a function or a layer: errno values in a std::error_code.
#pragma once

#include <cerrno>
#include <expected>
#include <system_error>

namespace ufence {

template <class T>
using result = std::expected<T, std::error_code>;

/// An errno value (positive, ETIME) as an error code; 0 is success.
[[nodiscard]] inline std::error_code errno_code(int errno_value) noexcept {
  return errno_value == 0 ? std::error_code()
                          : std::error_code(errno_value, std::generic_category());
}
/// The failure of a result.
[[nodiscard]] inline std::unexpected<std::error_code> failure(int errno_value) noexcept {
  return std::unexpected(errno_code(errno_value));
}

}  // namespace ufence

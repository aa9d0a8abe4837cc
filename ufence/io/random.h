// Random numbers that others can't guess, without waiting for them.
#pragma once

#include <sys/random.h>

#include <cstddef>

namespace ufence::detail {

/// Fills memory with random bytes; false if the kernel has none at all. Early after boot they are
/// what there is by then.
[[nodiscard]] inline bool fill_random(void* to, std::size_t bytes) noexcept {
  const auto size = static_cast<ssize_t>(bytes);
  return ::getrandom(to, bytes, GRND_INSECURE) == size ||
         ::getrandom(to, bytes, GRND_NONBLOCK) == size;  // before Linux 5.6
}

}  // namespace ufence::detail

// Numbers that another process can't foresee.
#pragma once

#include <cstdint>

namespace ufence::detail {

/// Mixes two numbers with a random one of this process, the same each time.
[[nodiscard]] std::uint64_t mix_secretly(std::uint64_t a, std::uint64_t b = 0) noexcept;

/// False: the system refuses random numbers, so that everybody can foresee the above.
[[nodiscard]] bool has_secret() noexcept;

}  // namespace ufence::detail

// Seqnos: which of two is the later one.
#pragma once

#include <cstdint>

namespace ufence {

/// Is seqno `a` later than `b`? The one place where seqnos are compared.
[[nodiscard]] constexpr bool is_later(std::uint64_t a, std::uint64_t b) noexcept { return a > b; }
/// The same for 32-bit device words, which wrap: later by less than 2^31.
[[nodiscard]] constexpr bool is_later(std::uint32_t a, std::uint32_t b) noexcept {
  return static_cast<std::int32_t>(a - b) > 0;
}
/// The 64-bit seqno that a 32-bit word stands for, given one that is at most 2^31 - 1 before it. A
/// word that is not later stands for `reference` itself.
[[nodiscard]] constexpr std::uint64_t extend_seqno(std::uint32_t word,
                                                   std::uint64_t reference) noexcept {
  const auto low = static_cast<std::uint32_t>(reference);
  return is_later(word, low) ? reference + (word - low) : reference;
}

}  // namespace ufence

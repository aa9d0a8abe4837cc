// ChaCha20 (RFC 8439): hides a few bytes from those who do not have the key.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ufence::detail {

using cipher_key = std::array<std::uint32_t, 8>;
using cipher_nonce = std::array<std::uint32_t, 3>;  // never twice with one key
inline constexpr std::size_t cipher_block_bytes = 64;

/// One block of the key stream.
[[nodiscard]] std::array<std::uint8_t, cipher_block_bytes> cipher_block(
    const cipher_key& key, std::uint32_t counter, const cipher_nonce& nonce) noexcept;

/// Enciphers or deciphers bytes in place, up to one block of them.
void cipher_in_place(std::span<std::uint8_t> bytes, const cipher_key& key,
                     const cipher_nonce& nonce) noexcept;

}  // namespace ufence::detail

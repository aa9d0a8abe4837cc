#include "ufence/io/cipher.h"

#include <bit>

namespace ufence::detail {
namespace {

using state = std::array<std::uint32_t, 16>;

void quarter_round(state& s, std::size_t a, std::size_t b, std::size_t c, std::size_t d) noexcept {
  s[a] += s[b];
  s[d] = std::rotl(s[d] ^ s[a], 16);
  s[c] += s[d];
  s[b] = std::rotl(s[b] ^ s[c], 12);
  s[a] += s[b];
  s[d] = std::rotl(s[d] ^ s[a], 8);
  s[c] += s[d];
  s[b] = std::rotl(s[b] ^ s[c], 7);
}

}  // namespace

std::array<std::uint8_t, cipher_block_bytes> cipher_block(const cipher_key& key,
                                                          std::uint32_t counter,
                                                          const cipher_nonce& nonce) noexcept {
  const state begin = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, key[0], key[1],
                       key[2],     key[3],     key[4],     key[5],     key[6], key[7],
                       counter,    nonce[0],   nonce[1],   nonce[2]};
  state s = begin;
  for (int round = 0; round < 10; ++round) {
    for (std::size_t i = 0; i < 4; ++i) quarter_round(s, i, i + 4, i + 8, i + 12);
    for (std::size_t i = 0; i < 4; ++i) {
      quarter_round(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
  }
  std::array<std::uint8_t, cipher_block_bytes> block;
  for (std::size_t i = 0; i < s.size(); ++i) {
    const std::uint32_t word = s[i] + begin[i];
    for (std::size_t j = 0; j < 4; ++j) block[4 * i + j] = static_cast<std::uint8_t>(word >> 8 * j);
  }
  return block;
}

void cipher_in_place(std::span<std::uint8_t> bytes, const cipher_key& key,
                     const cipher_nonce& nonce) noexcept {
  const auto block = cipher_block(key, 0, nonce);
  for (std::size_t i = 0; i < bytes.size() && i < block.size(); ++i) bytes[i] ^= block[i];
}

}  // namespace ufence::detail

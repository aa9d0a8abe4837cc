#include "drivers/cpu/sha256.h"

// Deprecated since 3.0 in favour of EVP, whose context cannot lie in memory of ours: see sha256.h.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <type_traits>

namespace ufence::cpu {

static_assert(sizeof(SHA256_CTX) <= sizeof(ufence_cpu_sha256));
static_assert(alignof(SHA256_CTX) <= alignof(ufence_cpu_sha256));
static_assert(std::is_trivially_copyable_v<SHA256_CTX>);

namespace {
SHA256_CTX* context(ufence_cpu_sha256& state) noexcept {
  return reinterpret_cast<SHA256_CTX*>(state.opaque);
}
}  // namespace

void sha256_begin(ufence_cpu_sha256& state) noexcept { SHA256_Init(context(state)); }

void sha256_update(ufence_cpu_sha256& state, std::span<const std::byte> data) noexcept {
  SHA256_Update(context(state), data.data(), data.size());
}

void sha256_end(ufence_cpu_sha256& state, std::uint8_t* digest) noexcept {
  SHA256_Final(digest, context(state));
}

}  // namespace ufence::cpu

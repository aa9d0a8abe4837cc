#include "ufence/sync/process_secret.h"

#include "ufence/io/random.h"

namespace ufence::detail {
namespace {

std::uint64_t secret() noexcept {
  static const std::uint64_t secret_number = [] {
    std::uint64_t random = 0;
    static_cast<void>(fill_random(&random, sizeof random));
    return random;
  }();
  return secret_number;
}

}  // namespace

bool has_secret() noexcept { return secret() != 0; }

std::uint64_t mix_secretly(std::uint64_t a, std::uint64_t b) noexcept {
  a = (a ^ secret()) * 0xBF58476D1CE4E5B9;
  a = (a ^ (a >> 31) ^ b) * 0x94D049BB133111EB;
  a = (a ^ (a >> 30)) * 0xBF58476D1CE4E5B9;
  return a ^ (a >> 29);
}

}  // namespace ufence::detail

// The baseline of wake-ups: a futex word with nothing around it.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace ufence::bench {

/// @tparam flags  FUTEX_PRIVATE_FLAG, or 0 for a word that processes share
template <int flags>
class bare_word {
 public:
  void set(std::uint32_t value) noexcept {
    word_.store(value, std::memory_order_release);
    futex(FUTEX_WAKE, 1);
  }
  void wait_for(std::uint32_t value) noexcept {
    for (;;) {
      const std::uint32_t seen = word_.load(std::memory_order_acquire);
      if (seen == value) return;
      futex(FUTEX_WAIT, seen);
    }
  }

 private:
  void futex(int operation, std::uint32_t value) noexcept {
    ::syscall(SYS_futex, &word_, operation | flags, value, nullptr, nullptr, 0);
  }
  alignas(64) std::atomic<std::uint32_t> word_{0};
};

}  // namespace ufence::bench

// Double of ufence/base/futex.h for the lab. Waiting for several words is not offered, as by a
// kernel without futex_waitv.
#pragma once

#include <cerrno>
#include <cstdint>
#include <source_location>
#include <span>

#include "ufence/base/atomic.h"

namespace ufence {

namespace futex_class {
inline constexpr std::uint32_t any = 0xFFFFFFFF;
inline constexpr std::uint32_t lock = 1;
inline constexpr std::uint32_t state = 2;
}  // namespace futex_class

inline int futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected,
                      std::int64_t deadline_ns, std::uint32_t sleepers = futex_class::any,
                      std::source_location where = std::source_location::current()) noexcept {
  return lab::hooks::futex_wait(word.address(), expected, deadline_ns, sleepers, where);
}

inline void futex_wake_all(const atomic<std::uint32_t>& word,
                           std::uint32_t sleepers = futex_class::any,
                           std::source_location where = std::source_location::current()) noexcept {
  lab::hooks::futex_wake(word.address(), sleepers, where);
}

struct futex_waiter {
  const atomic<std::uint32_t>* word;
  std::uint32_t expected;
};
inline constexpr std::size_t futex_wait_any_max = 128;

inline int futex_wait_any(std::span<const futex_waiter>, std::int64_t) noexcept { return -ENOSYS; }

}  // namespace ufence

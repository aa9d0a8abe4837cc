// Double of ufence/base/futex.h for the lab. Waiting for several words is offered if
// settings::has_futex_waitv says so.
#pragma once

#include <array>
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

// No signals here.
inline int futex_wait_interruptible(
    const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline_ns,
    std::uint32_t sleepers = futex_class::any,
    std::source_location where = std::source_location::current()) noexcept {
  return futex_wait(word, expected, deadline_ns, sleepers, where);
}

inline void futex_wake_all(const atomic<std::uint32_t>& word,
                           std::uint32_t sleepers = futex_class::any,
                           std::source_location where = std::source_location::current()) noexcept {
  lab::hooks::futex_wake(word.address(), sleepers, where);
}

// All "processes" of a scenario are its threads.
inline int futex_wait_shared(
    const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline_ns,
    std::source_location where = std::source_location::current()) noexcept {
  return futex_wait(word, expected, deadline_ns, futex_class::any, where);
}

inline void futex_wake_all_shared(
    const atomic<std::uint32_t>& word,
    std::source_location where = std::source_location::current()) noexcept {
  futex_wake_all(word, futex_class::any, where);
}

struct futex_waiter {
  const atomic<std::uint32_t>* word;
  std::uint32_t expected;
  bool is_shared = false;
};
inline constexpr std::size_t futex_wait_any_max = 128;

inline int futex_wait_any(std::span<const futex_waiter> words, std::int64_t deadline_ns,
                          std::source_location where = std::source_location::current()) noexcept {
  std::array<lab::hooks::futex_word, lab::hooks::futex_words_max> asked;
  if (words.size() > asked.size()) return -ENOSYS;
  for (std::size_t i = 0; i < words.size(); ++i) {
    asked[i] = {.word = words[i].word->address(), .expected = words[i].expected};
  }
  return lab::hooks::futex_wait_any({asked.data(), words.size()}, deadline_ns, where);
}

}  // namespace ufence

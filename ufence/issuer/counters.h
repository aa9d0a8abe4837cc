// Counts that an unload waits for: threads inside module code, jobs, data not retired.
//
// Orders (explored as the models of entering a module against closing it, and of the last op's
// retire against unmapping):
//   ISSUER.2/3 leave against close: flag and count are one word, so one side sees the other
//   ISSUER.2   leave against the unloader that saw the count at 0
//   ISSUER.4/5 the last retire against the unloader that saw the count at 0
#pragma once

#include <cerrno>
#include <cstdint>

#include "ufence/base/atomic.h"
#include "ufence/base/futex.h"
#include "ufence/base/futex_until.h"

namespace ufence::detail {

/// The door to a module's code. Threads: any.
class module_gate {
 public:
  /// True: inside, until leave(). False once it is closed.
  [[nodiscard]] bool enter() noexcept {
    // relaxed: the uses of the module come before leave(), which its end waits for; a thread that finds it
    // closed uses nothing
    if ((word_.fetch_add(one, mo::relaxed) & closing) == 0) return true;
    leave();
    return false;
  }
  void leave() noexcept {
    // [ISSUER.2] release: the uses of the module come before its end; pairs with [ISSUER.3],
    // [ISSUER.6]
    if (word_.fetch_sub(one, mo::release) == (one | closing)) futex_wake_all(word_);
  }
  /// Nobody enters any more.
  void close() noexcept {
    // [ISSUER.3] acquire: see what those did who have left; pairs with [ISSUER.2]
    word_.fetch_or(closing, mo::acquire);
  }
  /// After close(): waits until nobody is inside. 0 or -ETIME.
  [[nodiscard]] int wait_empty(std::int64_t deadline_ns) const noexcept {
    const bool is_empty = futex_wait_until(word_, deadline_ns, [this](std::uint32_t& word) {
      // [ISSUER.6] acquire: see what those did who have left; pairs with [ISSUER.2]
      word = word_.load(mo::acquire);
      return word == closing;
    });
    return is_empty ? 0 : -ETIME;
  }
  /// How many threads were inside.
  [[nodiscard]] std::uint32_t inside() const noexcept {
    // relaxed: stale on return
    return word_.load(mo::relaxed) / one;
  }

 private:
  static constexpr std::uint32_t closing = 1;
  static constexpr std::uint32_t one = 2;
  atomic<std::uint32_t> word_{0};
};

/// Goes up and down; one thread may sleep until it is 0. Threads: any; wait_zero one at a time.
class zero_counter {
 public:
  void add(std::uint32_t n = 1) noexcept {
    // relaxed: what is counted is published by other means
    word_.fetch_add(n * one, mo::relaxed);
  }
  /// The owner of the counter may free it as soon as this made it 0.
  /// @return  somebody watches it
  bool sub(std::uint32_t n = 1) noexcept {
    if (n == 0) return false;
    // [ISSUER.4] release: what was counted has ended; pairs with [ISSUER.5]
    const std::uint32_t before = word_.fetch_sub(n * one, mo::release);
    if ((before & ~watched) == (n * one | sleeper)) futex_wake_all(word_);
    return (before & watched) != 0;
  }
  /// From now on who counts down is told that somebody watches. Count and mark are one word, so one
  /// of the two sees the other.
  /// @return  the count now
  std::uint32_t watch() noexcept {
    // relaxed: the word alone says it all
    return word_.fetch_or(watched, mo::relaxed) / one;
  }
  void unwatch() noexcept {
    // relaxed: likewise
    word_.fetch_and(~watched, mo::relaxed);
  }
  /// 0 or -ETIME.
  [[nodiscard]] int wait_zero(std::int64_t deadline_ns) noexcept {
    const bool is_zero = futex_wait_until(word_, deadline_ns, [this](std::uint32_t& word) {
      // [ISSUER.5] acquire: see what ended; pairs with [ISSUER.4]
      word = word_.fetch_or(sleeper, mo::acquire) | sleeper;
      return (word & ~watched) == sleeper;
    });
    return is_zero ? 0 : -ETIME;
  }
  [[nodiscard]] std::uint32_t count() const noexcept {
    // relaxed: stale on return
    return word_.load(mo::relaxed) / one;
  }

 private:
  static constexpr std::uint32_t sleeper = 1;
  static constexpr std::uint32_t watched = 2;
  static constexpr std::uint32_t one = 4;
  atomic<std::uint32_t> word_{0};
};

/// Counts down at the end of a scope.
class counted {
 public:
  explicit counted(zero_counter& c) noexcept : counter_(c) {}
  ~counted() { counter_.sub(); }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;

 private:
  zero_counter& counter_;
};

}  // namespace ufence::detail

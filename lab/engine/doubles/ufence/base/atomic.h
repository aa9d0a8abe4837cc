// Double of ufence/base/atomic.h for the lab: the same interface, every access a step of the
// explorer. The object holds the initial value; what was stored later is the explorer's.
#pragma once

#include <atomic>
#include <bit>
#include <climits>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "lab/engine/hooks.h"

namespace ufence {

namespace mo {
using order = std::memory_order;
inline constexpr std::memory_order relaxed = std::memory_order_relaxed;
inline constexpr std::memory_order acquire = std::memory_order_acquire;
inline constexpr std::memory_order release = std::memory_order_release;
inline constexpr std::memory_order acq_rel = std::memory_order_acq_rel;
inline constexpr std::memory_order seq_cst = std::memory_order_seq_cst;
}  // namespace mo

template <class T>
class atomic {
  using site = std::source_location;

 public:
  constexpr atomic(site where = site::current()) noexcept : atomic(T{}, where) {}
  constexpr explicit atomic(T value, site where = site::current()) noexcept : value_(value) {
    if
      !consteval {
        if (lab::hooks::in_model()) lab::hooks::construct(this, sizeof(T), bits(value), where);
      }
  }
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  [[nodiscard, gnu::always_inline]] T load(std::memory_order order,
                                           site where = site::current()) const noexcept {
    if (!lab::hooks::in_model()) return value_;
    return value(lab::hooks::load(this, sizeof(T), order, where));
  }
  [[gnu::always_inline]] void store(T desired, std::memory_order order,
                                    site where = site::current()) noexcept {
    if (lab::hooks::in_model()) {
      lab::hooks::store(this, sizeof(T), bits(desired), order, where);
    } else {
      value_ = desired;
    }
  }
  [[gnu::always_inline]] T exchange(T desired, std::memory_order order,
                                    site where = site::current()) noexcept {
    return modify(lab::modification::exchange, desired, order, where,
                  [](T, T operand) { return operand; });
  }
  [[gnu::always_inline]] bool compare_exchange(T& expected, T desired, std::memory_order success,
                                               std::memory_order failure,
                                               site where = site::current()) noexcept {
    return compare(expected, desired, success, failure, false, where);
  }
  [[gnu::always_inline]] bool compare_exchange_weak(T& expected, T desired,
                                                    std::memory_order success,
                                                    std::memory_order failure,
                                                    site where = site::current()) noexcept {
    return compare(expected, desired, success, failure, true, where);
  }
  [[gnu::always_inline]] T fetch_add(T operand, std::memory_order order,
                                     site where = site::current()) noexcept {
    return modify(lab::modification::add, operand, order, where,
                  [](T a, T b) { return static_cast<T>(a + b); });
  }
  [[gnu::always_inline]] T fetch_sub(T operand, std::memory_order order,
                                     site where = site::current()) noexcept {
    return modify(lab::modification::subtract, operand, order, where,
                  [](T a, T b) { return static_cast<T>(a - b); });
  }
  [[gnu::always_inline]] T fetch_or(T operand, std::memory_order order,
                                    site where = site::current()) noexcept {
    return modify(lab::modification::bit_or, operand, order, where,
                  [](T a, T b) { return static_cast<T>(a | b); });
  }
  [[gnu::always_inline]] T fetch_and(T operand, std::memory_order order,
                                     site where = site::current()) noexcept {
    return modify(lab::modification::bit_and, operand, order, where,
                  [](T a, T b) { return static_cast<T>(a & b); });
  }
  [[gnu::always_inline]] T fetch_xor(T operand, std::memory_order order,
                                     site where = site::current()) noexcept {
    return modify(lab::modification::bit_xor, operand, order, where,
                  [](T a, T b) { return static_cast<T>(a ^ b); });
  }

  [[nodiscard]] const void* address() const noexcept { return &value_; }

 private:
  static_assert(sizeof(T) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<T>);

  static std::uint64_t bits(T of) noexcept {
    std::uint64_t result = 0;
    std::memcpy(&result, &of, sizeof of);
    return result;
  }
  static T value(std::uint64_t of) noexcept {
    T result;
    std::memcpy(&result, &of, sizeof result);
    return result;
  }
  [[gnu::always_inline]] bool compare(T& expected, T desired, std::memory_order success,
                                      std::memory_order failure, bool weak, site where) noexcept {
    std::uint64_t read = bits(expected);
    if (lab::hooks::in_model()) {
      const bool done = lab::hooks::compare_exchange(this, sizeof(T), read, bits(desired), success,
                                                     failure, weak, where);
      if (!done) expected = value(read);
      return done;
    }
    const bool equal = bits(value_) == read;
    (equal ? value_ : expected) = equal ? desired : value_;
    return equal;
  }
  template <class Apply>
  [[gnu::always_inline]] T modify(lab::modification how, T operand, std::memory_order order,
                                  site where, Apply apply) noexcept {
    if (lab::hooks::in_model()) {
      return value(lab::hooks::modify(this, sizeof(T), how, bits(operand), order, where));
    }
    const T old = value_;
    value_ = apply(old, operand);
    return old;
  }

  T value_{};
};

template <class T>
class cell {
  using site = std::source_location;

 public:
  constexpr cell() noexcept : cell(T{}) {}
  constexpr explicit cell(T value, site where = site::current()) noexcept : value_(value) {
    if
      !consteval {
        if (lab::hooks::in_model()) lab::hooks::plain_write(this, sizeof(T), where);
      }
  }
  cell(const cell&) = delete;
  cell& operator=(const cell&) = delete;

  [[nodiscard]] T get(site where = site::current()) const noexcept {
    if (lab::hooks::in_model()) lab::hooks::plain_read(this, sizeof(T), where);
    return value_;
  }
  void set(T value, site where = site::current()) noexcept {
    if (lab::hooks::in_model()) lab::hooks::plain_write(this, sizeof(T), where);
    value_ = value;
  }

 private:
  T value_{};
};

[[gnu::always_inline]] inline void spin_pause(
    std::source_location where = std::source_location::current()) noexcept {
  lab::hooks::pause(where);
}

/// The lab does not spin before it sleeps: the sleeping path is the one to explore. A scenario that
/// is about something else lets it spin: a turn is no step, and each sleeper doubles the
/// executions. With INT_MAX for ever.
inline constinit int turns_before_sleep = 0;

/// The limit that a count of turns is compared with. A thread that spins for ever has no use for the count, which would
/// make each turn another state of the thread: it is put back.
struct spin_bound {
  int turns;
  friend bool operator<(int& so_far, spin_bound bound) noexcept {
    if (bound.turns == INT_MAX) so_far = -1;
    return so_far < bound.turns;
  }
};
[[nodiscard]] inline spin_bound spin_limit() noexcept { return {turns_before_sleep}; }

}  // namespace ufence

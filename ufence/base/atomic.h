// The one door to atomics. A model checker puts a file of this name earlier on the include path and
// runs the same sources over its own memory model; hence no default order, no operators, and no
// stand-alone fences, which race detectors do not understand.
#pragma once

#include <atomic>

namespace ufence {

/// Memory orders by their short names; each use but `relaxed` carries a tag (docs/CONTRACT.md).
namespace mo {
using order = std::memory_order;
inline constexpr std::memory_order relaxed = std::memory_order_relaxed;
inline constexpr std::memory_order acquire = std::memory_order_acquire;
inline constexpr std::memory_order release = std::memory_order_release;
inline constexpr std::memory_order acq_rel = std::memory_order_acq_rel;
inline constexpr std::memory_order seq_cst = std::memory_order_seq_cst;
}  // namespace mo

/// An atomic word. Every access names its order.
template <class T>
class atomic {
 public:
  constexpr atomic() noexcept = default;
  constexpr explicit atomic(T value) noexcept : value_(value) {}
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  [[nodiscard]] T load(std::memory_order order) const noexcept { return value_.load(order); }
  void store(T value, std::memory_order order) noexcept { value_.store(value, order); }
  T exchange(T value, std::memory_order order) noexcept { return value_.exchange(value, order); }

  /// On failure `expected` becomes what was read.
  bool compare_exchange(T& expected, T desired, std::memory_order success,
                        std::memory_order failure) noexcept {
    return value_.compare_exchange_strong(expected, desired, success, failure);
  }
  /// As compare_exchange, but may fail without cause; for loops.
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                             std::memory_order failure) noexcept {
    return value_.compare_exchange_weak(expected, desired, success, failure);
  }

  T fetch_add(T operand, std::memory_order order) noexcept {
    return value_.fetch_add(operand, order);
  }
  T fetch_sub(T operand, std::memory_order order) noexcept {
    return value_.fetch_sub(operand, order);
  }
  T fetch_or(T operand, std::memory_order order) noexcept {
    return value_.fetch_or(operand, order);
  }
  T fetch_and(T operand, std::memory_order order) noexcept {
    return value_.fetch_and(operand, order);
  }
  T fetch_xor(T operand, std::memory_order order) noexcept {
    return value_.fetch_xor(operand, order);
  }

  /// The address that a futex call needs; for ufence/base/futex.cc alone.
  [[nodiscard]] const void* address() const noexcept { return &value_; }

 private:
  std::atomic<T> value_{};
  static_assert(std::atomic<T>::is_always_lock_free);
};

/// Plain data that an ordered access elsewhere hands from thread to thread: no atomicity of its own.
/// A model checker's double reports a race on it.
template <class T>
class cell {
 public:
  constexpr cell() noexcept = default;
  constexpr explicit cell(T value) noexcept : value_(value) {}
  cell(const cell&) = delete;
  cell& operator=(const cell&) = delete;

  [[nodiscard]] T get() const noexcept { return value_; }
  void set(T value) noexcept { value_ = value; }

 private:
  T value_{};
};

/// How many turns a bounded spin makes before it sleeps.
[[nodiscard]] constexpr int spin_limit() noexcept { return 100; }

/// Tells the CPU that this is a spin loop.
inline void spin_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace ufence

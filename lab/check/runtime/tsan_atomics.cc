// The functions that compilers call for -fsanitize=thread in place of atomic operations.
#include <cstring>

#include "lab/check/runtime/locks.h"
#include "lab/check/runtime/runtime.h"

using ufence::lab::failure;
using ufence::lab::modification;
using namespace ufence::lab::check;
namespace hooks = ufence::lab::hooks;

namespace {

// As both compilers number them.
std::memory_order order_of(int order) noexcept {
  constexpr int consume = 1;
  return order == consume ? std::memory_order_acquire : static_cast<std::memory_order>(order);
}

template <class T>
T atomic_load(const volatile T* at, int order, std::source_location where) {
  if (!in_model()) return *at;
  return static_cast<T>(hooks::load(const_cast<const T*>(at), sizeof(T), order_of(order), where));
}
template <class T>
void atomic_store(volatile T* at, T value, int order, std::source_location where) {
  if (!in_model()) {
    *at = value;
    return;
  }
  hooks::store(const_cast<T*>(at), sizeof(T), value, order_of(order), where);
}
template <class T>
T atomic_modify(volatile T* at, modification how, T operand, int order,
                std::source_location where) {
  if (in_model()) {
    return static_cast<T>(
        hooks::modify(const_cast<T*>(at), sizeof(T), how, operand, order_of(order), where));
  }
  const T old = *at;
  ufence::lab::operation op;
  op.what = ufence::lab::action::modify;
  op.how = how;
  op.operand = operand;
  op.bytes = sizeof(T);
  std::uint64_t written = 0;
  static_cast<void>(op.writes(old, written));
  *at = static_cast<T>(written);
  return old;
}
template <class T>
bool atomic_compare(volatile T* at, T* expected, T desired, int order, int failure_order,
                    bool is_weak, std::source_location where) {
  if (!in_model()) {
    const T old = *at;
    const bool is_equal = old == *expected;
    if (is_equal) *at = desired;
    *expected = old;
    return is_equal;
  }
  std::uint64_t seen = *expected;
  const bool success =
      hooks::compare_exchange(const_cast<T*>(at), sizeof(T), seen, desired, order_of(order),
                              order_of(failure_order), is_weak, where);
  *expected = static_cast<T>(seen);
  return success;
}
// No operation of the memory model: a loop that can't fail twice for the same reason.
template <class T>
T atomic_nand(volatile T* at, T operand, int order, std::source_location where) {
  T old = atomic_load(at, static_cast<int>(std::memory_order_relaxed), where);
  while (!atomic_compare(at, &old, static_cast<T>(~(old & operand)), order,
                         static_cast<int>(std::memory_order_relaxed), false, where)) {
  }
  return old;
}

}  // namespace

#define UFENCE_LAB_MODIFY(bits, name, how)                                        \
  UFENCE_LAB_EXPORT std::uint##bits##_t __tsan_atomic##bits##_##name(             \
      volatile std::uint##bits##_t* at, std::uint##bits##_t operand, int order) { \
    return atomic_modify(at, modification::how, operand, order, UFENCE_LAB_HERE); \
  }
#define UFENCE_LAB_ATOMIC(bits)                                                                    \
  UFENCE_LAB_EXPORT std::uint##bits##_t __tsan_atomic##bits##_load(                                \
      const volatile std::uint##bits##_t* at, int order) {                                         \
    return atomic_load(at, order, UFENCE_LAB_HERE);                                                \
  }                                                                                                \
  UFENCE_LAB_EXPORT void __tsan_atomic##bits##_store(volatile std::uint##bits##_t* at,             \
                                                     std::uint##bits##_t value, int order) {       \
    atomic_store(at, value, order, UFENCE_LAB_HERE);                                               \
  }                                                                                                \
  UFENCE_LAB_MODIFY(bits, exchange, exchange)                                                      \
  UFENCE_LAB_MODIFY(bits, fetch_add, add)                                                          \
  UFENCE_LAB_MODIFY(bits, fetch_sub, subtract)                                                     \
  UFENCE_LAB_MODIFY(bits, fetch_and, bit_and)                                                      \
  UFENCE_LAB_MODIFY(bits, fetch_or, bit_or)                                                        \
  UFENCE_LAB_MODIFY(bits, fetch_xor, bit_xor)                                                      \
  UFENCE_LAB_EXPORT std::uint##bits##_t __tsan_atomic##bits##_fetch_nand(                          \
      volatile std::uint##bits##_t* at, std::uint##bits##_t operand, int order) {                  \
    return atomic_nand(at, operand, order, UFENCE_LAB_HERE);                                       \
  }                                                                                                \
  UFENCE_LAB_EXPORT int __tsan_atomic##bits##_compare_exchange_strong(                             \
      volatile std::uint##bits##_t* at, std::uint##bits##_t* expected,                             \
      std::uint##bits##_t desired, int order, int failure_order) {                                 \
    return atomic_compare(at, expected, desired, order, failure_order, false, UFENCE_LAB_HERE)     \
               ? 1                                                                                 \
               : 0;                                                                                \
  }                                                                                                \
  UFENCE_LAB_EXPORT int __tsan_atomic##bits##_compare_exchange_weak(                               \
      volatile std::uint##bits##_t* at, std::uint##bits##_t* expected,                             \
      std::uint##bits##_t desired, int order, int failure_order) {                                 \
    return atomic_compare(at, expected, desired, order, failure_order, true, UFENCE_LAB_HERE) ? 1  \
                                                                                              : 0; \
  }                                                                                                \
  UFENCE_LAB_EXPORT std::uint##bits##_t __tsan_atomic##bits##_compare_exchange_val(                \
      volatile std::uint##bits##_t* at, std::uint##bits##_t expected, std::uint##bits##_t desired, \
      int order, int failure_order) {                                                              \
    atomic_compare(at, &expected, desired, order, failure_order, false, UFENCE_LAB_HERE);          \
    return expected;                                                                               \
  }
UFENCE_LAB_ATOMIC(8)
UFENCE_LAB_ATOMIC(16)
UFENCE_LAB_ATOMIC(32)
UFENCE_LAB_ATOMIC(64)

// An execution has one word of an atomic object.
#define UFENCE_LAB_TOO_LARGE(name)                                                                 \
  UFENCE_LAB_EXPORT void name() {                                                                  \
    fail_at(failure::not_explorable,                                                               \
            "accesses 16 bytes atomically, the lab explores 1, 2, 4 and 8: guard them by a lock, " \
            "or make them an index",                                                               \
            UFENCE_LAB_HERE);                                                                      \
  }
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_load)
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_store)
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_exchange)
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_fetch_add)
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_fetch_sub)
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_fetch_and)
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_fetch_or)
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_fetch_xor)
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_fetch_nand)
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_compare_exchange_strong)
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_compare_exchange_weak)
UFENCE_LAB_TOO_LARGE(__tsan_atomic128_compare_exchange_val)
UFENCE_LAB_TOO_LARGE(UFENCE_LAB_CALL(__atomic_load_16))
UFENCE_LAB_TOO_LARGE(UFENCE_LAB_CALL(__atomic_store_16))
UFENCE_LAB_TOO_LARGE(UFENCE_LAB_CALL(__atomic_exchange_16))
UFENCE_LAB_TOO_LARGE(UFENCE_LAB_CALL(__atomic_compare_exchange_16))

UFENCE_LAB_EXPORT void __tsan_atomic_thread_fence(int order) {
  fence(order_of(order), UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void __tsan_atomic_signal_fence(int) { signal_fence(UFENCE_LAB_HERE); }

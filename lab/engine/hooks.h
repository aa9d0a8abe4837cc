// The functions that the doubles of base headers call. Each function also works outside of a model, where it acts
// on real memory: in a prelude, in static initializers, in the test itself.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>

#include "lab/engine/mode.h"
#include "lab/engine/operation.h"

namespace ufence::lab::hooks {

[[nodiscard]] inline bool in_model() noexcept { return mode::now == mode::model; }

// The contents of a thread's stack say whether it goes round in a loop (machine::stack_state), so that
// nothing else may be there than what the thread itself left: not what the explorer's own calls
// leave. Each function that may be part of a turn is called on a stack that was cleared below the
// caller's frame.
void clear_dead_stack() noexcept;

namespace far {
std::uint64_t load(const void* at, unsigned bytes, std::memory_order order,
                   std::source_location where) noexcept;
void store(void* at, unsigned bytes, std::uint64_t value, std::memory_order order,
           std::source_location where) noexcept;
std::uint64_t modify(void* at, unsigned bytes, modification how, std::uint64_t operand,
                     std::memory_order order, std::source_location where) noexcept;
bool compare_exchange(void* at, unsigned bytes, std::uint64_t& expected, std::uint64_t desired,
                      std::memory_order success, std::memory_order failure, bool weak,
                      std::source_location where) noexcept;
void pause(std::source_location where) noexcept;
}  // namespace far

// --- On a model thread only ---

[[gnu::always_inline]] inline std::uint64_t load(const void* at, unsigned bytes,
                                                 std::memory_order order,
                                                 std::source_location where) noexcept {
  clear_dead_stack();
  return far::load(at, bytes, order, where);
}
[[gnu::always_inline]] inline void store(void* at, unsigned bytes, std::uint64_t value,
                                         std::memory_order order,
                                         std::source_location where) noexcept {
  clear_dead_stack();
  far::store(at, bytes, value, order, where);
}
[[gnu::always_inline]] inline std::uint64_t modify(void* at, unsigned bytes, modification how,
                                                   std::uint64_t operand, std::memory_order order,
                                                   std::source_location where) noexcept {
  clear_dead_stack();
  return far::modify(at, bytes, how, operand, order, where);
}
[[gnu::always_inline]] inline bool compare_exchange(void* at, unsigned bytes,
                                                    std::uint64_t& expected, std::uint64_t desired,
                                                    std::memory_order success,
                                                    std::memory_order failure, bool weak,
                                                    std::source_location where) noexcept {
  clear_dead_stack();
  return far::compare_exchange(at, bytes, expected, desired, success, failure, weak, where);
}
/// A load that is done once the condition holds.
std::uint64_t await(const void* at, unsigned bytes, condition until, std::memory_order order,
                    std::source_location where) noexcept;
/// An exchange that is done once the value is `wanted`.
void await_exchange(void* at, unsigned bytes, std::uint64_t wanted, std::uint64_t desired,
                    std::memory_order order, std::source_location where) noexcept;
void construct(const void* at, unsigned bytes, std::uint64_t value,
               std::source_location where) noexcept;
void plain_read(const void* at, std::size_t bytes, std::source_location where) noexcept;
void plain_write(const void* at, std::size_t bytes, std::source_location where) noexcept;

// --- Anywhere ---

void lock(void* mutex, std::source_location where) noexcept;
void unlock(void* mutex, std::source_location where) noexcept;
[[gnu::always_inline]] inline void pause(std::source_location where) noexcept {
  if (!in_model()) return;
  clear_dead_stack();
  far::pause(where);
}
/// @param classes  what kinds of sleepers: a bit for each of two, or all
int futex_wait(const void* word, std::uint32_t expected, std::int64_t deadline_ns,
               std::uint32_t classes, std::source_location where) noexcept;
/// The same for several words, if settings::has_futex_waitv; else, or for more, -ENOSYS.
inline constexpr std::size_t futex_words_max = 8;
struct futex_word {
  const void* word;
  std::uint32_t expected;
};
int futex_wait_any(std::span<const futex_word> words, std::int64_t deadline_ns,
                   std::source_location where) noexcept;
void futex_wake(const void* word, std::uint32_t classes, std::source_location where) noexcept;

[[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment,
                             std::source_location where) noexcept;
void deallocate(void* memory, std::source_location where) noexcept;
[[nodiscard]] void* allocate_pages(std::size_t bytes, std::source_location where) noexcept;
void give_pages_back(void* pages, std::size_t bytes, std::source_location where) noexcept;
void poison(const void* memory, std::size_t bytes, bool on, std::source_location where) noexcept;

/// One T for each model thread; outside of scenarios nullptr.
[[nodiscard]] void* thread_local_data(const void* key, std::size_t bytes,
                                      void (*make)(void*)) noexcept;
/// Of the model thread; 0 outside of scenarios.
[[nodiscard]] std::int64_t now_ns() noexcept;

}  // namespace ufence::lab::hooks

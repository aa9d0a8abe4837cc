// The next step of a model thread, as the doubles describe it.
#pragma once

#include <atomic>
#include <cstdint>
#include <source_location>
#include <span>

namespace ufence::lab {

enum class action : std::uint8_t {
  begin,
  end,
  load,
  store,
  modify,   // read-modify-write that always writes
  compare,  // compare-exchange
  fence,
  choice,
  spawn,
  join,
  pause,  // one turn of a loop went round without effect
};

enum class modification : std::uint8_t {
  exchange,
  add,
  subtract,
  bit_or,
  bit_and,
  bit_xor,
  arrive,  // at a barrier for so many: counted below, and the round above once all are there
};

/// Why a load is only done once it reads something suitable.
enum class waiting : std::uint8_t {
  no,
  lock,       // a mutex
  sleep,      // a futex
  condition,  // a loop, told as await()
};

/// The value that a waiting load has to read.
struct condition {
  std::uint64_t mask = 0;
  std::uint64_t wanted = 0;
  bool equal = true;

  [[nodiscard]] bool holds(std::uint64_t value) const noexcept {
    return ((value & mask) == wanted) == equal;
  }
};

/// One of several words that a sleep is for: what its queue has once that is woken.
struct sleeping_place {
  std::uintptr_t at = 0;
  condition until;
};

struct operation {
  action what = action::begin;
  modification how = modification::exchange;
  waiting waits = waiting::no;
  bool is_weak = false;      // compare: may fail though the value is the expected one
  bool is_abstract = false;  // `at` is a name, not memory
  bool may_expire = false;   // waits::sleep with a deadline: nobody has to wake it
  std::memory_order order = std::memory_order_relaxed;
  std::memory_order failure_order = std::memory_order_relaxed;
  unsigned bytes = 0;
  std::uintptr_t at = 0;
  std::uint64_t operand = 0;   // store, modify, compare: new value; choice: how many; join: whom
  std::uint64_t expected = 0;  // compare
  condition until;
  std::span<const sleeping_place> places;  // waiting::sleep: all of them; it waits for one
  std::source_location where;
  // spawn: what the thread runs
  void (*run)(void*) = nullptr;
  void* argument = nullptr;
  // The result.
  std::uint64_t value = 0;  // what was read; choice: taken; spawn: the thread
  bool success = false;     // compare

  [[nodiscard]] bool reads() const noexcept {
    return what == action::load || what == action::modify || what == action::compare;
  }
  /// Whether this value may be read at all.
  [[nodiscard]] bool accepts(std::uint64_t read) const noexcept {
    return waits == waiting::no || until.holds(read);
  }
  /// Whether the operation writes after reading this value; then also what.
  [[nodiscard]] bool writes(std::uint64_t read, std::uint64_t& written) const noexcept {
    if (what == action::modify) {
      written = modified(read);
      return accepts(read);
    }
    written = operand;
    return what == action::compare && read == expected;
  }

 private:
  [[nodiscard]] std::uint64_t modified(std::uint64_t read) const noexcept {
    const std::uint64_t all = bytes >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << bytes * 8) - 1;
    switch (how) {
      case modification::exchange: return operand;
      case modification::add: return (read + operand) & all;
      case modification::subtract: return (read - operand) & all;
      case modification::bit_or: return read | operand;
      case modification::bit_and: return read & operand;
      case modification::bit_xor: return read ^ operand;
      case modification::arrive: {
        constexpr std::uint64_t one_round = std::uint64_t{1} << 32;
        const std::uint64_t arrived = read % one_round + 1;
        return arrived == operand ? read - (arrived - 1) + one_round : read + 1;
      }
    }
    return operand;
  }
};

}  // namespace ufence::lab

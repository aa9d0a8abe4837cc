// The memory of a scenario: its heap, its stacks, which thread accessed which plain data and when.
//
// An address depends only on what its thread did before, so that an execution can be repeated.
// Freed blocks are not used again while an execution lasts. Order is judged by happens-before, not
// by the order in which the explorer happened to run the threads: each check also finds the
// accesses that would collide in another order of the same execution.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lab/engine/address_table.h"
#include "lab/engine/failure.h"
#include "lab/engine/graph.h"

namespace ufence::lab {

/// The thread that does something, and what happens-before it.
struct actor {
  unsigned thread;
  const vector_clock& before;
  std::source_location where;

  [[nodiscard]] std::uint16_t now() const noexcept { return before[thread]; }
  /// What that thread did when its clock stood there is before this.
  [[nodiscard]] bool follows(unsigned other, std::uint16_t time) const noexcept {
    return other == thread || before[other] > time;
  }
};

/// Threads: one.
class memory {
 public:
  memory();
  ~memory();
  memory(const memory&) = delete;
  memory& operator=(const memory&) = delete;

  /// Forgets everything.
  void clear() noexcept;
  /// What is allocated now is there at the beginning of each execution.
  void keep_prelude();
  /// Back to what keep_prelude() saw.
  void begin_execution() noexcept;

  /// Blocks begin filled with a pattern. nullptr: the arena is full.
  [[nodiscard]] void* allocate(const actor& who, std::size_t bytes, std::size_t alignment,
                               bool may_stay);
  [[nodiscard]] problem free(const actor& who, void* block);
  /// The block that this thread freed last of those that have room for so much, and not much more;
  /// or nullptr.
  [[nodiscard]] void* freed_block(unsigned thread, std::size_t bytes) noexcept;
  /// Gives it out again.
  void allocate_again(const actor& who, void* freed, std::size_t bytes) noexcept;
  [[nodiscard]] std::size_t bytes_of(const void* block) noexcept;
  /// In a block that was allocated in this execution, with what it was filled with.
  [[nodiscard]] bool is_as_allocated(const void* at, std::size_t bytes) noexcept;
  /// On a stack, with the value that compilers give to variables which nobody has written
  /// (-ftrivial-auto-var-init=pattern). Too few bytes may have it by chance: those don't look so.
  [[nodiscard]] bool is_unwritten_local(const void* at, std::size_t bytes) const noexcept;
  /// "block of stack.cc:12 +8"; empty if it is in none.
  [[nodiscard]] std::string block_name(std::uintptr_t at) const;
  /// Zeroed pages, aligned to their size, that are never freed.
  [[nodiscard]] void* allocate_pages(const actor& who, std::size_t bytes);
  /// A range of such pages that nobody may touch, or may again.
  [[nodiscard]] problem poison(const actor& who, const void* at, std::size_t bytes);
  [[nodiscard]] problem unpoison(const actor& who, const void* at, std::size_t bytes);
  /// Of an address in such pages.
  [[nodiscard]] bool is_poisoned(const void* at) const noexcept;
  [[nodiscard]] bool owns(const void* at) const noexcept;

  /// An access of any kind: is the memory there?
  [[nodiscard]] problem touch(const actor& who, const void* at, std::size_t bytes);
  /// The same for an atomic object; nobody may give its memory back without being ordered.
  [[nodiscard]] problem touch_atomic(const actor& who, const void* at, std::size_t bytes);
  /// Accesses of plain data: is each ordered with the others?
  [[nodiscard]] problem read(const actor& who, const void* at, std::size_t bytes);
  [[nodiscard]] problem write(const actor& who, const void* at, std::size_t bytes);

  [[nodiscard]] char* stack(unsigned thread) const noexcept;
  /// As much of it as scenarios use, so that no execution finds what another one left there.
  void clear_stack(unsigned thread) noexcept;
  static constexpr std::size_t stack_bytes = std::size_t{128} * 1024;
  /// Where a thread comes that needs more.
  [[nodiscard]] bool is_below_a_stack(const void* at) const noexcept;
  /// What lies below on the stack of that thread is no live frame; at its end: all of it.
  void set_stack_pointer(unsigned thread, const void* at) noexcept { stack_pointers_[thread] = at; }

  /// Appends what the heaps and the pages of all threads hold now.
  void append_to(std::vector<char>& all) const;

  /// Blocks that were not freed, and that nothing leads to from `keeps`.
  [[nodiscard]] problem find_leak(std::span<const std::span<char>> keeps) const;

 private:
  struct block {
    char* begin = nullptr;
    std::size_t bytes = 0;
    std::source_location made;
    std::source_location freed;
    std::array<std::uint16_t, max_threads>
        accessed{};  // time of each thread's last access, plus one
    std::uint16_t made_at = 0;
    std::uint8_t made_by = 0;
    std::uint8_t freed_by = 0;
    bool is_free = false;
    bool may_stay = false;
    bool is_of_prelude = false;
  };
  struct region {
    char* begin = nullptr;
    std::size_t used = 0;
    std::size_t prelude_used = 0;
    std::vector<char> prelude;
  };
  struct plain_note {
    std::array<std::uint16_t, max_threads> reads{};  // time of each thread's last read, plus one
    std::source_location written;
    std::source_location read;
    std::uint16_t write_time = 0;
    std::uint8_t writer = 0;
    void renew() noexcept {
      reads = {};
      write_time = 0;  // with thread 0: before everything
      writer = 0;
    }
  };

  [[nodiscard]] const block* block_of(const void* at) const noexcept;
  [[nodiscard]] block* block_of(const void* at) noexcept {
    return const_cast<block*>(std::as_const(*this).block_of(at));
  }
  [[nodiscard]] problem touch_stack(const actor& who, const void* at) const;
  void mark(const void* at, std::size_t bytes, bool poisoned) noexcept;
  [[nodiscard]] problem write_range(const actor& who, const void* at, std::size_t bytes);

  char* mapping_ = nullptr;
  std::array<region, max_threads> heaps_;
  std::array<region, max_threads> pages_;
  std::array<const void*, max_threads> stack_pointers_{};
  std::vector<block> blocks_;
  std::vector<block> prelude_blocks_;
  std::uint16_t* block_numbers_ = nullptr;  // of each granule of the heaps
  char* poisoned_ = nullptr;                // of each word of the pages
  std::array<std::vector<char>, max_threads> prelude_poisoned_;
  address_table<plain_note> plain_;
};

}  // namespace ufence::lab

// The memory of fences of one size: regions of address space that stay for ever, in spans that
// begin as zeroed memory, and become that again when all their fences are gone and enough free
// memory is kept.
//
// A slot is type-stable: it only ever holds fences of one size, and its state word and its count (0
// while it is free) may be read at any time, also by a thread that reads a slot whose fence is gone
// (fence::get_rcu()). This holds while the memory of a span is given back to the system, and
// afterwards: all slots of such a span are free, so their counts are 0 before, and a page that was
// given back reads as zeros, which is a free fence. Nobody writes to a free slot but the thread
// that has the slabs' lock.
//
//   a span      its slots                     in the list    from here
//   zeroed      all free, none was touched    zeroed         a slot is taken: open
//   open        some free                     open           the last free one is taken: full;
//                                                            the last used one comes back: kept or
//                                                            zeroed
//   full        none free                     none           a slot comes back: open
//   kept        all free                      kept           a slot is taken: open
//
// Threads: one at a time, the one that has the slabs' lock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ufence/base/alloc.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/slab.h"

namespace ufence {

/// The part of a free fence that the library's memory of fences uses.
struct fence::slab_access {
  static fence* next(const fence& f) noexcept { return f.link_.get(); }
  static void set_next(fence& f, fence* next) noexcept { f.link_.set(next); }
  // relaxed: a statistic
  static bool is_live(const fence& f) noexcept { return f.refs_.load(mo::relaxed) != 0; }

  // While a slot is free only its state word and its count may be touched.
  static constexpr std::size_t readable = sizeof(fence::state_) + sizeof(fence::refs_);
  static void close(fence& f, std::size_t bytes) noexcept {
    poison(reinterpret_cast<char*>(&f) + readable, bytes - readable);
  }
  static void open(fence& f, std::size_t bytes) noexcept {
    unpoison(reinterpret_cast<char*>(&f) + readable, bytes - readable);
  }
  // Of a closed one.
  static fence* next_of_closed(fence& f, std::size_t bytes) noexcept {
    open(f, bytes);
    fence* const after = next(f);
    close(f, bytes);
    return after;
  }
  static void set_next_of_closed(fence& f, fence* after, std::size_t bytes) noexcept {
    open(f, bytes);
    set_next(f, after);
    close(f, bytes);
  }
};

namespace detail {

/// Free slots, linked.
struct slot_chain {
  fence* first = nullptr;
  fence* last = nullptr;
  std::uint32_t count = 0;
};

class spans {
 public:
  /// @param slot_bytes  a power of two
  constexpr explicit spans(std::uint32_t slot_bytes) noexcept
      : slot_bytes_(slot_bytes),
        slots_in_span_(static_cast<std::uint32_t>(fence_span_bytes) / slot_bytes) {}

  [[nodiscard]] std::uint32_t slot_bytes() const noexcept { return slot_bytes_; }
  /// Some free slots of one span, which is in use already if there is such a one; their contents
  /// are closed.
  /// @param most  1 or more
  /// @return  empty: no memory
  [[nodiscard]] slot_chain take(std::uint32_t most) noexcept;
  /// The first slots of a chain are free again. Their contents are closed.
  /// @return  the slot behind them
  fence* give(fence* first, std::uint32_t count) noexcept;

  /// Calls a function for the slots of each span that may be in use. A place in the walk, for a
  /// thread that drops the lock between two spans: spans and regions stay.
  struct place {
    const void* region = nullptr;
    std::uint32_t span = 0;
  };
  struct slots {
    char* first = nullptr;  // nullptr: the walk is over
    std::uint32_t count = 0;
  };
  [[nodiscard]] place begin() const noexcept { return {.region = regions_}; }
  [[nodiscard]] slots next(place& at) const noexcept;
  void tell_layout(slab_layout& to, unsigned which) const noexcept;

 private:
  struct span {
    fence* free;  // slots that have been used
    span* next;
    span* previous;            // in the list of open spans
    std::uint32_t free_slots;  // all of them, the untouched ones too
    std::uint32_t touched_slots;  // the first ones: the others have not been used since it was zeroed
  };
  struct region;

  [[nodiscard]] static span& span_of(const fence& slot) noexcept;
  [[nodiscard]] static char* memory_of(const span& s) noexcept;
  [[nodiscard]] span* open_another() noexcept;
  [[nodiscard]] slot_chain touch(span& s, std::uint32_t most) noexcept;
  void list(span& s) noexcept;
  void unlist(span& s) noexcept;
  void empty(span& s) noexcept;

  const std::uint32_t slot_bytes_;
  const std::uint32_t slots_in_span_;
  std::uint32_t next_span_ = 0;  // of the newest region, which has not been used yet
  region* regions_ = nullptr;    // the newest first
  span* open_ = nullptr;
  span* kept_ = nullptr;
  std::size_t kept_bytes_ = 0;
  span* zeroed_ = nullptr;
};

}  // namespace detail
}  // namespace ufence

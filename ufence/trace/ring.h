// ring: the events of one thread on their way to the thread that writes them.
//
// One thread puts in, which is the ring's owner; one takes out, the reader. Neither waits. What
// finds no room is counted and left out.
//
//   state    means                          left by                    on
//   free     nobody's, empty                claim()                    a thread that becomes the
//   owner owned    its owner puts in              give_up()                  the owner, when it
//   ends ended    nobody puts in any more        recycle(), once empty      the reader
//
//   operation     put      take      claim    give_up   recycle
//   put           X owner  -         X        X owner   X
//   take          -        X reader  -        -         X reader      (- free, X the caller
//   excludes)
//
// Orders: RING.1 put -> RING.2 take: what was put in. RING.3 take -> RING.4 put: room that is free
// again. RING.5 give up -> RING.6 recycle: the owner's last words. RING.7 recycle -> RING.8 claim:
// what the owner before has left. RING.9 publish -> RING.10 claim of the pool: the rings
// themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ufence/base/atomic.h"

namespace ufence::trace {

template <class Slot>
class ring {
 public:
  /// @param slots  a power of two, at least one
  explicit ring(std::span<cell<Slot>> slots) noexcept
      : capacity_(slots.size()), slots_(slots.data()) {}
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;

  // --- A thread that has none, and then its owner ---

  /// True: it was free, and is the caller's now. Threads: any, concurrently.
  [[nodiscard]] bool claim() noexcept {
    // relaxed: a hint
    if (state_.load(mo::relaxed) != free) return false;
    std::uint32_t expected = free;
    // [RING.8] acquire: the counts as the last owner and the reader left them; pairs with [RING.7]
    return state_.compare_exchange(expected, owned, mo::acquire, mo::relaxed);
  }
  /// It is the reader's, and then another thread's.
  void give_up() noexcept {
    // [RING.5] release: all that was put in, and the counts; pairs with [RING.6]
    state_.store(ended, mo::release);
  }
  /// Puts in all of `some`, or nothing, which is counted. `crosses_half`: so much has come together
  /// since it was true the last time that the reader should look.
  /// @return  false: there was no room
  bool put(std::span<const Slot> some, bool& crosses_half) noexcept {
    // relaxed: the owner's own
    const std::uint64_t head = head_.load(mo::relaxed);
    if (!has_room(head, some.size())) return false;
    std::uint64_t at = head;
    cell<Slot>* const slots = slots_.get();
    for (const Slot& one : some) slots[at++ & (capacity_ - 1)].set(one);
    crosses_half = publish(head, at);
    return true;
  }
  /// The same of one, which is made in its place.
  bool put_one(const Slot& one, bool& crosses_half) noexcept {
    // relaxed: the owner's own
    const std::uint64_t head = head_.load(mo::relaxed);
    if (!has_room(head, 1)) return false;
    slots_.get()[head & (capacity_ - 1)].set(one);
    crosses_half = publish(head, head + 1);
    return true;
  }

  // --- The reader ---

  /// Is the owner gone? What take() finds after that is the last.
  [[nodiscard]] bool has_ended() const noexcept {
    // [RING.6] acquire: all that the owner put in; pairs with [RING.5]
    return state_.load(mo::acquire) == ended;
  }
  [[nodiscard]] bool was_free() const noexcept {
    // relaxed: a thread that claims it right now is found by the next look
    return state_.load(mo::relaxed) == free;
  }
  /// Calls take(first, second) with all that is there, in order, if there is something, and makes room.
  /// `second` is what lies at the front of the ring again, or nothing.
  /// @return  how many that were
  template <class Take>
  std::size_t take_all(Take take) noexcept {
    // relaxed: the reader's own
    const std::uint64_t tail = tail_.load(mo::relaxed);
    // [RING.2] acquire: the slots up to there; pairs with [RING.1]
    const std::uint64_t head = head_.load(mo::acquire);
    if (head == tail) return 0;
    const cell<Slot>* const slots = slots_.get();
    const std::size_t many = head - tail;
    const std::size_t from = tail & (capacity_ - 1);
    const std::size_t until_end = many < capacity_ - from ? many : capacity_ - from;
    take(std::span(slots + from, until_end), std::span(slots, many - until_end));
    // [RING.3] release: they have been read; pairs with [RING.4]
    tail_.store(head, mo::release);
    return many;
  }
  /// The same, take(slot) for each.
  template <class Take>
  std::size_t take(Take take_one) noexcept {
    return take_all([&take_one](std::span<const cell<Slot>> first,
                                std::span<const cell<Slot>> second) noexcept {
      for (const cell<Slot>& one : first) take_one(one.get());
      for (const cell<Slot>& one : second) take_one(one.get());
    });
  }
  /// After has_ended(), and a take() after that: anybody may have it.
  void recycle() noexcept {
    // [RING.7] release: the counts; pairs with [RING.8]
    state_.store(free, mo::release);
  }
  /// How often there was no room, ever.
  [[nodiscard]] std::uint64_t dropped() const noexcept {
    // relaxed: a number that may be stale on return
    return dropped_.load(mo::relaxed);
  }

 private:
  static constexpr std::uint32_t free = 0, owned = 1, ended = 2;

  [[nodiscard]] bool has_room(std::uint64_t head, std::size_t many) noexcept {
    if (head + many - seen_tail_.get() <= capacity_) return true;
    // [RING.4] acquire: what was in those slots has been read; pairs with [RING.3]
    seen_tail_.set(tail_.load(mo::acquire));
    if (head + many - seen_tail_.get() <= capacity_) return true;
    // relaxed, both: a count that only the owner changes
    dropped_.store(dropped_.load(mo::relaxed) + 1, mo::relaxed);
    return false;
  }
  // True: half of the ring has been passed.
  [[nodiscard]] bool publish(std::uint64_t head, std::uint64_t to) noexcept {
    // [RING.1] release: the slots before the count; pairs with [RING.2]
    head_.store(to, mo::release);
    return ((head ^ to) & (capacity_ / 2)) != 0;
  }

  const std::uint64_t capacity_;
  const cell<cell<Slot>*> slots_;  // shown by the pool
  atomic<std::uint32_t> state_{free};
  // Counts that never go back. Written by the owner:
  alignas(64) atomic<std::uint64_t> head_{0};
  atomic<std::uint64_t> dropped_{0};
  cell<std::uint64_t> seen_tail_{0};
  // Written by the reader:
  alignas(64) atomic<std::uint64_t> tail_{0};
};

/// Rings that threads take one of. They stay where they are, for good.
template <class Slot>
class ring_pool {
 public:
  constexpr ring_pool() noexcept = default;

  /// Once. Threads: one, before there is a reader. In a child of fork(), which has none of the
  /// other threads, again, also with nothing.
  void publish(std::span<ring<Slot>> rings) noexcept {
    count_.set(rings.size());
    // [RING.9] release: the rings, and how many; pairs with [RING.10]
    first_.store(rings.data(), mo::release);
  }
  /// One that is free; null: there is none. Threads: any, concurrently.
  [[nodiscard]] ring<Slot>* claim() noexcept {
    for (ring<Slot>& one : all()) {
      if (one.claim()) return &one;
    }
    return nullptr;
  }
  /// For the reader.
  [[nodiscard]] std::span<ring<Slot>> all() const noexcept {
    // [RING.10] acquire: the rings; pairs with [RING.9]
    ring<Slot>* const first = first_.load(mo::acquire);
    return first != nullptr ? std::span(first, count_.get()) : std::span<ring<Slot>>();
  }

 private:
  atomic<ring<Slot>*> first_{nullptr};
  cell<std::size_t> count_{0};
};

}  // namespace ufence::trace

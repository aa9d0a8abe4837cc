// The callbacks that a settling thread took off a fence's list together: for the sources of this
// layer.
//
// To pop each one under LOCK would cost a locked instruction for each. The settling thread takes
// several under one LOCK instead and goes from one to the next by a store on its own stack. A thread that wants
// a callback back holds LOCK and contests the batch first (fence::contest_batch()): from then on the
// settling thread takes LOCK for each further step.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "ufence/base/atomic.h"
#include "ufence/fence/callback.h"

namespace ufence {

/// Where remove_callback() finds a node.
enum class batch_place : std::uint8_t { elsewhere, runs, waits };

/// On the stack of the settling thread; others find it through the fence's word_, under LOCK.
class callback_batch {
 public:
  static constexpr std::uint32_t capacity = 32;

  callback_batch() noexcept = default;
  callback_batch(const callback_batch&) = delete;
  callback_batch& operator=(const callback_batch&) = delete;

  /// The object that a fence's word_ refers to while a batch of it is being run; neither a backend nor a link of
  /// the awaited list has this bit.
  [[nodiscard]] std::uintptr_t to_word() noexcept {
    return reinterpret_cast<std::uintptr_t>(this) | tag;
  }
  [[nodiscard]] static callback_batch* of_word(std::uintptr_t word) noexcept {
    return (word & tag) != 0 ? reinterpret_cast<callback_batch*>(word & ~tag) : nullptr;
  }

  // --- The settling thread ---

  /// LOCK held.
  void clear() noexcept {
    // relaxed: a thread that looks holds LOCK
    at_.store(0, mo::relaxed);
    size_ = 0;
  }
  [[nodiscard]] bool is_full() const noexcept { return size_ == capacity; }
  void append(callback& node) noexcept { std::construct_at(&slots_[size_++].node, &node); }

  /// The place in the batch of the callback that runs now.
  using position = std::uint32_t;
  [[nodiscard]] callback& node(position at) const noexcept { return *slots_[at].node.get(); }

  /// Shows that the callback at this place has returned, and that the next one, which is there, runs.
  void show_next(position at) noexcept {
    // [FENCE.7] release: the callback has returned; pairs with [FENCE.8]
    at_.store(at + 1, mo::release);
  }
  [[nodiscard]] bool is_last(position at) const noexcept { return at + 1 == size_; }
  /// LOCK held. False: the batch is done.
  [[nodiscard]] bool advance_locked(position& at) noexcept {
    do {
      if (++at == size_) return false;
    } while (slots_[at].node.get() == nullptr);
    // relaxed: a thread that looks holds LOCK
    at_.store(at, mo::relaxed);
    return true;
  }

  // --- Any thread, LOCK held, the batch contested ---

  /// Where the node is; it stays there until LOCK is dropped.
  [[nodiscard]] batch_place find(const callback& node) const noexcept {
    // [FENCE.8] acquire: callbacks before the current one have returned; pairs with [FENCE.7]
    const std::uint32_t at = at_.load(mo::acquire);
    if (slots_[at].node.get() == &node) return batch_place::runs;
    return slot_behind(at, node) < size_ ? batch_place::waits : batch_place::elsewhere;
  }
  /// Takes out a node that waits. It stands in one slot only.
  void remove(const callback& node) noexcept {
    std::uint32_t i = 0;
    while (slots_[i].node.get() != &node) ++i;
    slots_[i].node.set(nullptr);
  }

 private:
  static constexpr std::uintptr_t tag = 2;

  // Begun by append(): to clear all of them would cost more than to call one callback.
  union slot {
    slot() noexcept {}
    cell<callback*> node;  // null: taken out
  };

  [[nodiscard]] std::uint32_t slot_behind(std::uint32_t at, const callback& node) const noexcept {
    do ++at;
    while (at < size_ && slots_[at].node.get() != &node);
    return at;
  }

  atomic<std::uint32_t> at_{0};       // index of the current node
  std::uint32_t size_ = 0;            // constant once the batch is in word_
  std::array<slot, capacity> slots_;  // LOCK; the settling thread's own while they run
};

}  // namespace ufence

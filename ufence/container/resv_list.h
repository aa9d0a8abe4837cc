// The list of a reservation object (resv.h): written by the thread that has its lock, read by anybody inside an
// RCU read section.
#pragma once

#include <cstdint>
#include <memory>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/check.h"
#include "ufence/fence/fence.h"
#include "ufence/rcu/rcu.h"

namespace ufence {

/// The purpose of a fence of a reservation object. A reader that asks for one usage gets the earlier ones as
/// well. Source: Linux enum dma_resv_usage
enum class resv_usage : std::uint8_t {
  kernel,    // memory management: everybody waits for it
  write,     // implicit sync: readers and writers wait
  read,      // implicit sync: writers wait
  bookkeep,  // no implicit sync: only memory management waits
};

namespace detail {

// A slot: a fence, which the list has a reference to, with the usage in the low bits.
class resv_slot {
 public:
  explicit constexpr resv_slot(std::uintptr_t bits) noexcept : bits_(bits) {}
  resv_slot(fence& f, resv_usage usage) noexcept
      : bits_(reinterpret_cast<std::uintptr_t>(&f) | static_cast<std::uintptr_t>(usage)) {}

  [[nodiscard]] std::uintptr_t bits() const noexcept { return bits_; }
  [[nodiscard]] fence& at() const noexcept { return *reinterpret_cast<fence*>(bits_ & ~low_bits); }
  [[nodiscard]] resv_usage usage() const noexcept {
    return static_cast<resv_usage>(bits_ & usage_bits);
  }
  /// Another fence stands for it.
  [[nodiscard]] bool is_replaced() const noexcept { return (bits_ & replaced_bit) != 0; }
  [[nodiscard]] resv_slot replaced() const noexcept { return resv_slot(bits_ | replaced_bit); }
  /// The next list has the reference.
  [[nodiscard]] bool is_moved() const noexcept { return (bits_ & moved_bit) != 0; }
  [[nodiscard]] resv_slot moved() const noexcept { return resv_slot(bits_ | moved_bit); }

 private:
  static constexpr std::uintptr_t usage_bits = 3;
  static constexpr std::uintptr_t replaced_bit = 4;
  static constexpr std::uintptr_t moved_bit = 8;
  static constexpr std::uintptr_t low_bits = usage_bits | replaced_bit | moved_bit;
  static_assert(alignof(fence) > low_bits);

  std::uintptr_t bits_;
};

// Slots below `size` are written; the lock of its object guards the writing.
struct UFENCE_API resv_list : rcu::deferred {
  std::uint64_t generation = 0;  // set before publish; no two lists of an object have the same
  const std::uint32_t room;
  atomic<std::uint32_t> size{0};

  explicit resv_list(std::uint32_t n) noexcept : room(n) {
    std::uninitialized_default_construct_n(slots(), n);
  }
  [[nodiscard]] atomic<std::uintptr_t>* slots() const noexcept {
    static_assert(alignof(atomic<std::uintptr_t>) <= alignof(rcu::deferred));
    return reinterpret_cast<atomic<std::uintptr_t>*>(const_cast<resv_list*>(this) + 1);
  }

  /// Null: no memory.
  static resv_list* make(std::uint64_t room) noexcept;
  /// Nobody looks at it any more.
  static void destroy(deferred* d) noexcept;

  // For who has the lock.
  [[nodiscard]] std::uint32_t written() const noexcept {
    // relaxed, as below: changed under the lock
    return size.load(mo::relaxed);
  }
  [[nodiscard]] resv_slot word(std::uint32_t i) const noexcept {
    return resv_slot(slots()[i].load(mo::relaxed));
  }
  // Takes over a reference.
  void append(resv_slot word) noexcept {
    const std::uint32_t at = written();
    UFENCE_DEBUG_CHECK(at < room);
    // relaxed: shown by the size
    slots()[at].store(word.bits(), mo::relaxed);
    // [RESV.1] release: the slot, and the fence in it; pairs with [RESV.2]
    size.store(at + 1, mo::release);
  }
  // The fence that stands for it is appended already.
  void mark_replaced(std::uint32_t i) noexcept {
    // [RESV.3] release: a reader that misses this fence finds the other one; pairs with [RESV.4]
    slots()[i].store(word(i).replaced().bits(), mo::release);
  }
  // Its place is another's at once. The reference to the old fence is the caller's.
  void overwrite(std::uint32_t i, resv_slot with) noexcept {
    // [RESV.5] release: the fence that is in the slot now; pairs with [RESV.4]
    slots()[i].store(with.bits(), mo::release);
  }

  // Not published yet.
  void forget() noexcept {
    for (std::uint32_t i = 0; i < written(); ++i) word(i).at().put();
    // relaxed: nobody else has seen it
    size.store(0, mo::relaxed);
  }

  // The next fence at or after `at` up to a usage, or null.
  fence* next_fence(std::uint32_t& at, resv_usage up_to, resv_usage& usage) const noexcept {
    // [RESV.2] acquire: slots, and the fences in them; pairs with [RESV.1]
    while (at < size.load(mo::acquire)) {
      // [RESV.4] acquire: a replaced fence's successor, by the size; pairs with [RESV.3], [RESV.5]
      const resv_slot word(slots()[at++].load(mo::acquire));
      if (word.is_replaced() || word.usage() > up_to) continue;
      usage = word.usage();
      return &word.at();
    }
    return nullptr;
  }
  // The same of those that are pending.
  fence* next_pending(std::uint32_t& at, resv_usage up_to, resv_usage& usage) const noexcept {
    fence* f = nullptr;
    do f = next_fence(at, up_to, usage);
    while (f != nullptr && f->is_signaled());
    return f;
  }
};

}  // namespace detail

}  // namespace ufence

// run_queue: the entities whose first job may be looked at, the next one on top. A heap of four
// children: choosing, adding and removing are logarithmic.
//
// Threads: one at a time; its scheduler's lock.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

#include "ufence/base/api.h"

namespace ufence::sched::detail {

class entity_core;

/// Where an entity stands: the lowest comes first.
struct run_key {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  friend auto operator<=>(const run_key&, const run_key&) noexcept = default;
};

/// Of an entity: its place in the heap.
inline constexpr std::uint32_t not_queued = UINT32_MAX;

class run_queue {
 public:
  run_queue() noexcept = default;
  ~run_queue();
  run_queue(const run_queue&) = delete;
  run_queue& operator=(const run_queue&) = delete;

  /// Room for n entities. False: no memory, nothing has changed.
  [[nodiscard]] bool reserve(std::size_t n) noexcept;

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// The entity at a place; place 0 is the lowest.
  [[nodiscard]] entity_core& at(std::uint32_t place) const noexcept { return *slots_[place].of; }
  [[nodiscard]] const run_key& key(std::uint32_t place) const noexcept { return slots_[place].key; }

  /// Room was reserved.
  void insert(entity_core& e, const run_key& key) noexcept;
  void remove(entity_core& e) noexcept;
  void update(entity_core& e, const run_key& key) noexcept;

 private:
  struct slot {
    run_key key;
    entity_core* of;
  };
  void put(std::uint32_t place, const slot& what) noexcept;
  void rise(std::uint32_t place, const slot& what) noexcept;
  void sink(std::uint32_t place, const slot& what) noexcept;

  slot* slots_ = nullptr;
  std::uint32_t size_ = 0, room_ = 0;
};

}  // namespace ufence::sched::detail

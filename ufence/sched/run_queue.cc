#include "ufence/sched/run_queue.h"

#include <algorithm>
#include <cstring>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/sched/core.h"

namespace ufence::sched::detail {

namespace {
constexpr std::uint32_t children = 4;
}  // namespace

run_queue::~run_queue() {
  UFENCE_CHECK(size_ == 0);
  deallocate(slots_);
}

bool run_queue::reserve(std::size_t n) noexcept {
  if (n <= room_) return true;
  if (n > not_queued / 2) return false;
  const std::size_t room =
      std::max<std::size_t>(2 * std::size_t{room_}, std::max<std::size_t>(n, 16));
  auto* slots = static_cast<slot*>(allocate(room * sizeof(slot)));
  if (slots == nullptr) return false;
  if (size_ != 0) std::memcpy(static_cast<void*>(slots), slots_, size_ * sizeof(slot));
  deallocate(slots_);
  slots_ = slots;
  room_ = static_cast<std::uint32_t>(room);
  return true;
}

void run_queue::put(std::uint32_t place, const slot& what) noexcept {
  slots_[place] = what;
  what.of->place_ = place;
}

void run_queue::rise(std::uint32_t place, const slot& what) noexcept {
  while (place != 0) {
    const std::uint32_t above = (place - 1) / children;
    if (slots_[above].key <= what.key) break;
    put(place, slots_[above]);
    place = above;
  }
  put(place, what);
}

void run_queue::sink(std::uint32_t place, const slot& what) noexcept {
  for (;;) {
    const std::uint64_t first = std::uint64_t{place} * children + 1;
    if (first >= size_) break;
    const auto end = static_cast<std::uint32_t>(std::min<std::uint64_t>(first + children, size_));
    auto lowest = static_cast<std::uint32_t>(first);
    for (std::uint32_t i = lowest + 1; i < end; ++i) {
      if (slots_[i].key < slots_[lowest].key) lowest = i;
    }
    if (what.key <= slots_[lowest].key) break;
    put(place, slots_[lowest]);
    place = lowest;
  }
  put(place, what);
}

void run_queue::insert(entity_core& e, const run_key& key) noexcept {
  UFENCE_CHECK(e.place_ == not_queued && size_ < room_);
  ++size_;
  rise(size_ - 1, {.key = key, .of = &e});
}

void run_queue::remove(entity_core& e) noexcept {
  const std::uint32_t place = e.place_;
  UFENCE_CHECK(place < size_ && slots_[place].of == &e);
  e.place_ = not_queued;
  --size_;
  if (place == size_) return;
  const slot last = slots_[size_];
  if (place != 0 && last.key < slots_[(place - 1) / children].key) {
    rise(place, last);
  } else {
    sink(place, last);
  }
}

void run_queue::update(entity_core& e, const run_key& key) noexcept {
  const std::uint32_t place = e.place_;
  if (size_ == 1) {
    slots_[0].key = key;
    return;
  }
  const bool rises = key < slots_[place].key;
  const slot moved{.key = key, .of = &e};
  if (rises) {
    rise(place, moved);
  } else {
    sink(place, moved);
  }
}

}  // namespace ufence::sched::detail

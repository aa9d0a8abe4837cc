#include "ufence/container/visited.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <span>

#include "ufence/base/alloc.h"

namespace ufence::detail {

visited_containers::~visited_containers() {
  if (slots_ != nullptr && slots_ != inline_.data()) deallocate(slots_);
}

visited_containers::slot* visited_containers::find(slot container) noexcept {
  // Containers are aligned to 64 bytes, or to 16 in memory of their issuers.
  const std::uint64_t hash =
      (reinterpret_cast<std::uintptr_t>(container) >> 4) * UINT64_C(0x9E3779B97F4A7C15);
  const std::uint32_t last = room_ - 1;
  auto at = static_cast<std::uint32_t>(hash >> (64 - std::bit_width(last)));
  while (slots_[at] != nullptr && slots_[at] != container) at = (at + 1) & last;
  return slots_ + at;
}

bool visited_containers::grow() noexcept {
  const std::span old(slots_, room_);
  const std::uint32_t room = slots_ == nullptr ? inline_room : 4 * room_;
  auto* const larger = slots_ == nullptr ? inline_.data()
                                         : static_cast<slot*>(allocate(room * sizeof(slot)));
  if (larger == nullptr) return false;
  std::uninitialized_fill_n(larger, room, nullptr);
  slots_ = larger;
  room_ = room;
  for (slot s : old) {
    if (s != nullptr) *find(s) = s;
  }
  if (old.data() != nullptr && old.data() != inline_.data()) deallocate(old.data());
  return true;
}

bool visited_containers::insert(slot container) noexcept {
  if (2 * used_ >= room_ && !grow()) {
    // No memory: what is known is forgotten, for what comes now.
    std::fill_n(slots_, room_, nullptr);
    used_ = 0;
  }
  slot* const at = find(container);
  if (*at != nullptr) return false;
  *at = container;
  ++used_;
  return true;
}

}  // namespace ufence::detail

#include "ufence/container/fence_list.h"

#include "ufence/base/alloc.h"

namespace ufence {

bool fence_list::grow(std::size_t room) noexcept {
  auto* larger = static_cast<fence_ref*>(allocate(room * sizeof(fence_ref)));
  if (larger == nullptr) return false;
  std::uninitialized_move_n(items_, size_, larger);
  std::destroy_n(items_, size_);
  if (items_ != inline_items()) deallocate(items_);
  items_ = larger;
  room_ = room;
  return true;
}

void fence_list::drop() noexcept {
  clear();
  if (items_ != inline_items()) deallocate(items_);
}

// This one holds nothing, and its memory is nobody's any more; the other one is as new afterwards.
void fence_list::take(fence_list& other) noexcept {
  if (other.items_ == other.inline_items()) {
    items_ = inline_items();
    std::uninitialized_move_n(other.items_, other.size_, items_);
    std::destroy_n(other.items_, other.size_);
  } else {
    items_ = std::exchange(other.items_, other.inline_items());
  }
  size_ = std::exchange(other.size_, 0);
  room_ = std::exchange(other.room_, inline_room);
}

}  // namespace ufence

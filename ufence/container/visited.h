// Containers that a walk has met, so that it visits none of them twice: containers may share what is in
// them, and the paths to a fence may be exponentially more than the containers.
#pragma once

#include <array>
#include <cstdint>

#include "ufence/base/api.h"
#include "ufence/fence/fence.h"

namespace ufence::detail {

/// Threads: one at a time per object. Allocates: beyond 16 containers that others have references to
/// as well. Without memory it forgets some, and a walk may visit those again.
class UFENCE_API visited_containers {
 public:
  visited_containers() noexcept {}  // the slots are set when the first one is needed
  ~visited_containers();
  visited_containers(const visited_containers&) = delete;
  visited_containers& operator=(const visited_containers&) = delete;

  /// Is this the first visit? The walk goes on below it then.
  /// @param own_references  how many of its references are the walk's own, or of the one parent that
  ///                        it came from. If there are no others, no other path leads to it: what is
  ///                        inside of a container never gets more.
  [[nodiscard]] bool enter(const fence& container, std::uint32_t own_references) noexcept {
    return container.references_now() <= own_references || insert(&container);
  }

 private:
  using slot = const fence*;

  [[nodiscard]] bool insert(slot container) noexcept;
  [[nodiscard]] slot* find(slot container) noexcept;  // where it is, or belongs
  [[nodiscard]] bool grow() noexcept;

  static constexpr std::uint32_t inline_room = 32;
  std::array<slot, inline_room> inline_;
  slot* slots_ = nullptr;  // a hash table, at most half of it is used; null: an empty slot
  std::uint32_t room_ = 0;  // a power of 2
  std::uint32_t used_ = 0;
};

}  // namespace ufence::detail

// The shared timelines of this process, for those who look into one that hangs.
#pragma once

#include <array>
#include <cstdint>

#include "ufence/sync/shared_timeline.h"

namespace ufence::detail {

/// The facts about the timeline that a fence is a point of.
struct shared_timeline_state {
  std::array<char, 64> name{};
  std::uint64_t value = 0;         // the last point that is reached
  std::uint32_t owner_thread = 0;  // of the owner, as the kernel numbers it there; 0: it has gone
  bool is_owner = false;           // this process is
};
/// @param context  of the fence
/// @return  false: there is none with such fences
/// Threads: any. Blocks: never. Context: takes a leaf lock.
[[nodiscard]] bool find_shared_timeline(std::uint64_t context, shared_timeline_state& state) noexcept;

/// Where the list begins, and what lies where in one (debug/layout.h).
struct shared_layout {
  const void* first;  // a pointer to the first one
  std::uint32_t next, page, context, name, is_owner;
  std::uint32_t page_owner, page_value;
};
[[nodiscard]] shared_layout layout_of_shared_timelines() noexcept;

/// The list; for shared_timeline.cc.
struct live_shared_timelines {
  static void add(shared_timeline& t) noexcept;
  static void remove(shared_timeline& t) noexcept;
  static bool find(std::uint64_t context, shared_timeline_state& state) noexcept;
  static shared_layout layout() noexcept;
};

}  // namespace ufence::detail

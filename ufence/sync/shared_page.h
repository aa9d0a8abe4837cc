// The page of a shared timeline: what its processes have in common. Inside the layer only.
//
// In an importer nothing of it is trusted: every field may have any value and change at any time.
// In particular, a process that may signal the timeline may also write everything else.
#pragma once

#include <array>
#include <cstdint>

#include "ufence/base/atomic.h"

namespace ufence {

struct shared_page {
  static constexpr std::uint32_t right_magic = 0x75666E63;  // "ufnc"
  static constexpr std::uint32_t right_version = 1;
  static constexpr std::size_t bytes = 4096;
  static constexpr std::size_t name_bytes = 64;
  static constexpr std::uint64_t closed = std::uint64_t{1} << 63;

  // Constant before the page leaves its maker; read once, by an import.
  atomic<std::uint32_t> magic;
  atomic<std::uint32_t> version;
  std::array<atomic<char>, name_bytes> name;

  // The thread whose end is the owner's: the kernel sets FUTEX_OWNER_DIED. See shared_owner_thread.
  atomic<std::uint32_t> owner;
  // The errno that a closed timeline ended with; set before `closed`.
  atomic<std::int32_t> error;
  // The last point that is reached, and `closed`; only forward.
  alignas(64) atomic<std::uint64_t> value;
  // Counts the changes of `value`: what is slept on.
  atomic<std::uint32_t> sequence;
};
static_assert(sizeof(shared_page) <= shared_page::bytes);

}  // namespace ufence

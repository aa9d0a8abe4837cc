// A child of fork() inherits memory, but none of the other threads.
#pragma once

#include <cstdint>

#include "ufence/base/lock_rank.h"

namespace ufence {

namespace detail {
// Written in a child of fork() while it has one thread.
extern std::uint32_t fork_generation;
}  // namespace detail

/// How many fork()s lie between the process that loaded the library and this one. What was made in
/// another generation belongs to a process that is not this one: its locks may be held by threads
/// that do not exist here.
[[nodiscard]] inline std::uint32_t fork_generation() noexcept { return detail::fork_generation; }

/// The work that a part of the library does around a fork(): an object that lives for ever, made when the
/// library is loaded. Parts come in the order of what their `before` waits for: grace periods
/// first, which wait for readers, which take locks; then locks, by rising rank. So fork() holds no
/// lock of ours while it waits for a reader. After the fork they come in the opposite order.
class fork_part {
 public:
  using function = void (*)() noexcept;
  struct functions {
    function before;
    function in_parent;
    function in_child;
  };

  /// A part that waits for grace periods.
  explicit fork_part(functions f) noexcept : fork_part(0, f) {}
  /// A part that takes the lock of this rank.
  fork_part(lock_rank rank, functions f) noexcept : fork_part(1 + static_cast<unsigned>(rank), f) {}
  fork_part(const fork_part&) = delete;
  fork_part& operator=(const fork_part&) = delete;

  /// The parts by rising place, and by falling one.
  static void run_before() noexcept;
  static void run_after(function functions::*which) noexcept;

 private:
  fork_part(unsigned place, functions f) noexcept;
};

}  // namespace ufence

// What a child of fork() inherits: memory, but none of the other threads.
#pragma once

#include <cstdint>

namespace ufence {

namespace detail {
// Written in a child of fork() while it has one thread.
extern std::uint32_t fork_generation;
}  // namespace detail

/// How many fork()s lie between the process that loaded the library and this one. What was made in
/// another generation belongs to a process that is not this one: its locks may be held by threads that
/// do not exist here.
[[nodiscard]] inline std::uint32_t fork_generation() noexcept { return detail::fork_generation; }

}  // namespace ufence

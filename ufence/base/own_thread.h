// Threads of the library's own. Inside the library only.
#pragma once

namespace ufence::detail {

/// Starts a thread that takes no signals but those of its own faults, and that nobody joins.
/// @return  0, or a positive errno: there is no thread to be had
[[nodiscard]] int start_own_thread(void* (*run)(void*), void* argument) noexcept;

}  // namespace ufence::detail

// The facts that the kernel tells of the process at the other end of a socket pair. It can't be forged, shut
// down or read away by any process that shares this end.
#pragma once

#include <cstdint>
#include <optional>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"

namespace ufence::detail {

enum class peer_state : std::uint8_t {
  open,     // the other end is open in some process
  closed,   // the other end is closed everywhere
  unknown,  // it can't be asked here; that is no reason to call it closed
};

/// Is the other end still open? For a caller that has seen it reported, which any holder of this end can cause
/// with shutdown(). Asks the kernel's list of sockets, which takes longer the more there are.
/// @return  unknown: the socket is of another network namespace, or the system refuses the question
[[nodiscard]] peer_state state_of_other_end(int socket) noexcept;

/// Has the process that made the socket pair ended? By its pidfd, so in every namespace; before
/// Linux 6.5 by its number. Closed: it has. Open: not yet. Unknown: neither is to be had.
[[nodiscard]] peer_state state_of_maker(int socket) noexcept;

/// A pidfd of the process that made the socket pair; before Linux 6.5 by its number.
/// @return  -ESRCH there is none, or it has no number here; -EMFILE, -ENFILE, ...
[[nodiscard]] result<unique_fd> pidfd_of_maker(int socket) noexcept;

/// A number of the process that made the socket pair, which no other process has while that lives,
/// and which no other user can choose. Nothing: it can't be told from others.
[[nodiscard]] std::optional<std::uint64_t> maker_of(int socket) noexcept;

/// Was the socket pair made by a process of another user? Also if it can't be known.
[[nodiscard]] bool is_of_another_user(int socket) noexcept;

}  // namespace ufence::detail

// channel: sends fences, syncobjs and shared timelines to another process over a Unix socket, in
// parcels that arrive whole or not at all.
//
// Messages that arrive are not trusted: a parcel that makes no sense is dropped with an error, and the
// channel goes on. Its sender is told by the kernel, for each parcel: a socket may be passed on.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ufence/base/api.h"
#include "ufence/base/clock.h"
#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/sync/shared_timeline.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence {

/// One thing in a parcel: exactly one of these is set.
struct channel_item {
  /// Arrives as a sync file's fence: the very fence in the process that it came from, elsewhere one
  /// that stands for it.
  fence_ref fence = {};
  /// Arrives as a syncobj of the receiver's own, with what is in this one now: a snapshot.
  syncobj_ref object = {};
  /// Arrives as an import of the timeline.
  shared_timeline_ref timeline = {};
  shared_access access = shared_access::wait;  // to the timeline; when sent
};

struct parcel {
  std::uint64_t tag = 0;  // the users'
  std::vector<std::byte> bytes = {};
  std::vector<channel_item> items = {};
  ::ucred sender{};  // received: its sender
};

struct channel_options {
  std::size_t bytes_max = 4096;  // in a parcel, sent or received
  std::size_t items_max = 16;    // the same; at most 64
  bool same_user = true;         // parcels of other users are refused, with -EACCES
};

/// Threads: one that sends and one that receives, at once.
class UFENCE_API channel {
 public:
  static constexpr std::size_t items_limit = 64;

  /// Takes a connected socket of type SOCK_SEQPACKET.
  /// @return  -EINVAL not one, or items_max is too large; -EACCES because of `same_user`: the
  ///          process at the other end, when it was connected, was another user's
  [[nodiscard]] static result<channel> adopt(unique_fd socket,
                                             const channel_options& options = {}) noexcept;
  /// Two channels that are connected, for a child of fork() or to send one end away.
  [[nodiscard]] static result<std::pair<channel, channel>> pair(
      const channel_options& options = {}) noexcept;

  /// Sends one parcel; `sender` is not looked at.
  /// @return  -ETIME the other end did not read by the deadline; -EPIPE it is gone; -EMSGSIZE more
  ///          than the options allow, or than a socket takes; -EINVAL an item that is nothing; of
  ///          making descriptors: -EMFILE, -EPERM, ...: nothing was sent
  /// Blocks: until there is room, up to the deadline (0: never).
  [[nodiscard]] std::error_code send(const parcel& what, absolute_deadline deadline_ns) noexcept;

  /// Receives one parcel.
  /// @return  -ETIME none by the deadline; -EPIPE the other end is gone; -EPROTO it made no sense,
  ///          -EACCES because of `same_user`, it is another user's: it was dropped. Everything else
  ///          is trouble of this process, and the parcel is still there: -EMFILE, -ENOMEM, ...;
  ///          what a sandbox says of what it refuses (-EPERM, -ENOSYS, ...)
  /// Blocks: up to the deadline (0: never).
  [[nodiscard]] result<parcel> receive(absolute_deadline deadline_ns) noexcept;

  /// Readable when there is something to receive.
  [[nodiscard]] int fd() const noexcept { return socket_.get(); }
  /// The process that was at the other end when it was connected.
  [[nodiscard]] const ::ucred& peer() const noexcept { return peer_; }

 private:
  channel(unique_fd socket, const channel_options& options, const ::ucred& peer) noexcept
      : socket_(std::move(socket)), options_(options), peer_(peer) {}

  unique_fd socket_;
  channel_options options_;
  ::ucred peer_;
};

}  // namespace ufence

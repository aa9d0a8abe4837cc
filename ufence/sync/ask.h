// The holder's side: what a sync file of another process tells by itself, and asking its exporter.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/sync/wire.h"

namespace ufence::detail {

/// Room for a record that comes from another process.
class record_buffer {
 public:
  record_buffer() noexcept = default;
  ~record_buffer();
  record_buffer(const record_buffer&) = delete;
  record_buffer& operator=(const record_buffer&) = delete;

  /// Reads the record that waits at a sync file, and leaves it there.
  /// @return  valid as long as the buffer; -EAGAIN there is none: pending; -ENODATA there will be
  ///          none here: its exporter is gone, or a holder took it away; -EPROTO it is no record of
  ///          a signaled fence; -ENOMEM
  [[nodiscard]] result<record_view> peek(int file) noexcept;
  /// Takes the answer of an exporter.
  /// @return  as peek(); the status may be 0
  [[nodiscard]] result<record_view> take(int connection) noexcept;

 private:
  [[nodiscard]] result<record_view> receive(int socket, bool peek) noexcept;
  [[nodiscard]] std::span<std::byte> room(std::size_t size) noexcept;

  std::array<std::byte, 512> inline_;
  std::byte* heap_ = nullptr;
};

/// Where a sync file is bound to.
/// @return  -EINVAL it is not a sync file of this library; -EBADF
[[nodiscard]] result<socket_address> address_of(int file) noexcept;

/// Sends a request to the exporter of a sync file.
/// @return  the connection on which the answer comes; -ECONNREFUSED the exporter is gone; -EAGAIN
///          it has no time now; -EMFILE, -ENFILE, -ENOMEM, -EINVAL as address_of()
/// Blocks: never.
[[nodiscard]] result<unique_fd> ask(int file, const sync_request& request) noexcept;

}  // namespace ufence::detail

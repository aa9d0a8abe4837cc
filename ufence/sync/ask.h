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

/// Asks the exporter of a sync file, over the file's own socket: nobody else reads what is sent
/// there, in whatever namespace, and a process that can send holds the file.
/// @return  the socket on which the answer comes; its peer is closed if the exporter ends. -EPIPE the exporter
///          is gone, or a holder has shut the socket down; -EAGAIN a holder has filled it; -EMFILE,
///          -ENFILE, -ENOMEM, ...
/// Blocks: never.
[[nodiscard]] result<unique_fd> ask(int file, const sync_request& request) noexcept;

/// The exporter has closed its end of a sync file that has no verdict: the fence ended with it.
/// False if that can't be known: what can't be asked is not dead.
[[nodiscard]] bool is_exporter_gone(int file) noexcept;

}  // namespace ufence::detail

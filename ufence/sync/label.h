// The names that the two ends of a sync file's socket are bound to.
//
// Names in the abstract namespace can be read by every user (/proc/net/unix), and be taken by
// any program. So nobody is ever found by one: they are labels. They begin with random numbers,
// so that nobody takes one before its owner, and the rest is enciphered.
//
//   label    of the holders' end, from its birth: what the fence is. It stays readable when the
//            exporter is stopped, gone, or in another namespace.
//   verdict  of the exporting end, from the signal on: status and time. A holder can read it
//            (getpeername) and can't take it away, whatever it does to the socket.
//
// The key lies in the times of the inode of the holders' end: fstat() tells them to holders, and
// nobody but the exporter's user can set them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "ufence/io/cipher.h"
#include "ufence/io/socket.h"

namespace ufence::detail {

/// The longest name that the interface has room for, without its NUL.
inline constexpr std::size_t sync_name_max = 31;

using sync_name = std::array<char, sync_name_max + 1>;  // with a NUL
/// The part of a name that the interfaces have room for.
[[nodiscard]] std::string_view cut_name(std::string_view name) noexcept;
void copy_name(sync_name& to, std::string_view name) noexcept;

/// The random numbers of one sync file. Fields that are all 0 hide nothing.
struct label_secret {
  std::array<std::uint32_t, 4> key{};
  cipher_nonce of_label{};
  cipher_nonce of_verdict{};

  /// @return  what getrandom() says: -EAGAIN it has none yet; -EPERM, -ENOSYS, ... of a sandbox
  [[nodiscard]] static result<label_secret> make() noexcept;
};

/// Leaves the key with a holders' end. False: not allowed here; then nothing may be hidden by it.
[[nodiscard]] bool keep_key(int holders_end, const label_secret& secret) noexcept;

struct sync_label {
  std::uint64_t timeline = 0;  // the same number for each fence of a timeline of one exporter
  std::uint64_t context = 0;   // what the exporter's logs call it
  std::uint64_t seqno = 0;
  std::string_view driver_name;
  std::string_view timeline_name;
  std::string_view file_name;     // cut off first where there is no room for all
  bool has_default_name = false;  // default_name() of the others: it takes no room
  bool is_one = false;            // the fence is its only leaf
  bool seqno_wraps = false;
};
/// Does the label, with the verdict, tell everything that a record would?
[[nodiscard]] bool fits_label(const sync_label& what) noexcept;
/// "driver-timelinecontext-seqno": the numbers whole, since those tell fences apart, and of the
/// names what there is room for.
void write_default_name(sync_name& to, std::string_view driver, std::string_view timeline,
                        std::uint64_t context, std::uint64_t seqno) noexcept;

struct opened_label {
  bool is_readable = false;  // otherwise nothing below is known
  bool is_whole = false;     // fits_label()
  bool seqno_wraps = false;
  std::uint64_t timeline = 0;
  std::uint64_t context = 0;
  std::uint64_t seqno = 0;
  sync_name driver_name{};
  sync_name timeline_name{};
  sync_name file_name{};
};
struct sync_verdict {
  std::int32_t status = 0;  // 1, or a negative errno
  std::int64_t timestamp_ns = 0;
};

[[nodiscard]] socket_address write_label(const sync_label& what,
                                         const label_secret& secret) noexcept;
[[nodiscard]] socket_address write_verdict(const sync_verdict& what,
                                           const label_secret& secret) noexcept;
/// A name for an end that only has to be told from all others.
[[nodiscard]] socket_address write_plain_label(std::string_view prefix,
                                               const cipher_nonce& number) noexcept;

/// The label of a holders' end, whatever became of its exporter.
/// @return  -EINVAL it is not a sync file of this library; -EBADF
[[nodiscard]] result<opened_label> label_of(int file) noexcept;
/// The verdict on a sync file: nothing if there is none yet, and then none will be without the
/// exporter.
[[nodiscard]] std::optional<sync_verdict> verdict_of(int file) noexcept;

/// The work of label_of() and verdict_of(), with an address and the times of an inode.
[[nodiscard]] std::optional<opened_label> open_label(
    const socket_address& address, const std::array<std::uint32_t, 4>& key) noexcept;
[[nodiscard]] std::optional<sync_verdict> open_verdict(
    const socket_address& address, const std::array<std::uint32_t, 4>& key) noexcept;

}  // namespace ufence::detail

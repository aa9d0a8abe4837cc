// The messages that cross process borders, as bytes: the record of a sync file, and what a holder
// asks its exporter. What comes from another process is checked here, and nowhere else. (The names
// of the sockets: label.h.)
//
//   record   the state of a fence and of its leaves. The exporter sends one when the fence is
//   signaled. request  one message over the sync file itself, with a socket for the answer: a process that can
//   send it holds
//            the file, and the process that reads it exports it. The answer is a record.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/sync/label.h"

namespace ufence::detail {

/// Records are smaller than this: they have to fit into a socket's buffer at once.
inline constexpr std::size_t record_size_max = 200'000;

/// How large the record of this fence can get; it never grows.
/// @return  -ENOMEM; -E2BIG more than record_size_max
[[nodiscard]] result<std::size_t> record_room(const fence_ref& f) noexcept;
/// Writes the record of a fence as it is now.
/// @return  its size; leaves that do not fit are left out
[[nodiscard]] std::size_t write_record(std::span<std::byte> into, std::string_view name,
                                       const fence_ref& f) noexcept;

/// Writes a record without leaves: where the whole one is more than a socket takes.
[[nodiscard]] std::size_t write_short_record(std::span<std::byte> into, std::string_view name,
                                             const fence_ref& f) noexcept;
/// Room for one of these.
inline constexpr std::size_t short_record_size_max = 64;

/// One leaf of a record.
struct record_leaf {
  std::int32_t status = 0;  // 0 pending; 1 signaled; <0 signaled with that error
  std::int64_t timestamp_ns = 0;
  std::string_view driver_name;
  std::string_view timeline_name;
};

/// A record that was checked.
class record_view {
 public:
  /// @return  -EPROTO it is not a record
  [[nodiscard]] static result<record_view> parse(std::span<const std::byte> bytes) noexcept;

  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] std::int32_t status() const noexcept { return status_; }
  /// Of the signal; 0: pending.
  [[nodiscard]] std::int64_t timestamp_ns() const noexcept { return timestamp_ns_; }
  [[nodiscard]] std::uint32_t leaf_count() const noexcept { return leaf_count_; }
  /// Calls f(const record_leaf&) for each.
  template <class F>
  void for_each_leaf(F f) const {
    std::span<const std::byte> rest = leaves_;
    for (std::uint32_t i = 0; i < leaf_count_; ++i) f(*take_leaf(rest));
  }

 private:
  static std::optional<record_leaf> take_leaf(std::span<const std::byte>& rest) noexcept;

  std::string_view name_;
  std::int32_t status_ = 0;
  std::int64_t timestamp_ns_ = 0;
  std::uint32_t leaf_count_ = 0;
  std::span<const std::byte> leaves_;
};

/// A question of a holder: the record, as it is now, if a socket for it comes along; and before, it may
/// hint at a deadline.
struct sync_request {
  static constexpr std::uint32_t this_version = 0x75660001;
  std::uint32_t version = this_version;
  std::uint32_t has_deadline = 0;
  std::int64_t deadline_ns = 0;
};
[[nodiscard]] std::optional<sync_request> parse_request(std::span<const std::byte> bytes) noexcept;

}  // namespace ufence::detail

// The object that a descriptor of the broker stands for.
#pragma once

#include <string_view>

#include "ufence/base/clock.h"
#include "ufence/uapi/call.h"

namespace ufence::uapi {

/// Ends with the last duplicate of its descriptor, in whatever process.
/// Threads: the broker's alone. May throw std::bad_alloc.
class device {
 public:
  device() = default;
  device(const device&) = delete;
  device& operator=(const device&) = delete;
  virtual ~device() = default;

  [[nodiscard]] virtual device_kind kind() const noexcept = 0;
  /// An ioctl. @return  ENOTTY it is not known
  [[nodiscard]] virtual reply control(const call& c) = 0;
  /// The memory at an offset, for mmap().
  [[nodiscard]] virtual result<unique_fd> memory_at(std::uint64_t) { return failure(ENODEV); }
  /// When on_time() is wanted.
  [[nodiscard]] virtual std::int64_t next_time_ns() const noexcept { return no_deadline; }
  virtual void on_time(std::int64_t) noexcept {}
};

/// A software timeline, named after the thread that opens it.
[[nodiscard]] result<std::unique_ptr<device>> make_sw_sync(std::string_view thread_name);

/// An ioctl on a sync file.
[[nodiscard]] reply sync_file_control(const call& c);

}  // namespace ufence::uapi

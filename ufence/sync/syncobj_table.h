// syncobj_table: syncobjs by number, as one opened DRM node has them, with the kernel's flags and
// errnos.
//
// Where the kernel answers an unknown handle with EINVAL here and with ENOENT there, so does this.
// Its ioctls' rules for reserved fields are for the code that reads the ioctl's struct. Lock rank: leaf,
// around the list of handles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ufence/base/api.h"
#include "ufence/base/fd.h"
#include "ufence/base/lock.h"
#include "ufence/base/result.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence {

/// The kernel's values (drm.h).
namespace syncobj_flag {
inline constexpr std::uint32_t create_signaled = 1;  // create
inline constexpr std::uint32_t wait_all = 1;         // wait
inline constexpr std::uint32_t wait_for_submit = 2;  // wait, transfer
inline constexpr std::uint32_t wait_available = 4;   // wait on points, eventfd
inline constexpr std::uint32_t wait_deadline = 8;    // wait
inline constexpr std::uint32_t last_submitted = 1;   // query
inline constexpr std::uint32_t sync_file = 1;        // to_fd, from_fd
inline constexpr std::uint32_t at_point = 2;         // to_fd, from_fd: the point counts
}  // namespace syncobj_flag

/// Handles are the lowest free numbers from 1 on. `points` are as many as `handles`, or none: all
/// 0. Handles in one call may repeat. In a child of fork() the table of a parent finds nothing, and
/// what needs it returns -EOWNERDEAD (F18). Threads: any, concurrently.
/// Source: Linux drivers/gpu/drm/drm_syncobj.c
class UFENCE_API syncobj_table {
 public:
  using handle = std::uint32_t;
  using handles = std::span<const handle>;
  using points = std::span<const std::uint64_t>;

  syncobj_table() noexcept;
  syncobj_table(const syncobj_table&) = delete;
  syncobj_table& operator=(const syncobj_table&) = delete;

  /// @return  -EINVAL a flag that is not create_signaled; -ENOMEM
  [[nodiscard]] result<handle> create(std::uint32_t flags = 0) noexcept;
  /// A new handle to an object, each time. @return  -EINVAL null; -ENOMEM
  [[nodiscard]] result<handle> insert(syncobj_ref object) noexcept;
  /// The object, or null.  Source: Linux drm_syncobj_find()
  [[nodiscard]] syncobj_ref find(handle h) const noexcept;
  /// A thread that waits for the object keeps it. @return  -EINVAL unknown
  std::error_code destroy(handle h) noexcept;

  /// Of a wait without points (`timeline` false) wait_available is not a flag.
  /// @param timeout_ns  absolute, CLOCK_MONOTONIC; 0 and less poll
  /// @return  the index of one that is done; -EINVAL, -ENOENT, -ETIME, ... as ufence::wait()
  [[nodiscard]] result<std::size_t> wait(handles hs, points ps, bool timeline, std::uint32_t flags,
                                         std::int64_t timeout_ns,
                                         std::int64_t hint_ns = no_deadline) const noexcept;
  /// @return  -EINVAL no handles; -ENOENT one is unknown: nothing has changed; -ENOMEM
  std::error_code reset(handles hs) noexcept;
  /// The same. With -ENOMEM those before may be signaled.
  std::error_code signal(handles hs) noexcept;
  /// @return  -EINVAL a flag, or no handles; -ENOENT; -ENOMEM: nothing has changed
  std::error_code signal_points(handles hs, points ps, std::uint32_t flags = 0) noexcept;
  /// @return  -EINVAL a flag that is not last_submitted, or no handles; -ENOENT; -ENOMEM
  std::error_code query(handles hs, std::span<std::uint64_t> values,
                        std::uint32_t flags = 0) const noexcept;
  /// With wait_for_submit it waits for the source, 5 s as the kernel.
  /// @return  -ENOENT unknown; -EINVAL not submitted, or a flag that is not wait_for_submit;
  /// -ETIME; ...
  std::error_code transfer(handle from, std::uint64_t from_point, handle to, std::uint64_t to_point,
                           std::uint32_t flags = 0) noexcept;
  /// @return  -EINVAL a flag that is not wait_available, or not an eventfd; -ENOENT; -EBADF;
  /// -EMFILE; ...
  std::error_code notify(handle h, std::uint64_t point, std::uint32_t flags, int event_fd) noexcept;

  /// A descriptor for the object, or with the flag sync_file a sync file of what a point waits for.
  /// @return  -EINVAL another flag, an unknown handle, a point without a sync file; of a sync file:
  ///          -ENOENT unknown handle, -EINVAL not submitted; -EMFILE, ... as syncobj_export(),
  ///          sync_file_create()
  [[nodiscard]] result<unique_fd> to_fd(handle h, std::uint32_t flags = 0,
                                        std::uint64_t point = 0) const noexcept;
  /// A new handle to the object of a descriptor; or with the flag sync_file puts its fence into the
  /// object `into`, or adds it as a point.
  /// @return  the handle, or `into`; -EINVAL another flag, not such a descriptor, a point without a
  ///          sync file; -ENOENT `into` is unknown; -ENOMEM, ...
  [[nodiscard]] result<handle> from_fd(int fd, std::uint32_t flags = 0, handle into = 0,
                                       std::uint64_t point = 0) noexcept;

  /// How many handles there are.
  [[nodiscard]] std::size_t size() const noexcept;

 private:
  [[nodiscard]] result<std::vector<syncobj_point>> look_up(handles hs, points ps) const noexcept;

  [[nodiscard]] bool is_inherited() const noexcept;

  const std::uint32_t generation_;  // of fork()
  mutable mutex lock_{lock_rank::leaf};
  std::vector<syncobj_ref> objects_ UFENCE_GUARDED_BY(lock_);  // of handle i + 1; null: free
};

}  // namespace ufence

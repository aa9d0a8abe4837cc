// syncobj: a slot for a fence that others may look into, wait on, replace. Binary: any fence or
// none. Timeline: the newest node of a fence_chain, whose points are asked for by number.
//
// Operations take a snapshot: what a wait or an event has once found there, it stays with, whatever
// is put there later. Any operation may run at the same time as any other.
//
// Lock rank: syncobj, before fence. Nothing is looked at, walked or dropped under the lock; who
// waits for a point that is not there yet is told by a fence that is decided under it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/clock.h"
#include "ufence/base/lock.h"
#include "ufence/base/result.h"
#include "ufence/container/chain.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/ref.h"
#include "ufence/fence/reference_count.h"

namespace ufence {

class syncobj;
struct point_waiter;
using syncobj_ref = ref<syncobj>;

/// A point of a syncobj; 0: whatever fence is there.
struct syncobj_point {
  syncobj_ref object;
  std::uint64_t point = 0;
};

/// When wait() ends; by default with the first point that is signaled, if all are submitted.
struct syncobj_wait_options {
  bool all = false;         // with the last
  bool for_submit = false;  // a point that is not submitted yet is waited for
  bool available = false;   // the same, and once it is submitted that is enough
  // Handed to every fence that is waited for: when the result is wanted.
  std::int64_t hint_ns = no_deadline;
};

/// See the top of this file. Source: Linux struct drm_syncobj
class UFENCE_API syncobj {
 public:
  syncobj(const syncobj&) = delete;
  syncobj& operator=(const syncobj&) = delete;

  /// Makes an empty one, or one with a fence that is signaled.
  /// @return  -ENOMEM
  /// Source: Linux drm_syncobj_create()
  [[nodiscard]] static result<syncobj_ref> create(bool signaled = false) noexcept;

  // --- Looking ---

  /// The fence that is there, or null.
  /// @return  -EOWNERDEAD made before a fork() of which this is the child (F18), as for all below
  /// Source: Linux drm_syncobj_fence_get()
  [[nodiscard]] result<fence_ref> current() const noexcept;
  /// A fence that is signaled when the point is; the fence that is there for point 0.
  /// @return  -EINVAL not submitted
  /// Source: Linux drm_syncobj_find_fence()
  [[nodiscard]] result<fence_ref> find_fence(std::uint64_t point) const noexcept;
  /// The same, but waits until the point is submitted.
  /// @return  -ETIME not by then; -ENOMEM; -EDEADLK, -EOWNERDEAD as fence::wait()
  /// Source: the same with DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT; differs: the caller's deadline
  [[nodiscard]] result<fence_ref> find_fence_by(std::uint64_t point,
                                                absolute_deadline deadline_ns) noexcept;
  /// The last point of the newest run of rising points up to which all is signaled; 0 if binary or
  /// empty. Polls, so callbacks may run here.
  /// Source: Linux drm_syncobj_query_ioctl()
  [[nodiscard]] result<std::uint64_t> query() const noexcept;
  /// The last point that was submitted; 0 if binary or empty.
  [[nodiscard]] result<std::uint64_t> last_submitted() const noexcept;

  // --- Changing: wakes who waits for what is there now; callbacks may run here. ---

  /// Puts a fence there, or nothing.  Source: Linux drm_syncobj_replace_fence()
  std::error_code replace_fence(fence_ref f) noexcept;
  std::error_code reset() noexcept { return replace_fence(nullptr); }
  /// Puts a fence there that is signaled now. @return  -ENOMEM
  std::error_code signal() noexcept;
  /// Adds a point, signaled when `f` and all points before it are. One that is not later than the
  /// last is accepted: it starts a new run of points, with the last one's number.
  /// @return  -EINVAL null; -ENOMEM: nothing has changed
  /// Blocks: as fence_chain::create().  Source: Linux drm_syncobj_add_point()
  std::error_code add_point(const fence_ref& f, std::uint64_t point) noexcept;
  /// The same with memory that was reserved; `f` is not null, and this is not an inherited object.
  void add_point(fence_chain::room memory, const fence_ref& f, std::uint64_t point) noexcept;
  /// The same, as the first of two steps, for several points: nobody is told of the point before
  /// tell_of_points(), which has to follow.
  void add_point_untold(fence_chain::room memory, const fence_ref& f, std::uint64_t point) noexcept;
  void tell_of_points() noexcept;
  /// Adds a point that is signaled itself.
  std::error_code signal_point(std::uint64_t point) noexcept;

  /// Adds 1 to an eventfd, once: when the point is signaled, or submitted. The descriptor stays the
  /// caller's. If the syncobj ends before the point was submitted, nothing is added.
  /// @return  -EBADF; -EINVAL not an eventfd; -EMFILE, -ENOMEM
  /// Source: Linux drm_syncobj_eventfd_ioctl(); differs: where asynchronous operations are refused
  /// (io_setup) and the counter is full, nothing is added
  std::error_code notify(int event_fd, std::uint64_t point, bool when_available = false) noexcept;

  /// Made before a fork() of which this is the child.
  [[nodiscard]] bool is_inherited() const noexcept;

  void get() noexcept { references_.get(counted); }
  void put() noexcept {
    if (references_.put(counted)) destroy();
  }

 private:
  friend class syncobj_waiter;
  friend class syncobj_watch;

  syncobj() noexcept;
  ~syncobj();
  void destroy() noexcept;

  // `s` is prepared; its fence is signaled when the point is submitted, at once if it is there.
  void queue(point_waiter& s, std::uint64_t point) noexcept;
  void unqueue(point_waiter& s) noexcept;
  void wake_locked(settlement& later) noexcept UFENCE_REQUIRES(lock_);
  void submitted_locked(point_waiter& s, settlement& later) noexcept UFENCE_REQUIRES(lock_);
  void unlink_locked(point_waiter& s) noexcept UFENCE_REQUIRES(lock_);

  [[gnu::visibility("hidden")]] static constexpr counted_object counted{.text = "a syncobj"};
  reference_count references_;
  const std::uint32_t generation_;
  mutable mutex lock_{lock_rank::syncobj};
  fence_ref fence_ UFENCE_GUARDED_BY(lock_);
  point_waiter* waiting_ UFENCE_GUARDED_BY(lock_) = nullptr;
};

/// Waits for points.
/// @param deadline_ns  absolute, CLOCK_MONOTONIC; <= 0 polls, no_deadline never ends
/// @return  the lowest index that is done, 0 with `all` or without points; -ETIME; -EINVAL a null
///          object, or a point that is not submitted (without `for_submit` and `available`);
///          -ENOMEM; -EDEADLK, -EOWNERDEAD as fence::wait()
/// Threads: any. Blocks: up to deadline. Context: not on the signalling path.
/// Allocates: beyond 8 points, and for points that are not submitted.
/// Source: Linux drm_syncobj_timeline_wait_ioctl(); differs: not interruptible
[[nodiscard]] UFENCE_API result<std::size_t> wait(
    std::span<const syncobj_point> points, absolute_deadline deadline_ns,
    const syncobj_wait_options& options = {}) noexcept;

/// Copies what a point of one syncobj waits for to a point of another; to point 0: replaces its
/// fence.
/// @param submit_by_ns  until when the source's point is waited for; 0 not at all
/// @return  -EINVAL a null object, or the point is not submitted; -ETIME; -ENOMEM; -EDEADLK,
///          -EOWNERDEAD
/// Source: Linux drm_syncobj_transfer_ioctl(); differs: the caller's deadline
[[nodiscard]] UFENCE_API std::error_code transfer(const syncobj_point& from,
                                                  const syncobj_point& to,
                                                  std::int64_t submit_by_ns = 0) noexcept;

}  // namespace ufence

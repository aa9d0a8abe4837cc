// shared_timeline: a number that only rises, in a page that processes share, and whose points can
// be waited for: in each of them, before they are reached, by a futex or as a fence.
//
// The maker is the owner. Others import a descriptor of the page. Unless the timeline was made so
// that peers may signal it, nobody else can ever write to the page. With the owner it ends:
// dropped, with -ECANCELED; killed at any moment, with -EOWNERDEAD, for all who wait anywhere.
//
// Threads: one for each timeline of which this process is the owner, and for each imported one that
// it has a fence of. The owner's is what the kernel notices the end of: its robust list has one
// word of the page. Lock rank: syncobj, around the fences that are pending. Orders: SHARED.1 to .3
// the value; SHARED.4 the owner; SHARED.6/7 the thread; references: REF.1.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>
#include <vector>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/clock.h"
#include "ufence/base/fd.h"
#include "ufence/base/lock.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/ref.h"
#include "ufence/fence/reference_count.h"

namespace ufence::detail {
struct live_shared_timelines;
}  // namespace ufence::detail

namespace ufence {

class shared_timeline;
struct shared_page;
using shared_timeline_ref = ref<shared_timeline>;

struct shared_timeline_options {
  std::string_view name = {};  // up to 63 bytes of it are kept
  std::uint64_t initial_point = 0;
  /// Exports for writing are possible. A process that gets one is trusted with everything: it may also end the
  /// timeline, or hide the end of its owner.
  bool peers_may_signal = false;
};

/// The rights of the holder of an exported descriptor.
enum class shared_access : std::uint8_t {
  wait,
  // Of a timeline made so; a process of the same user can make it of one for `wait`, too.
  signal,
};

/// Points are below 2^63. Threads: any, concurrently. In a child of fork() nothing of a parent's
/// works: -EOWNERDEAD; the child may import a descriptor that it inherited.
class UFENCE_API shared_timeline {
 public:
  static constexpr std::uint64_t point_max = (std::uint64_t{1} << 63) - 1;

  shared_timeline(const shared_timeline&) = delete;
  shared_timeline& operator=(const shared_timeline&) = delete;

  /// Makes one; this process is its owner.
  /// @return  -EINVAL the initial point is too large; -EMFILE, -ENFILE, -ENOMEM; -EAGAIN no thread;
  ///          -EFBIG the process may make no file of a page (RLIMIT_FSIZE)
  [[nodiscard]] static result<shared_timeline_ref> create(
      const shared_timeline_options& options = {}) noexcept;
  /// A timeline that a process exported; in the owner itself as well. It may be signaled if the
  /// descriptor is for that. The descriptor stays the caller's.
  /// @return  -EBADF; -EINVAL not one of a timeline; -EPROTO of another version; -ENOMEM
  [[nodiscard]] static result<shared_timeline_ref> import(int fd) noexcept;
  /// @return  -EPERM it is not made for that, or this process may not signal it itself; -EMFILE;
  /// ...
  [[nodiscard]] result<unique_fd> export_fd(shared_access access) const noexcept;

  [[nodiscard]] std::string_view name() const noexcept { return name_; }
  [[nodiscard]] bool is_owner() const noexcept { return is_owner_; }
  [[nodiscard]] bool may_signal() const noexcept { return may_signal_; }

  /// The last point that is reached.
  [[nodiscard]] std::uint64_t value() const noexcept;
  /// 0; or why later points will not be reached: the errno of fail(), -ECANCELED, -EOWNERDEAD.
  [[nodiscard]] int error() const noexcept;

  /// All points up to this one are reached. One that was reached before changes nothing. Callbacks
  /// on fences of this process run here.
  /// @return  -EPERM may not; -EINVAL too large; -ECANCELED the timeline has ended
  /// Blocks: never. Allocates: never.
  std::error_code signal(std::uint64_t point) noexcept;
  /// Ends it: what is not reached ends with the error, a negative errno (else: -EINVAL). The first
  /// end counts.
  /// @return  -EPERM may not; -ECANCELED it has ended before
  std::error_code fail(int error) noexcept;

  /// Waits until the point is reached: a futex, in whatever process it is signaled. Gives the
  /// result, as fence::wait_result() of the point's fence does.
  /// @return  0 reached, also if the timeline has ended since; -ETIME not by then; -EINVAL too
  /// large; the error that the timeline ended with Order: after 0, what the signaller wrote before
  /// is visible.
  [[nodiscard]] std::error_code wait(std::uint64_t point,
                                     absolute_deadline deadline_ns = no_deadline) const noexcept;
  /// A fence that is signaled when the point is reached, with the timeline's error if it is not.
  /// Fences of one timeline are of one context, and have the point as seqno.
  /// @return  -EINVAL too large; -ENOMEM; -EAGAIN no thread
  [[nodiscard]] result<fence_ref> fence_at(std::uint64_t point) noexcept;

  void get() noexcept { references_.get(counted); }
  void put() noexcept {
    if (references_.put(counted)) dropped();
  }

 private:
  friend struct detail::live_shared_timelines;
  struct pending {
    std::uint64_t point;
    signaler right;
  };
  // The result of one look at the page.
  struct look {
    std::uint64_t point;  // the last that is reached
    int ended;            // 0, or the error of all others
    std::uint32_t sequence;
    std::uint32_t owner;
  };

  shared_timeline(shared_page& page, unique_fd fd, bool is_owner, bool may_signal,
                  bool peers_may_signal) noexcept;
  ~shared_timeline();

  [[nodiscard]] bool is_inherited() const noexcept;
  // Other processes may signal it; without them, what this one signals completes what is pending.
  [[nodiscard]] bool follows() const noexcept { return !is_owner_ || peers_may_signal_; }
  [[nodiscard]] look look_at_page() const noexcept;
  void changed() noexcept;  // the value: tells everybody
  void dropped() noexcept;
  // Signals the fences whose points are reached, or all at the end. False: none is left.
  [[nodiscard]] bool complete_pending() noexcept;
  // For one more pending fence. -ENOMEM
  [[nodiscard]] std::error_code make_room_locked() noexcept UFENCE_REQUIRES(lock_);

  // shared_timeline_thread.cc
  [[nodiscard]] std::error_code start_thread_locked() noexcept UFENCE_REQUIRES(lock_);
  void wait_until_thread_started() noexcept;
  void tell_thread(std::uint32_t what) noexcept;
  void follow() noexcept;
  void follow_as_owner() noexcept;

  [[gnu::visibility("hidden")]] static constexpr counted_object counted{.text =
                                                                            "a shared timeline"};
  reference_count references_;
  const std::uint32_t generation_;  // of fork(); constant, as all up to lock_
  shared_page* const page_;
  const unique_fd fd_;
  const bool is_owner_;
  const bool may_signal_;
  const bool peers_may_signal_;
  const std::uint64_t context_;
  shared_timeline* next_ = nullptr;      // in the list of those that live (shared_live.h): its lock
  shared_timeline* previous_ = nullptr;  // the same
  std::array<char, 64> name_bytes_{};
  std::string_view name_;

  mutable mutex lock_{lock_rank::syncobj};
  std::vector<pending> pending_ UFENCE_GUARDED_BY(lock_);  // a heap, the lowest point in front
  bool has_thread_ UFENCE_GUARDED_BY(lock_) = false;
  // Requests that the thread has to look at beside the page: slept on. Counts by kick; `drop`: the last
  // reference is gone, and the object is the thread's.
  static constexpr std::uint32_t drop = 1;
  static constexpr std::uint32_t kick = 2;
  atomic<std::uint32_t> kicks_{0};
  atomic<std::uint32_t> is_started_{0};
};

}  // namespace ufence

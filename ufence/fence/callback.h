// Callbacks: nodes owned by the caller, queued on a fence until it is signaled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/clock.h"
#include "ufence/base/lock.h"
#include "ufence/base/result.h"

namespace ufence {

class fence;
class callback_group;
namespace detail {
struct debug_access;
}  // namespace detail

/// The function that runs when a fence is signaled: once, in the settling thread, in the order of registration,
/// with no lock of ours held (F10). It may signal fences, drop references, add and remove callbacks
/// (F11), and free the node it was called with; it must not throw. Signals that it makes are settled
/// when the outermost settling goes on (F15).
using callback_function = void (*)(class callback&, fence&) noexcept;

/// A node for fence::add_callback(). The caller's memory: it stays in place until the function ran or
/// remove_callback() returned. A node may be used again after that.
class callback {
 public:
  constexpr callback() noexcept : callback(nullptr) {}
  constexpr explicit callback(callback_function function) noexcept
      : function_(function), group_next_(nullptr), group_previous_(nullptr) {}
  callback(const callback&) = delete;
  callback& operator=(const callback&) = delete;

  /// Sets what runs; only while the node is not queued.
  void set_function(callback_function function) noexcept { function_ = function; }

 private:
  friend class fence;
  friend class callback_group;
  friend struct detail::debug_access;

  // In no group: what only groups read is left as it was.
  callback(callback_function function, fence& of) noexcept : function_(function), fence_(&of) {}

  cell<callback*> next_;            // circular list of its fence, null: not queued; its LOCK
  cell<callback*> previous_;        // the same
  callback_function function_ = nullptr;  // set before it is queued
  fence* fence_ = nullptr;                // set by add_callback; for the group
  callback_group* group_ = nullptr;       // set by add_callback
  callback* group_next_;                  // guarded by the group's lock; null: not listed
  callback* group_previous_;              // the same; circular
};
static_assert(sizeof(callback) <= 64);

/// The callbacks that one module has registered on fences of others, so that an unload can remove them
/// all. The group must outlive its registrations: close() before it is destroyed.
/// Lock rank: callback_group, under the fence's LOCK.
class UFENCE_API callback_group {
 public:
  callback_group() noexcept;
  ~callback_group();
  callback_group(const callback_group&) = delete;
  callback_group& operator=(const callback_group&) = delete;

  /// Refuses registrations from now on, removes those that did not run yet and waits for those that
  /// run now. On return no callback of the group runs or ever will.
  /// @param removed  if not null, gets how many were removed before they ran
  /// @return  0; -EDEADLK called from inside one of its callbacks; -ETIME one still runs at the
  ///          deadline (registrations are refused and removed all the same: call again)
  /// Blocks: for running callbacks, up to the deadline.
  [[nodiscard]] std::error_code close(std::size_t* removed = nullptr,
                                      absolute_deadline deadline_ns = no_deadline) noexcept;

  /// fence::remove_callback() for callers that can't know whether the fence is still there: once the callback ran
  /// it may be gone.
  [[nodiscard]] result<bool> remove(callback& node) noexcept;

  [[nodiscard]] std::size_t size() const noexcept;

 private:
  friend class fence;
  // A callback of the group that was popped and has not returned; on the stack of the settling thread.
  struct running_callback {
    const callback* node = nullptr;
    fence* of = nullptr;
    running_callback* next = nullptr;
  };
  // All but end(): the LOCK of the node's fence is held.
  bool link(callback& node) noexcept;  // false once closed
  void unlink(callback& node) noexcept;
  void unlink_locked(callback& node) noexcept UFENCE_REQUIRES(lock_);
  void begin(callback& node, running_callback& record) noexcept;  // popped: unlinks it
  void end(running_callback& record) noexcept;                    // it returned, and may be gone

  mutable mutex lock_{lock_rank::callback_group};
  callback* head_ UFENCE_GUARDED_BY(lock_) = nullptr;
  std::size_t size_ UFENCE_GUARDED_BY(lock_) = 0;
  bool closed_ UFENCE_GUARDED_BY(lock_) = false;
  running_callback* running_list_ UFENCE_GUARDED_BY(lock_) = nullptr;
  // Callbacks of the group that were popped and have not returned; the top bit: close() sleeps on it.
  atomic<std::uint32_t> running_{0};
};

}  // namespace ufence

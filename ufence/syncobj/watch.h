// A point of a syncobj that is watched, without a thread that waits. Inside the library only.
#pragma once

#include <cstdint>
#include <system_error>

#include "ufence/fence/callback.h"
#include "ufence/syncobj/point_waiter.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence {

/// Calls its function once, when the point is signaled, or submitted. The memory is the holder's:
/// it stays until the function ran, which may free it, or stop() returned.
class syncobj_watch {
 public:
  /// Runs as a callback does (F10). `is_there`: false, the syncobj ended before the
  /// submission, or what was submitted will never be signaled (-EOWNERDEAD).
  using function = void (*)(syncobj_watch&, bool is_there) noexcept;

  explicit syncobj_watch(function f) noexcept : function_(f) {}
  syncobj_watch(const syncobj_watch&) = delete;
  syncobj_watch& operator=(const syncobj_watch&) = delete;

  /// Once. The function may run before it returns.
  /// @return  -EOWNERDEAD, as syncobj::current(), or the point's fence is inherited; -ENOMEM: the
  /// function never runs
  [[nodiscard]] std::error_code start(syncobj& object, std::uint64_t point,
                                      bool when_available) noexcept;
  /// The same of a point whose fence the caller has found there; never -ENOMEM.
  [[nodiscard]] std::error_code start(fence_ref found, bool when_available) noexcept;
  /// On return the function is not running and never will; nothing of it is left at the syncobj or
  /// the fence. `object` is that of start(), which the caller keeps; nothing if that failed.
  /// Blocks: while the function runs. Context: not in a callback.
  void stop(syncobj& object) noexcept;

 private:
  struct node : callback {
    node(callback_function f, syncobj_watch& self) noexcept : callback(f), watch(self) {}
    syncobj_watch& watch;
  };

  [[nodiscard]] std::error_code proceed(fence_ref f) noexcept;
  static void on_submitted(callback& n, fence& f) noexcept;
  static void on_signaled(callback& n, fence& f) noexcept;

  const function function_;
  bool when_available_ = false;
  point_waiter waited_;  // prepared once the point was not there
  fence_ref found_;      // what `signaled_` was added to
  node submitted_{&syncobj_watch::on_submitted, *this};
  node signaled_{&syncobj_watch::on_signaled, *this};
};

}  // namespace ufence

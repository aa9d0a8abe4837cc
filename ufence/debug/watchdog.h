// Tells when something is waited for too long: by itself, with the whole chain to what it hangs on.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "ufence/base/api.h"
#include "ufence/base/result.h"
#include "ufence/debug/snapshot.h"

namespace ufence {

/// A late wait that the watchdog has found. Valid during the call only.
struct stuck {
  const debug::snapshot& seen;  // with its causes
  std::uint32_t waiter;         // the node that has waited too long: a thread, or a fence
  std::string_view text;        // that, what it hangs on, and the others that wait for it: several lines
};

struct watchdog_options {
  /// A thread that sleeps for a fence, or a fence that is waited for and pending, is told of when it is
  /// older. A fence that no thread sleeps for is as old as the watchdog knows it.
  std::int64_t limit_ns = 10'000'000'000;
  /// Called on the watchdog's thread, with no lock of ours held; it may signal what hangs. Null: a report
  /// (report_kind::stuck).
  void (*told)(const stuck& what, void* context) noexcept = nullptr;
  void* context = nullptr;
  /// Asks the driver modules that have the job at a root of a late wait to cancel it, after it was told: those with
  /// UFENCE_F_CANCEL; a job that no driver has seen yet is ended. It is a request: the driver ends the job, with
  /// an error, once its device is done with the memory (D-12). Once for each job. Not for jobs of drivers with
  /// UFENCE_F_TIMELINE or UFENCE_F_LEGACY, of which a job alone can not be told by its fence.
  bool cancels_roots = false;
};

/// Looks about four times within the limit, and at most once for each 20 ms; tells of each wait once, and of
/// what is on the way to its roots not again. One thread, `ufence-watchdog`, while it lives. Move-only.
/// UFENCE_WATCHDOG=SECONDS in a program's environment starts one with reports when the library is loaded.
class UFENCE_API watchdog {
 public:
  /// @return  -EINVAL the limit is not above 0; -EAGAIN there is no thread to be had; -EMFILE, -ENFILE,
  ///          -ENOMEM
  [[nodiscard]] static result<watchdog> start(const watchdog_options& options) noexcept;
  watchdog(watchdog&& other) noexcept;
  watchdog& operator=(watchdog&& other) noexcept;
  /// On return `told` is not running and never will be. In a child of fork() there is no thread, and
  /// nothing to end. Context: not inside `told`.
  ~watchdog();

 private:
  class loop;
  explicit watchdog(std::unique_ptr<loop> running) noexcept;
  void stop() noexcept;
  std::unique_ptr<loop> loop_;
};

}  // namespace ufence

// Hot reload: a module whose device is always that of the newest build of its file.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "ufence/base/api.h"
#include "ufence/base/result.h"
#include "ufence/issuer/host.h"

namespace ufence {

/// An event in the life of a watched module.
struct watch_event {
  enum class kind : std::uint8_t {
    loaded,    // a new build is in use from now on
    refused,   // a new build could not be loaded: the one before stays in use; see why
    unloaded,  // the build before is unmapped; see report
    stays,     // the build before could not be unmapped; see why, report
  };
  kind what = kind::loaded;
  device_ref device;      // in use now
  std::string why;
  unload_report report;
};

struct watch_options {
  /// Of each build. A private copy is not changed by a compiler that writes to the file.
  load_options load{.private_copy = true};
  /// The fate of jobs that the build before has when a new one is there.
  unload_policy policy = unload_policy::drain;
  std::int64_t drain_ns = 10'000'000'000;
  std::int64_t give_up_ns = 10'000'000'000;
  /// So long nothing must have happened to the file before it is loaded.
  std::int64_t settle_ns = 50'000'000;
  /// Called by the watching thread, one event after the other; must not throw, nor destroy the watch.
  std::function<void(const watch_event&)> on_event = {};
};

/// A module that is loaded again whenever its file is replaced, or changed in place. The new build is
/// loaded beside the old one; then jobs go to it, and the old one is unloaded. A build that is refused
/// changes nothing. The host must outlive it. Threads: any, concurrently.
class UFENCE_API module_watch {
 public:
  /// Stops watching. The device that is in use stays loaded.
  /// Blocks: while a build is loaded or unloaded.
  ~module_watch();
  module_watch(const module_watch&) = delete;
  module_watch& operator=(const module_watch&) = delete;

  /// The device of the newest build that could be loaded. It may be unloaded at any time: submit() of it
  /// says -ENODEV then.
  [[nodiscard]] device_ref device() const;
  /// Gives a job to the newest build, as device::submit(): that a build goes meanwhile is not an error.
  [[nodiscard]] result<fence_ref> submit(const job_request& request);
  /// How many builds came into use, with the first one.
  [[nodiscard]] std::uint64_t builds() const noexcept;

  struct impl;
  explicit module_watch(std::unique_ptr<impl> state) noexcept;

 private:
  std::unique_ptr<impl> impl_;
};

/// "loaded" and so on.
[[nodiscard]] UFENCE_API std::string_view to_string(watch_event::kind what) noexcept;

}  // namespace ufence

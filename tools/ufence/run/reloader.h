// Unloads and reloads the modules under a running job.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "tools/ufence/run/driver_modules.h"
#include "tools/ufence/run/instance.h"
#include "tools/ufence/run/mailbox.h"
#include "ufence/module/file_watch.h"

namespace ufence::tool {

/// A thread that replaces each module, one after the other, at an interval, and tells the mailbox. Or one
/// that replaces a module when its file changes: by a build that is loaded beside it.
class reloader {
 public:
  /// @param interval  none: when files change
  /// @param running  the instances in use; they stay until they were replaced
  reloader(driver_modules& modules, mailbox& box,
           std::optional<std::chrono::milliseconds> interval, unload_policy policy,
           std::vector<instance*> running);
  /// stop()
  ~reloader();
  reloader(const reloader&) = delete;
  reloader& operator=(const reloader&) = delete;

  /// Lets it finish the module that it is at, and joins it. What it posted may still be in the
  /// mailbox.
  void stop();

 private:
  void run();
  void run_watching();
  bool replace_beside(instance*& running);
  bool replace(instance*& running);
  bool wait_for_turn();
  [[nodiscard]] bool has_progressed() const;

  driver_modules& modules_;
  mailbox& box_;
  const std::optional<std::chrono::milliseconds> interval_;
  const unload_policy policy_;
  std::vector<instance*> running_;  // the thread's
  std::unique_ptr<file_watch> files_;  // of running_, by its indices; null: not watching
  std::mutex mutex_;                // guards is_stopping_
  std::condition_variable stopping_;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace ufence::tool

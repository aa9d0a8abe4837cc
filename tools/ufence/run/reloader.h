// Unloads and reloads the modules under a running job.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "tools/ufence/run/driver_modules.h"
#include "tools/ufence/run/instance.h"
#include "tools/ufence/run/mailbox.h"

namespace ufence::tool {

/// A thread that replaces each module, one after the other, at an interval, and tells the mailbox.
class reloader {
 public:
  /// @param running  the instances in use; they stay until they were replaced
  reloader(driver_modules& modules, mailbox& box, std::chrono::milliseconds interval,
           unload_policy policy, std::vector<instance*> running);
  /// stop()
  ~reloader();
  reloader(const reloader&) = delete;
  reloader& operator=(const reloader&) = delete;

  /// Lets it finish the module that it is at, and joins it. What it posted may still be in the
  /// mailbox.
  void stop();

 private:
  void run();
  bool replace(instance*& running);
  bool wait_for_turn();
  [[nodiscard]] bool has_progressed() const;

  driver_modules& modules_;
  mailbox& box_;
  const std::chrono::milliseconds interval_;
  const unload_policy policy_;
  std::vector<instance*> running_;  // the thread's
  std::mutex mutex_;                // guards is_stopping_
  std::condition_variable stopping_;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace ufence::tool

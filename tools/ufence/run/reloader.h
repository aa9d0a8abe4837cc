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

/// When modules are replaced without being asked.
struct reload_plan {
  std::optional<std::chrono::milliseconds> every;
  bool watches = false;  // when their files change
};

/// Replaces modules, and tells the mailbox: on a thread of its own, one after the other at an
/// interval, or each when its file changes, by a build that is loaded beside it; and on other
/// threads when it is asked.
class reloader {
 public:
  /// @param running  the instances in use; they stay until they were replaced
  reloader(driver_modules& modules, mailbox& box, reload_plan plan, unload_policy policy,
           std::vector<instance*> running);
  /// stop()
  ~reloader();
  reloader(const reloader&) = delete;
  reloader& operator=(const reloader&) = delete;

  /// Lets it finish the module that it is at, and joins it. What it posted may still be in the
  /// mailbox.
  void stop();

  /// Replaces a module now, whatever it has to do. Threads: any.
  /// @return  the instance that came after `late`; null: there is none
  [[nodiscard]] device_ref replace_now(driver d, const device& late);

 private:
  void run();
  void run_watching();
  bool replace_beside(instance*& running);
  bool replace(instance*& running, unload_policy policy);
  bool wait_for_turn();
  [[nodiscard]] bool has_progressed() const;

  driver_modules& modules_;
  mailbox& box_;
  const reload_plan plan_;
  const unload_policy policy_;
  mutable std::mutex replacing_;  // guards running_; held while a module is replaced
  std::vector<instance*> running_;
  std::unique_ptr<file_watch> files_;  // of running_, by its indices; null: not watching
  std::mutex mutex_;                   // guards is_stopping_
  std::condition_variable stopping_;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace ufence::tool

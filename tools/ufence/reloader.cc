#include "tools/ufence/reloader.h"

#include <utility>

namespace ufence::tool {
reloader::reloader(driver_modules& modules, mailbox& box, std::chrono::milliseconds interval,
                   unload_policy policy, std::array<instance*, all_drivers.size()> running)
    : modules_(modules),
      box_(box),
      interval_(interval),
      policy_(policy),
      running_(running),
      thread_(&reloader::run, this) {}

reloader::~reloader() { stop(); }

void reloader::stop() {
  {
    const std::scoped_lock lock(mutex_);
    is_stopping_ = true;
  }
  stopping_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void reloader::run() {
  while (wait_for_turn()) {
    for (const driver d : all_drivers) {
      if (!replace(d)) return;
    }
  }
}

// False: it is time to stop.
bool reloader::wait_for_turn() {
  std::unique_lock lock(mutex_);
  return !stopping_.wait_for(lock, interval_, [this] { return is_stopping_; });
}

bool reloader::replace(driver d) {
  instance*& running = running_[index_of(d)];
  if (!modules_.unload_for_reload(*running, policy_)) {
    box_.post({.which = d, .loaded = nullptr, .problem = "could not be unloaded for a reload"});
    return false;
  }
  auto loaded = modules_.load(d);
  if (!loaded) {
    box_.post({.which = d, .loaded = nullptr, .problem = std::move(loaded.error())});
    return false;
  }
  running = loaded->get();
  box_.post({.which = d, .loaded = *std::move(loaded), .problem = {}});
  return true;
}

}  // namespace ufence::tool

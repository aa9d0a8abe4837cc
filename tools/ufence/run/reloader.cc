#include "tools/ufence/run/reloader.h"

#include <cerrno>
#include <cstdint>
#include <string>
#include <utility>

#include "ufence/base/clock.h"

namespace ufence::tool {
namespace {

constexpr std::int64_t postponed_max_ns = 100'000'000;
constexpr std::chrono::milliseconds progress_interval{1};

}  // namespace

reloader::reloader(driver_modules& modules, mailbox& box, reload_plan plan, unload_policy policy,
                   std::vector<instance*> running)
    : modules_(modules), box_(box), plan_(plan), policy_(policy), running_(std::move(running)) {
  if (!plan_.every && !plan_.watches) return;
  if (plan_.watches) {
    std::vector<std::string> paths;
    for (const instance* i : running_) paths.emplace_back(i->device->path());
    auto files = file_watch::create(std::move(paths));
    if (!files) {
      const std::string why = "its file can't be watched: " + files.error().message();
      box_.post({.which = running_.front()->which, .loaded = nullptr, .problem = why});
      return;
    }
    files_ = std::move(*files);
  }
  thread_ = std::thread(files_ ? &reloader::run_watching : &reloader::run, this);
}

reloader::~reloader() { stop(); }

void reloader::stop() {
  {
    const std::scoped_lock lock(mutex_);
    is_stopping_ = true;
  }
  stopping_.notify_all();
  if (files_) files_->stop();
  if (thread_.joinable()) thread_.join();
}

void reloader::run() {
  while (wait_for_turn()) {
    for (instance*& running : running_) {
      const std::scoped_lock lock(replacing_);
      if (!replace(running, policy_)) return;
    }
  }
}

// The next turn comes after the interval, and not before something was completed since the last
// one: else a job could be cut off again and again, and a run on a slow machine never end. False:
// it is time to stop.
bool reloader::wait_for_turn() {
  const auto stops = [this] { return is_stopping_; };
  std::unique_lock lock(mutex_);
  if (stopping_.wait_for(lock, *plan_.every, stops)) return false;
  const std::int64_t turn_at_latest = deadline_after(postponed_max_ns);
  while (!has_progressed() && now_ns() < turn_at_latest) {
    if (stopping_.wait_for(lock, progress_interval, stops)) return false;
  }
  return true;
}

bool reloader::has_progressed() const {
  const std::scoped_lock lock(replacing_);
  std::uint64_t completed = 0;
  for (const instance* i : running_) {
    const device_stats stats = i->device->stats();
    completed += stats.jobs_submitted - stats.jobs_pending - i->jobs_of_load;
  }
  return completed > 0;
}

void reloader::run_watching() {
  for (;;) {
    const result<std::size_t> changed = files_->wait(no_deadline);
    if (!changed && changed.error() == errno_code(ECANCELED)) return;
    const std::scoped_lock lock(replacing_);
    if (changed && !replace_beside(running_[*changed])) return;
  }
}

// The new build first: if it is refused, nothing has changed.
bool reloader::replace_beside(instance*& running) {
  const driver d = running->which;
  auto loaded = modules_.load(d);
  if (!loaded) {
    box_.post({.which = d,
               .loaded = nullptr,
               .problem = {},
               .note = "ufence: " + std::move(loaded.error()) + "; the build before goes on"});
    return true;
  }
  if (!modules_.unload_for_reload(*running, policy_)) {
    modules_.unload_for_good(**loaded, unload_policy::cancel);
    box_.post({.which = d, .loaded = nullptr, .problem = "could not be unloaded for a reload"});
    return false;
  }
  running = loaded->get();
  box_.post({.which = d,
             .loaded = *std::move(loaded),
             .problem = {},
             .note = std::string("ufence: ") + name_of(d) + ": a new build is in use"});
  return true;
}

device_ref reloader::replace_now(driver d, const device& late) {
  const std::scoped_lock lock(replacing_);
  for (instance*& running : running_) {
    if (running->which != d) continue;
    const bool is_late = running->device.get() == &late;
    return !is_late || replace(running, unload_policy::cancel) ? running->device : nullptr;
  }
  return nullptr;
}

bool reloader::replace(instance*& running, unload_policy policy) {
  const driver d = running->which;
  if (!modules_.unload_for_reload(*running, policy)) {
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

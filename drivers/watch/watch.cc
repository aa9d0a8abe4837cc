// The driver `watch`: see watch.h for its jobs.
#include "drivers/watch/watch.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <list>
#include <mutex>
#include <vector>

#include "ufence/driver.hpp"

namespace ufence::watch {
namespace {

using driver::job;

class watcher;

// A fence that was shown, and the two callbacks on it. It is lent as long as one of them is
// registered. The first takes the watcher's lock: while that is held and `is_pending`, the first
// has not returned, and the fence may be used. The second takes no lock: it may be removed, which
// waits for it, with the lock held.
struct watch {
  watch(watcher& w, ufence_fence& f) noexcept : owner(w), fence(f) {}

  void on_first(ufence_callback& node, ufence_fence& f) noexcept;
  void on_second(ufence_callback& node, ufence_fence& f) noexcept;

  watcher& owner;
  ufence_fence& fence;
  driver::callback<watch, &watch::on_first> first{*this};
  driver::callback<watch, &watch::on_second> second{*this};
  bool is_pending = true;  // guarded by the watcher's lock
  // Callbacks that may still run, and threads that remove them. At 0 the watch may be freed.
  std::atomic<int> users{1};

  void leave() noexcept {
    // [WATCH.1] release: the last use comes before the watch is freed; pairs with [WATCH.2]
    users.fetch_sub(1, std::memory_order_release);
  }
  bool is_unused() const noexcept {
    // [WATCH.2] acquire: see [WATCH.1]
    return users.load(std::memory_order_acquire) == 0;
  }
};

class watcher {
 public:
  explicit watcher(driver::services host) noexcept : host_(host) {}

  int submit(job& j);
  int observe(ufence_fence& fence);
  void stop() {}

 private:
  friend struct watch;

  void remove_all();
  void renew_all();
  int query(job& j);
  void sweep_locked() noexcept {
    watches_.remove_if([](const watch& w) { return w.is_unused(); });
  }

  const driver::services host_;
  std::mutex mutex_;          // guards what follows
  std::list<watch> watches_;  // an element never moves: the nodes are in it
  ufence_watch_counters counters_{};
  std::atomic<std::uint64_t> fired_second_{0};
};

void watch::on_first(ufence_callback&, ufence_fence& f) noexcept {
  {
    const std::scoped_lock lock(owner.mutex_);
    is_pending = false;
    ++owner.counters_.fired;
    if (owner.host_.fence_status(f) < 0) ++owner.counters_.errors;
  }
  leave();
}

void watch::on_second(ufence_callback&, ufence_fence&) noexcept {
  // relaxed: a counter
  owner.fired_second_.fetch_add(1, std::memory_order_relaxed);
  leave();
}

int watcher::submit(job& j) {
  switch (j.opcode) {
    case UFENCE_WATCH_QUERY:
      if (const int error = query(j); error != 0) return error;
      break;
    case UFENCE_WATCH_REMOVE: remove_all(); break;
    case UFENCE_WATCH_RENEW: renew_all(); break;
    default: return -EINVAL;
  }
  host_.signal(j, 0);
  return 0;
}

int watcher::observe(ufence_fence& fence) {
  const std::scoped_lock lock(mutex_);
  sweep_locked();
  watch& w = watches_.emplace_back(*this, fence);
  const int error = host_.add_callback(fence, w.first);
  if (error != 0) {
    watches_.pop_back();
    if (error != -ENOENT) return error;
    ++counters_.was_signaled;
    ++counters_.observed;
    return 0;
  }
  ++counters_.observed;
  // relaxed: the lock is held, nobody frees it
  w.users.fetch_add(1, std::memory_order_relaxed);
  // It may be signaled by now, or the module is being unloaded: then there is no second one.
  if (host_.add_callback(fence, w.second) != 0) w.leave();
  return 0;
}

// Not with the lock held: it waits for callbacks that take it.
void watcher::remove_all() {
  std::vector<watch*> found;
  {
    const std::scoped_lock lock(mutex_);
    sweep_locked();
    found.reserve(watches_.size());
    for (watch& w : watches_) {
      if (!w.is_pending) continue;
      // relaxed: the lock is held, nobody frees it
      w.users.fetch_add(1, std::memory_order_relaxed);
      found.push_back(&w);
      w.is_pending = false;  // from here on the fence may cease to be lent
    }
  }
  std::uint64_t removed = 0;
  for (watch* const w : found) {
    if (host_.remove_callback(w->fence, w->second) == 1) w->leave();
    if (host_.remove_callback(w->fence, w->first) == 1) {
      w->leave();
      ++removed;
    }
  }
  const std::scoped_lock lock(mutex_);
  for (watch* const w : found) w->leave();
  counters_.removed += removed;
}

void watcher::renew_all() {
  const std::scoped_lock lock(mutex_);
  for (watch& w : watches_) {
    if (!w.is_pending || host_.remove_callback(w.fence, w.second) != 1) continue;
    if (host_.add_callback(w.fence, w.second) == 0) {
      ++counters_.renewed;
    } else {
      w.leave();
    }
  }
}

int watcher::query(job& j) {
  const auto* const args = driver::args_of<ufence_watch_query>(j);
  if (args == nullptr || args->counters == nullptr) return -EINVAL;
  const std::scoped_lock lock(mutex_);
  *args->counters = counters_;
  // relaxed: a counter
  args->counters->fired_second = fired_second_.load(std::memory_order_relaxed);
  for (const watch& w : watches_) args->counters->watched += w.is_pending ? 1 : 0;
  return 0;
}

}  // namespace
}  // namespace ufence::watch

UFENCE_CPP_DRIVER(ufence::watch::watcher, "watch", "control", "watches fences of others");

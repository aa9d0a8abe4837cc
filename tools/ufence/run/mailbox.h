// The events that the run's main thread waits for: ended fences, news of reloads, an interrupt.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tools/ufence/run/instance.h"
#include "ufence/base/fd.h"
#include "ufence/fence/callback.h"

namespace ufence::tool {

class mailbox;

/// A callback that reports its fence's end to the mailbox. Nothing is allocated for it.
class watch : public callback {
 public:
  watch() noexcept : callback(&watch::deliver) {}

  mailbox* box = nullptr;  // set before it is queued
  void* owner = nullptr;   // whose event it is
  bool is_queued = false;  // main thread: from add_callback() until the event was taken

 private:
  friend class mailbox;
  static void deliver(callback& node, fence& f) noexcept;

  watch* next_ = nullptr;  // guarded by the mailbox, then the main thread's
};

/// A reload went on.
struct news {
  driver which;
  std::unique_ptr<instance> loaded;  // null: it failed
  std::string problem;               // empty: the instance before goes on all the same
  std::string note = {};             // for people
};

/// Many threads put in, the main thread takes out. It is woken for many events at a time.
class mailbox {
 public:
  mailbox();

  /// An eventfd; writing to it wakes the main thread. For signal handlers.
  [[nodiscard]] int wake_fd() const { return wake_fd_.get(); }

  void post(news what);

  // --- The main thread ---

  /// Calls on_event(watch&) for each event that came, in order, then on_news(news&&); returns
  /// whether there was anything.
  template <class OnEvent, class OnNews>
  bool take(OnEvent on_event, OnNews on_news);

  /// Sleeps until events_min events are there, or news, or an interrupt, or the deadline.
  /// @param deadline_ns  absolute, CLOCK_MONOTONIC; no_deadline never ends
  /// @param other_fd     the same when it is readable; -1: none
  void wait(std::size_t events_min, std::int64_t deadline_ns, int other_fd = -1);

 private:
  friend class watch;
  void push(watch& event) noexcept;
  void wake() const noexcept;
  struct contents {
    watch* events = nullptr;
    std::vector<news> reloads;
  };
  contents take_all();

  std::mutex mutex_;  // guards what follows
  watch* first_ = nullptr;
  watch* last_ = nullptr;
  std::size_t count_ = 0;
  std::size_t wake_at_ = 0;  // 0: the main thread is awake
  std::vector<news> reloads_;
  unique_fd wake_fd_;  // constant after construction
};

template <class OnEvent, class OnNews>
bool mailbox::take(OnEvent on_event, OnNews on_news) {
  contents taken = take_all();
  const bool has_any = taken.events != nullptr || !taken.reloads.empty();
  for (watch* event = taken.events; event != nullptr;) {
    watch& now = *event;
    event = now.next_;  // the node may be gone after the call
    now.is_queued = false;
    on_event(now);
  }
  for (news& what : taken.reloads) on_news(std::move(what));
  return has_any;
}

}  // namespace ufence::tool

// What hung up: other processes, or this one, have closed their ends of it.
#include <sys/epoll.h>

#include <array>

#include "ufence/base/clock.h"
#include "ufence/base/futex.h"
#include "ufence/sync/reactor_table.h"

namespace ufence::detail {

using namespace reactor;

namespace {

// Bunches that somebody is about to close, and how many things were closed so.
constinit std::size_t bunches_claimed UFENCE_GUARDED_BY(table_lock) = 0;
constinit std::uint64_t closed_count UFENCE_GUARDED_BY(table_lock) = 0;
constinit atomic<std::uint32_t> bunches_done{0};  // written under the lock; slept on

// Things that hung up, handled together: a few short locks for all of them. While one is claimed it
// stays in the table, and so does the thread.
class hung_up_bunch {
 public:
  static constexpr std::size_t size_max = 64;

  [[nodiscard]] bool is_empty() const noexcept { return size_ == 0; }
  void claim(watched& w) noexcept UFENCE_REQUIRES(table_lock) {
    if (w.is_claimed || size_ == size_max) return;
    w.is_claimed = true;
    if (size_ == 0) ++bunches_claimed;
    claimed_[size_++] = &w;
  }
  void handle() noexcept;

 private:
  void take_out() noexcept;

  std::array<watched*, size_max> claimed_;
  std::size_t size_ = 0;
};

void hung_up_bunch::handle() noexcept {
  if (size_ == 0) return;
  take_out();
  for (std::size_t i = 0; i < size_; ++i) claimed_[i]->kind->close(*claimed_[i]);
  {
    scoped_lock guard(table_lock);
    --bunches_claimed;
    closed_count += size_;
    // relaxed: under the lock
    bunches_done.fetch_add(1, mo::relaxed);
  }
  futex_wake_all(bunches_done);
  for (std::size_t i = 0; i < size_; ++i) claimed_[i]->kind->end(*claimed_[i]);
}

// Takes out of the table what is gone, and keeps no other.
void hung_up_bunch::take_out() noexcept {
  std::array<bool, size_max> is_gone;
  for (std::size_t i = 0; i < size_; ++i) is_gone[i] = claimed_[i]->kind->is_gone(*claimed_[i]);
  std::size_t kept = 0;
  scoped_lock guard(table_lock);
  for (std::size_t i = 0; i < size_; ++i) {
    watched& w = *claimed_[i];
    if (is_gone[i]) {
      remove_locked(w);
      claimed_[kept++] = &w;
    } else {
      w.is_claimed = false;
      doubt_locked(w);
    }
  }
  size_ = kept;
}

}  // namespace

void reactor::reap_doubtful() noexcept {
  std::size_t bucket = 0;
  while (bucket < bucket_count) {
    hung_up_bunch bunch;
    {
      scoped_lock guard(table_lock);
      if (doubtful_count == 0) return;
      for (; bucket < bucket_count && bunch.is_empty(); ++bucket) {
        for (watched* w = buckets[bucket]; w != nullptr; w = w->next) {
          if (w->is_doubtful && w->kind->waits_for == watched_kind::event::hung_up) bunch.claim(*w);
        }
      }
    }
    bunch.handle();
  }
}

void reactor::forget_bunches() noexcept { bunches_claimed = 0; }

void reap_hung_up() noexcept {
  std::array<epoll_event, hung_up_bunch::size_max> events;
  for (bool may_be_more = true; may_be_more;) {
    hung_up_bunch bunch;
    int n = 0;
    {
      scoped_lock guard(table_lock);  // the thread may end, and its descriptors with it
      n = fds.hung_up < 0 ? 0 : ::epoll_wait(fds.hung_up, events.data(), events.size(), 0);
      for (int i = 0; i < n; ++i) {
        watched* const w = find_any(events[static_cast<std::size_t>(i)].data.u64);
        if (w != nullptr) bunch.claim(*w);
      }
    }
    // What others have claimed is theirs.
    may_be_more = n == static_cast<int>(events.size()) && !bunch.is_empty();
    bunch.handle();
  }
}

std::uint64_t hung_up_closed() noexcept {
  scoped_lock guard(table_lock);
  return closed_count;
}

namespace {

// Waits for those who are closing. Was something closed since then?
bool were_closed(std::uint64_t closed_before) noexcept {
  for (;;) {
    std::uint32_t done = 0;
    {
      scoped_lock guard(table_lock);
      if (closed_count != closed_before) return true;
      if (bunches_claimed == 0) return false;
      // relaxed: under the lock
      done = bunches_done.load(mo::relaxed);
    }
    futex_wait(bunches_done, done, no_deadline);
  }
}

}  // namespace

bool make_room(std::uint64_t closed_before) noexcept {
  // Twice: others may have looked at something, and put it back, before it was gone.
  for (int looks = 0; looks < 2; ++looks) {
    reap_hung_up();
    reap_doubtful();
    if (were_closed(closed_before)) return true;
  }
  return false;
}

}  // namespace ufence::detail

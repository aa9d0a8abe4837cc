// Watched things whose other end was closed, by other processes or this one; and the messages that they sent
// before. Also what only pretends to be closed.
#include <poll.h>
#include <sys/epoll.h>

#include <array>

#include "ufence/base/clock.h"
#include "ufence/base/futex.h"
#include "ufence/base/futex_until.h"
#include "ufence/io/epoll.h"
#include "ufence/io/reactor.h"
#include "ufence/io/side_work.h"

namespace ufence::detail {

// Things that were claimed, handled together: a few short locks for all of them. While one is
// claimed it stays in the table, and so does the thread.
class reactor::claim_batch {
 public:
  static constexpr std::size_t size_max = 64;

  [[nodiscard]] bool is_empty() const noexcept { return size_ == 0; }
  [[nodiscard]] bool is_full() const noexcept { return size_ == size_max; }
  void push(watched& w) noexcept { claimed_[size_++] = &w; }
  void handle() noexcept UFENCE_EXCLUDES(the_reactor.lock);

 private:
  void take_out() noexcept UFENCE_EXCLUDES(the_reactor.lock);

  std::array<watched*, size_max> claimed_;
  std::size_t size_ = 0;
};

void reactor::claim_batch::handle() noexcept {
  if (size_ == 0) return;
  take_out();
  for (std::size_t i = 0; i < size_; ++i) claimed_[i]->kind->close(*claimed_[i]);
  {
    const scoped_lock guard(the_reactor.lock);
    --the_reactor.batches_claimed_;
    the_reactor.closed_count_ += size_;
    // relaxed: under the lock
    the_reactor.batches_done_.fetch_add(1, mo::relaxed);
  }
  futex_wake_all(the_reactor.batches_done_);
  for (std::size_t i = 0; i < size_; ++i) claimed_[i]->kind->free(*claimed_[i]);
}

// Takes out of the table what is gone, and keeps no other.
void reactor::claim_batch::take_out() noexcept {
  std::array<bool, size_max> is_gone;
  for (std::size_t i = 0; i < size_; ++i) is_gone[i] = claimed_[i]->kind->is_gone(*claimed_[i]);
  std::size_t kept = 0;
  const scoped_lock guard(the_reactor.lock);
  for (std::size_t i = 0; i < size_; ++i) {
    watched& w = *claimed_[i];
    if (is_gone[i]) {
      the_reactor.remove(w);
      claimed_[kept++] = &w;
    } else {
      the_reactor.doubt(w);
    }
  }
  size_ = kept;
}

// --- What epoll tells ---

void reactor::claim(claim_batch& batch, watched& w) noexcept {
  set_state(w, watched_state::claimed);
  if (batch.is_empty()) ++batches_claimed_;
  batch.push(w);
}

void reactor::reap_closed() noexcept {
  std::array<epoll_event, claim_batch::size_max> events;
  for (bool may_be_more = true; may_be_more;) {
    claim_batch batch;
    std::array<std::uint64_t, claim_batch::size_max> with_messages;
    std::size_t messages = 0;
    int n = 0;
    {
      const scoped_lock guard(lock);  // the thread may end, and its descriptors with it
      n = fds_.closed < 0 ? 0 : ::epoll_wait(fds_.closed, events.data(), events.size(), 0);
      for (int i = 0; i < n; ++i) {
        const epoll_event& e = events[static_cast<std::size_t>(i)];
        watched* const w = find_any(e.data.u64);
        // A thing that another thread has claimed is that thread's.
        if (w == nullptr || w->state != watched_state::watched) continue;
        if ((e.events & (EPOLLHUP | EPOLLERR)) != 0) {
          claim(batch, *w);
        } else if (w->kind->on_message != nullptr) {
          set_state(*w, watched_state::claimed);
          with_messages[messages++] = w->key;
        }
      }
    }
    may_be_more = n == static_cast<int>(events.size()) && (!batch.is_empty() || messages != 0);
    batch.handle();
    for (std::size_t i = 0; i < messages; ++i) {
      const side_work work{
          .run = [](std::uint64_t key) noexcept { the_reactor.serve_messages(key); },
          .argument = with_messages[i]};
      if (run_aside(work)) continue;
      // No thread has time for it: it is told again.
      const scoped_lock guard(lock);
      if (watched* const w = find_any(with_messages[i])) give_back(*w, true);
    }
  }
}

void reactor::serve_messages(std::uint64_t key) noexcept {
  watched* w = nullptr;
  {
    const scoped_lock guard(lock);
    w = find_any(key);
  }
  // In a child of fork() it is not there: it was the parent's.
  if (w == nullptr) return;
  const bool may_be_more = w->kind->on_message(*w);
  const scoped_lock guard(lock);
  give_back(*w, may_be_more);
}

void reactor::give_back(watched& w, bool may_be_more) noexcept {
  set_state(w, watched_state::watched);
  pollfd now{.fd = w.fd, .events = 0, .revents = 0};
  const bool is_closed = ::poll(&now, 1, 0) == 1;
  // A message that came while it was claimed was told to nobody.
  if (may_be_more || is_closed) {
    epoll_change(fds_.closed, EPOLL_CTL_MOD, w.fd, EPOLLIN | EPOLLET, w.key);
  }
}

// --- What is looked at from time to time ---

std::uint64_t reactor::begin_round() noexcept {
  const scoped_lock guard(lock);
  return ++last_round_;
}

bool reactor::look_at_doubtful(std::uint64_t round, bool only_closed) noexcept {
  struct look {
    std::uint64_t key;
    void (*on_ready)(std::uint64_t) noexcept;
  };
  claim_batch batch;
  std::array<look, claim_batch::size_max> looks;
  std::size_t count = 0;
  bool is_all = true;
  {
    const scoped_lock guard(lock);
    if (doubtful_count_ == 0) return false;
    for (watched* const first : buckets_) {
      for (watched* w = first; w != nullptr && is_all; w = w->next) {
        const bool is_ready = w->kind->waits_for == watched_kind::event::ready;
        if (w->state != watched_state::doubtful || w->looked_in >= round ||
            (is_ready && only_closed)) {
          continue;
        }
        if (batch.is_full() || count == looks.size()) {
          is_all = false;
        } else {
          w->looked_in = round;
          if (is_ready) {
            looks[count++] = {w->key, w->kind->on_ready};
          } else {
            claim(batch, *w);
          }
        }
      }
      if (!is_all) break;
    }
  }
  batch.handle();
  for (std::size_t i = 0; i < count; ++i) looks[i].on_ready(looks[i].key);
  return !is_all;
}

// --- Without descriptors ---

std::uint64_t reactor::closed_count() noexcept {
  const scoped_lock guard(lock);
  return closed_count_;
}

// Waits for those who are closing. Was something closed since then?
bool reactor::was_closed(std::uint64_t closed_before) noexcept {
  bool is_any = false;
  static_cast<void>(futex_wait_until(batches_done_, no_deadline, [&](std::uint32_t& done) noexcept {
    const scoped_lock guard(lock);
    is_any = closed_count_ != closed_before;
    // relaxed: under the lock
    done = batches_done_.load(mo::relaxed);
    return is_any || batches_claimed_ == 0;
  }));
  return is_any;
}

bool reactor::make_room(std::uint64_t closed_before) noexcept {
  // Twice: others may have looked at something, and put it back, before it was gone.
  for (int looks = 0; looks < 2; ++looks) {
    reap_closed();
    const std::uint64_t round = begin_round();
    while (look_at_doubtful(round, true)) {
    }
    if (was_closed(closed_before)) return true;
  }
  return false;
}

}  // namespace ufence::detail

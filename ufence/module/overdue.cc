#include "ufence/module/overdue.h"

#include <algorithm>

#include "ufence/base/atomic.h"
#include "ufence/base/clock.h"
#include "ufence/base/fork.h"
#include "ufence/base/futex.h"
#include "ufence/base/futex_until.h"
#include "ufence/base/lock.h"
#include "ufence/base/own_thread.h"
#include "ufence/base/system_thread.h"

namespace ufence::detail {
namespace {

constexpr std::int64_t first_ns = 1'000'000'000;
constexpr std::int64_t idle_ns = 20'000'000;

}  // namespace

// The calls that are watched, and the thread that does it. The thread is started by the first watch,
// and ends when there was none for `idle_ns`. It looks again so often: no watch has to wake it.
struct watch_list {
  static void* run(void*);
  // Sleeps, or tells of one that is due. False: there was nothing to watch for a while.
  [[nodiscard]] bool turn() noexcept;
  void add(overdue_watch& w) noexcept;
  void remove(overdue_watch& w) noexcept;
  void forget_all() noexcept UFENCE_NO_TSA;

  mutex lock{lock_rank::leaf};
  overdue_watch* first UFENCE_GUARDED_BY(lock) = nullptr;
  const overdue_watch* told UFENCE_GUARDED_BY(lock) = nullptr;  // the one whose function runs
  std::uint64_t added UFENCE_GUARDED_BY(lock) = 0;
  std::uint64_t seen UFENCE_GUARDED_BY(lock) = 0;  // what `added` was when the thread found none
  bool has_thread UFENCE_GUARDED_BY(lock) = false;
  // Both words are only slept on; the lock orders what they stand for.
  atomic<std::uint32_t> tellings{0};  // ended ones
  atomic<std::uint32_t> never{0};
};

namespace {

// Never destroyed: modules may be unloaded while the process ends.
constinit watch_list watched;

const fork_part at_fork(lock_rank::leaf,
                        {.before = [] noexcept { watched.lock.lock_for_fork(); },
                         .in_parent = [] noexcept { watched.lock.unlock_after_fork(); },
                         .in_child =
                             [] noexcept {
                               watched.forget_all();
                               watched.lock.unlock_after_fork();
                             }});

}  // namespace

// The watches are those of threads that are not in the child.
void watch_list::forget_all() noexcept {
  first = nullptr;
  told = nullptr;
  has_thread = false;
}

void* watch_list::run(void*) {
  system_thread::name_this("ufence-watch");
  while (watched.turn()) {
  }
  return nullptr;
}

bool watch_list::turn() noexcept {
  overdue_watch* due = nullptr;
  std::int64_t until_ns = deadline_after(idle_ns);
  const std::int64_t now = now_ns();
  {
    const scoped_lock hold(lock);
    if (first == nullptr && seen == added) return has_thread = false;
    if (first == nullptr) seen = added;
    for (overdue_watch* w = first; w != nullptr; w = w->next_) {
      until_ns = std::min(until_ns, w->next_ns_);
      if (w->next_ns_ <= now) due = w;
    }
    told = due;
  }
  if (due == nullptr) {
    futex_wait(never, 0, until_ns);
    return true;
  }
  const std::int64_t age_ns = now - due->begin_ns_;
  due->tell_(due->argument_, due->name_, age_ns);
  {
    const scoped_lock hold(lock);
    due->next_ns_ = due->begin_ns_ + 2 * age_ns;
    told = nullptr;
    // relaxed: under the lock
    tellings.fetch_add(1, mo::relaxed);
  }
  futex_wake_all(tellings);
  return true;
}

void watch_list::add(overdue_watch& w) noexcept {
  const scoped_lock hold(lock);
  w.next_ = first;
  first = &w;
  ++added;
  // Without a thread the call is not told; the next one tries again.
  if (!has_thread) has_thread = start_own_thread(&watch_list::run, nullptr) == 0;
}

void watch_list::remove(overdue_watch& w) noexcept {
  static_cast<void>(futex_wait_until(tellings, no_deadline, [this, &w](std::uint32_t& ended) noexcept {
    const scoped_lock hold(lock);
    // relaxed: under the lock
    ended = tellings.load(mo::relaxed);
    if (told == &w) return false;
    overdue_watch** at = &first;
    while (*at != &w) at = &(*at)->next_;
    *at = w.next_;
    return true;
  }));
}

overdue_watch::overdue_watch(function tell, void* argument, const char* name) noexcept
    : tell_(tell),
      argument_(argument),
      name_(name),
      begin_ns_(now_ns()),
      generation_(::ufence::fork_generation()),
      next_ns_(begin_ns_ + first_ns) {
  watched.add(*this);
}

overdue_watch::~overdue_watch() {
  if (generation_ == ::ufence::fork_generation()) watched.remove(*this);
}

}  // namespace ufence::detail

#include "ufence/io/side_work.h"

#include <unistd.h>

#include <array>

#include "ufence/base/api.h"
#include "ufence/base/clock.h"
#include "ufence/base/fork.h"
#include "ufence/base/futex.h"
#include "ufence/base/lock.h"
#include "ufence/base/system_thread.h"

namespace ufence::detail {
namespace {

constexpr std::int64_t idle_ns = 10'000'000;

constinit mutex side_lock{lock_rank::leaf};

// The queue, a ring, and the threads that serve it.
struct side_queue {
  std::array<side_work, side_work_waiting_max> ring{};
  std::size_t first = 0;
  std::size_t waiting = 0;
  std::size_t threads = 0;   // that run, or are about to
  std::size_t sleepers = 0;  // of them: those that wait for work
};
constinit side_queue side UFENCE_GUARDED_BY(side_lock);
// Counts the works that were queued: what idle threads sleep on. Written under the lock.
constinit atomic<std::uint32_t> side_queued{0};

bool take_locked(side_work& work) noexcept UFENCE_REQUIRES(side_lock) {
  if (side.waiting == 0) return false;
  work = side.ring[side.first];
  side.first = (side.first + 1) % side.ring.size();
  --side.waiting;
  return true;
}

// Waits for the next work. False: there was none for a while, and this thread is not counted any
// more.
bool next_work(side_work& work) noexcept {
  const std::int64_t until = deadline_after(idle_ns);
  for (bool is_late = false;;) {
    std::uint32_t seen = 0;
    {
      const scoped_lock guard(side_lock);
      if (take_locked(work)) return true;
      if (is_late) {
        --side.threads;
        return false;
      }
      ++side.sleepers;
      // relaxed: under the lock, where it is written
      seen = side_queued.load(mo::relaxed);
    }
    is_late = futex_wait(side_queued, seen, until) == -ETIME;
    const scoped_lock guard(side_lock);
    --side.sleepers;
  }
}

void* run_side_thread(void*) noexcept {
  system_thread::name_this("ufence-side");
  side_work work;
  while (next_work(work)) work.run(work.argument);
  return nullptr;
}

// Without any thread what is waiting is done here.
void start_side_thread() noexcept {
  system_thread thread;
  if (thread.start(&run_side_thread, nullptr) == 0) {
    thread.detach();
    return;
  }
  side_work work;
  for (;;) {
    {
      const scoped_lock guard(side_lock);
      if (side.threads > 1 || !take_locked(work)) {
        --side.threads;
        return;
      }
    }
    work.run(work.argument);
  }
}

// A child has none of the threads. What waits there was its parent's as well: a thread of the child
// closes the child's duplicates.
const fork_part at_fork(lock_rank::leaf,
                        {.before = [] noexcept { side_lock.lock_for_fork(); },
                         .in_parent = [] noexcept { side_lock.unlock_after_fork(); },
                         .in_child =
                             []() UFENCE_NO_TSA noexcept {
                               side.threads = 0;
                               side.sleepers = 0;
                               side_lock.unlock_after_fork();
                             }});

}  // namespace

bool run_aside(const side_work& work) noexcept {
  bool needs_thread = false;
  {
    const scoped_lock guard(side_lock);
    if (side.waiting == side.ring.size()) return false;
    side.ring[(side.first + side.waiting) % side.ring.size()] = work;
    ++side.waiting;
    // relaxed: a thread that sleeps has read it under the lock
    side_queued.fetch_add(1, mo::relaxed);
    needs_thread = side.waiting > side.sleepers && side.threads < side_work_threads_max;
    if (needs_thread) ++side.threads;
  }
  futex_wake_all(side_queued);
  if (needs_thread) start_side_thread();
  return true;
}

void close_aside(unique_fd fd) noexcept {
  if (!fd) return;
  const int number = fd.get();
  const side_work work{.run = [](std::uint64_t of) noexcept { ::close(static_cast<int>(of)); },
                       .argument = static_cast<std::uint64_t>(number)};
  if (run_aside(work)) static_cast<void>(fd.release());
}

}  // namespace ufence::detail

#include "ufence/fence/live.h"

#include <unistd.h>

#include <array>
#include <cstddef>

#include "ufence/base/clock.h"
#include "ufence/base/fork.h"
#include "ufence/base/lock.h"
#include "ufence/base/tls.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/timeline.h"

namespace ufence::detail {

/// The links of a timeline, for this file alone.
struct live_access {
  static timeline*& next(timeline& line) noexcept { return line.next_live_; }
  static timeline*& previous(timeline& line) noexcept { return line.previous_live_; }
};

namespace {

constinit mutex timelines_lock{lock_rank::leaf};
constinit timeline* live_timelines UFENCE_GUARDED_BY(timelines_lock) = nullptr;

// Threads that sleep and wake at once seldom meet in one list. A thread takes the same one each time.
struct alignas(64) sleeper_list {
  mutex lock{lock_rank::leaf};
  sleeping_thread* first UFENCE_GUARDED_BY(lock) = nullptr;
};
constexpr unsigned list_count = 16;
constinit std::array<sleeper_list, list_count> sleepers{};

// The kernel's number of this thread; asked for once in each generation of fork().
struct known_id {
  int id = 0;
  std::uint32_t generation = 0;
};
struct own_id_tag;

int own_id() noexcept {
  known_id& known = per_thread<own_id_tag, known_id>::get();
  if (known.id == 0 || known.generation != ufence::fork_generation()) {
    known = {.id = ::gettid(), .generation = ufence::fork_generation()};
  }
  return known.id;
}

sleeper_list& list_of(int id) noexcept { return sleepers[static_cast<unsigned>(id) % list_count]; }

void lock_all() noexcept {
  timelines_lock.lock_for_fork();
  for (sleeper_list& list : sleepers) list.lock.lock_for_fork();
}
void unlock_all() noexcept {
  for (sleeper_list& list : sleepers) list.lock.unlock_after_fork();
  timelines_lock.unlock_after_fork();
}

// A child of fork() has the timelines, and none of the threads that sleep.
const fork_part at_fork(lock_rank::leaf,
                        {.before = lock_all,
                         .in_parent = unlock_all,
                         .in_child =
                             []() UFENCE_NO_TSA noexcept {
                               for (sleeper_list& list : sleepers) list.first = nullptr;
                               unlock_all();
                             }});

}  // namespace

void list_timeline(timeline& line) noexcept {
  const scoped_lock guard(timelines_lock);
  live_access::next(line) = live_timelines;
  if (live_timelines != nullptr) live_access::previous(*live_timelines) = &line;
  live_timelines = &line;
}

void unlist_timeline(timeline& line) noexcept {
  const scoped_lock guard(timelines_lock);
  timeline* const next = live_access::next(line);
  timeline* const previous = live_access::previous(line);
  if (next != nullptr) live_access::previous(*next) = previous;
  (previous != nullptr ? live_access::next(*previous) : live_timelines) = next;
}

sleeping_thread::sleeping_thread(fence& f, std::uint32_t bits) noexcept
    : one_(&f),
      what_((bits & fence_state::settled) != 0   ? sleeps_for::settled
            : (bits & fence_state::retired) != 0 ? sleeps_for::quiesced
                                                 : sleeps_for::signaled) {
  list();
}

void sleeping_thread::list() noexcept {
  id_ = own_id();
  generation_ = ufence::fork_generation();
  since_ns_ = now_ns();
  state_ = &thread_state::mine();
  stack_ = __builtin_frame_address(0);
  sleeper_list& list = list_of(id_);
  const scoped_lock guard(list.lock);
  next_ = list.first;
  if (next_ != nullptr) next_->previous_ = this;
  list.first = this;
}

sleeping_thread::~sleeping_thread() {
  // A signal handler has called fork() meanwhile: the child's list is empty.
  if (generation_ != ufence::fork_generation()) return;
  sleeper_list& list = list_of(id_);
  const scoped_lock guard(list.lock);
  if (next_ != nullptr) next_->previous_ = previous_;
  if (previous_ != nullptr) {
    previous_->next_ = next_;
  } else {
    list.first = next_;
  }
}

/// The contents of one, for this file alone.
struct sleeping_thread::list_access {
  static const sleeping_thread* next(const sleeping_thread& s) noexcept { return s.next_; }
  static void tell(live_layout& to) noexcept {
    to.next = offsetof(sleeping_thread, next_);
    to.previous = offsetof(sleeping_thread, previous_);
    to.what = offsetof(sleeping_thread, what_);
    to.id = offsetof(sleeping_thread, id_);
    to.since_ns = offsetof(sleeping_thread, since_ns_);
    to.thread = offsetof(sleeping_thread, state_);
    to.stack = offsetof(sleeping_thread, stack_);
    to.one = offsetof(sleeping_thread, one_);
    to.several = offsetof(sleeping_thread, several_);
    to.lock = offsetof(sleeping_thread, lock_);
  }
};

live_layout layout_of_live() noexcept UFENCE_NO_TSA {
  live_layout told{};
  told.timelines = &live_timelines;
  told.sleepers = &sleepers[0].first;
  told.lists = list_count;
  told.list_size = sizeof(sleeper_list);
  sleeping_thread::list_access::tell(told);
  return told;
}

void visit_timelines(void (*visit)(timeline& line, void* context), void* context) {
  const scoped_lock guard(timelines_lock);
  for (timeline* line = live_timelines; line != nullptr; line = live_access::next(*line)) {
    visit(*line, context);
  }
}

void visit_sleeping_threads(void (*visit)(const sleeping_thread& thread, void* context),
                            void* context) {
  for (sleeper_list& list : sleepers) {
    const scoped_lock guard(list.lock);
    for (const sleeping_thread* s = list.first; s != nullptr;
         s = sleeping_thread::list_access::next(*s)) {
      visit(*s, context);
    }
  }
}

}  // namespace ufence::detail

#include "ufence/fence/callback.h"

#include <cerrno>
#include <new>
#include <optional>
#include <utility>

#include "ufence/base/check.h"
#include "ufence/base/fork.h"
#include "ufence/base/futex.h"
#include "ufence/base/futex_until.h"
#include "ufence/fence/callback_batch.h"
#include "ufence/fence/fence_lock.h"
#include "ufence/fence/live.h"
#include "ufence/fence/report.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/timeline.h"

namespace ufence {
namespace {

const std::error_code queued;  // success: its default constructor calls into the C++ library

// --- Threads that wait in remove_callback() for a callback to return ---

// Lives on the stack of the blocked thread, whose frames can't change meanwhile.
struct blocked_remover {
  const thread_state* thread;
  const callback* target;
  const fence* of;  // beside the node: its memory may be a node of another fence by now
  blocked_remover* next;
};
constinit mutex blocked_lock{lock_rank::blocked};
constinit blocked_remover* blocked UFENCE_GUARDED_BY(blocked_lock) = nullptr;

// Would waiting for `target` close a circle of callbacks that wait for each other? The last thread
// of a circle to get here sees all the others.
bool closes_circle(const thread_state& waiting, const callback* target, const fence* of) noexcept
    UFENCE_REQUIRES(blocked_lock) {
  const blocked_remover* b = blocked;
  while (b != nullptr) {
    if (!b->thread->runs(*target, *of)) {
      b = b->next;
      continue;
    }
    target = b->target;
    of = b->of;
    if (waiting.runs(*target, *of)) return true;
    b = blocked;  // go on with the thread that runs that one
  }
  return false;
}

bool enlist(blocked_remover& me) noexcept {
  scoped_lock guard(blocked_lock);
  if (closes_circle(*me.thread, me.target, me.of)) return false;
  me.next = blocked;
  blocked = &me;
  return true;
}

void delist(blocked_remover& me) noexcept {
  scoped_lock guard(blocked_lock);
  blocked_remover** at = &blocked;
  while (*at != &me) at = &(*at)->next;
  *at = me.next;
}

// The child of fork() has none of the blocked threads.
const fork_part at_fork(lock_rank::blocked,
                        {.before = [] noexcept { blocked_lock.lock_for_fork(); },
                         .in_parent = [] noexcept { blocked_lock.unlock_after_fork(); },
                         .in_child =
                             []() UFENCE_NO_TSA noexcept {
                               blocked = nullptr;
                               blocked_lock.unlock_after_fork();
                             }});

}  // namespace

// --- The list of a fence: LOCK held ---

void fence::push(callback& node) noexcept {
  callback* head = callbacks();
  if (head == nullptr) {
    node.next_.set(&node);
    node.previous_.set(&node);
    set_callbacks(&node);
    return;
  }
  callback* tail = head->previous_.get();
  node.next_.set(head);
  node.previous_.set(tail);
  tail->next_.set(&node);
  head->previous_.set(&node);
}

void fence::unlink(callback& node) noexcept {
  callback* next = node.next_.get();
  node.next_.set(nullptr);
  if (next == &node) {
    set_callbacks(nullptr);
    return;
  }
  callback* previous = node.previous_.get();
  next->previous_.set(previous);
  previous->next_.set(next);
  if (callbacks() == &node) set_callbacks(next);
}

// --- Adding and removing ---

std::error_code fence::add_callback(callback& node, callback_group* group) noexcept {
  if (may_be_inherited_or(asks_issuer) || group != nullptr || node.function_ == nullptr ||
      !try_lock()) [[unlikely]] {
    return add_callback_slow(node, group);
  }
  if ((state_before_adding() & fence_state::signaled) != 0 || node.next_.get() != nullptr) {
    unlock();
    return add_callback_slow(node, group);
  }
  node.fence_ = this;
  node.group_ = nullptr;
  push(node);
  unlock();
  return queued;
}

// The node is made after LOCK was taken: what is stored before a locked instruction delays it.
int fence::add_new_callback(void* memory, callback_function function) noexcept {
  if (!may_be_inherited_or(asks_issuer) && try_lock()) [[likely]] {
    if ((state_before_adding() & fence_state::signaled) == 0) {
      push(*::new (memory) callback(function, *this));
      unlock();
      return 0;
    }
    unlock();
  }
  return -add_callback_slow(*::new (memory) callback(function), nullptr).value();
}

std::error_code fence::add_callback_slow(callback& node, callback_group* group) noexcept {
  if (node.function_ == nullptr) return errno_code(EINVAL);
  if (is_signaled()) return errno_code(ENOENT);
  if (is_inherited()) return errno_code(EOWNERDEAD);
  if (!is_ordered()) enable_signaling();

  std::uint64_t to_tell = timeline::none;
  lock();
  const std::uint32_t s = state_before_adding();
  int refused = 0;
  if ((s & fence_state::signaled) != 0) {
    refused = ENOENT;
  } else if (node.next_.get() != nullptr) {
    refused = EBUSY;
  } else if (is_ordered() && !await_locked(s, to_tell)) {
    refused = ENOENT;
  } else {
    node.fence_ = this;
    node.group_ = group;
    if (group != nullptr && !group->link(node)) {
      refused = ESHUTDOWN;
    } else {
      push(node);
    }
  }
  unlock();
  // Nobody drains what was not awaited: the thread that looks marks it.
  if (refused == ENOENT) static_cast<void>(is_signaled());
  if (to_tell != timeline::none) owner_.owner->tell(to_tell);
  return refused == 0 ? queued : errno_code(refused);
}

// A node in no group and in no list.
int fence::push_unless_signaled(callback& node) noexcept {
  if ((lock() & fence_state::signaled) != 0) {
    unlock();
    return ENOENT;
  }
  node.fence_ = this;
  push(node);
  unlock();
  return 0;
}

inline bool fence::is_queued(const callback& node) const noexcept {
  return node.next_.get() != nullptr && node.fence_ == this;
}

// Short where nothing is in the way: a locked instruction waits for all that was done before it,
// and what comes after waits for it.
int fence::try_remove(callback& node) noexcept {
  if (may_be_inherited_or(0) || !try_lock()) [[unlikely]]
    return try_remove_slow(node);
  // relaxed: a node is on its way from the list to its call only after SIGNALED, and under LOCK
  if ((state_.load(mo::relaxed) & fence_state::signaled) != 0 || !is_queued(node) ||
      node.group_ != nullptr) [[unlikely]] {
    return try_remove_locked(node);
  }
  unlink(node);
  unlock();
  return 1;
}

[[gnu::noinline]] int fence::try_remove_slow(callback& node) noexcept {
  if (is_inherited()) return 0;
  lock();
  return try_remove_locked(node);
}

[[gnu::noinline]] int fence::try_remove_locked(callback& node) noexcept {
  switch (find_in_batch(node)) {
    case batch_place::runs: unlock(); return wait_until_returned(node);
    case batch_place::waits:
      batch()->remove(node);
      node.next_.set(nullptr);
      unlock();
      return 1;
    case batch_place::elsewhere: break;
  }
  const bool was_queued = is_queued(node);
  if (was_queued) {
    unlink(node);
    if (node.group_ != nullptr) node.group_->unlink(node);
  }
  unlock();
  return was_queued ? 1 : 0;
}

callback_batch* fence::batch() const noexcept {
  // [FENCE.31] acquire: all callbacks of a batch that is over have returned; pairs with [FENCE.32]
  return callback_batch::of_word(word_.load(mo::acquire));
}

// The settling thread goes from callback to callback, and out of the batch, whose memory is its
// stack, without LOCK, and looks after each step whether the batch is contested. Once it is, the
// thread takes LOCK before it goes on. The look and CONTESTED could miss each other, so there is a
// barrier between CONTESTED and the look at the batch here.
callback_batch* fence::contest_batch() noexcept {
  if (batch() == nullptr) return nullptr;
  // relaxed: set under LOCK
  if ((state_.load(mo::relaxed) & fence_state::contested) != 0) return batch();
  // relaxed: ordered by the barrier
  state_.fetch_or(fence_state::contested, mo::relaxed);
  // [FENCE.34] acq_rel: SB, CONTESTED before the look at the batch; pairs with [FENCE.35]
  process_barrier(mo::acq_rel);
  return batch();
}

batch_place fence::find_in_batch(const callback& node) noexcept {
  const callback_batch* b = contest_batch();
  return b != nullptr ? b->find(node) : batch_place::elsewhere;
}

int fence::wait_until_returned(callback& node) noexcept {
  thread_state& thread = thread_state::mine();
  if (thread.runs(node, *this)) return 0;
  blocked_remover me{.thread = &thread, .target = &node, .of = this, .next = nullptr};
  if (!enlist(me)) return -EDEADLK;
  std::optional<detail::sleeping_thread> listed;
  for (;;) {
    lock();
    if (find_in_batch(node) != batch_place::runs) break;
    // relaxed: the thread that runs it takes LOCK when it has returned, since the batch is contested
    state_.fetch_or(fence_state::waiters, mo::relaxed);
    // Dropping LOCK took LOCK_WAITERS away: with it in the word one would not sleep, but take LOCK
    // from those who wait for it again and again. The thread that has taken WAITERS away meanwhile woke nobody
    // here: look again.
    const std::uint32_t s = (unlock() & ~fence_state::lock_waiters) | fence_state::waiters;
    if (!listed) listed.emplace(*this, detail::sleeps_for::returned);
    futex_wait(state_, s, no_deadline, futex_class::state);
  }
  unlock();
  listed.reset();
  delist(me);
  return 0;
}

// --- Groups ---

namespace {
constexpr std::uint32_t close_sleeps = 1U << 31;
}

callback_group::callback_group() noexcept = default;

callback_group::~callback_group() {
  UFENCE_CHECK(size() == 0 && "close() a callback_group before it is destroyed");
}

bool callback_group::link(callback& node) noexcept {
  scoped_lock guard(lock_);
  if (closed_) return false;
  if (head_ == nullptr) {
    node.group_next_ = node.group_previous_ = &node;
    head_ = &node;
  } else {
    node.group_next_ = head_;
    node.group_previous_ = head_->group_previous_;
    node.group_previous_->group_next_ = &node;
    head_->group_previous_ = &node;
  }
  ++size_;
  return true;
}

void callback_group::unlink_locked(callback& node) noexcept {
  callback* next = std::exchange(node.group_next_, nullptr);
  if (next == &node) {
    head_ = nullptr;
  } else {
    next->group_previous_ = node.group_previous_;
    node.group_previous_->group_next_ = next;
    if (head_ == &node) head_ = next;
  }
  --size_;
}

void callback_group::unlink(callback& node) noexcept {
  scoped_lock guard(lock_);
  unlink_locked(node);
}

void callback_group::begin(callback& node, running_callback& record) noexcept {
  scoped_lock guard(lock_);
  unlink_locked(node);
  record = {.node = &node, .of = node.fence_, .next = running_list_};
  running_list_ = &record;
  // relaxed: close() takes the lock after this before it looks
  running_.fetch_add(1, mo::relaxed);
}

void callback_group::end(running_callback& record) noexcept {
  {
    scoped_lock guard(lock_);
    running_callback** at = &running_list_;
    while (*at != &record) at = &(*at)->next;
    *at = record.next;
  }
  // [FENCE.21] release: the callback has returned; pairs with [FENCE.22]
  const std::uint32_t old = running_.fetch_sub(1, mo::release);
  if (old == (close_sleeps | 1)) futex_wake_all(running_);
}

result<bool> callback_group::remove(callback& node) noexcept {
  fence_ref f;
  {
    scoped_lock guard(lock_);
    // The fence of a listed node is pending or settling, that of a running one is being settled.
    if (node.group_ == this && node.group_next_ != nullptr) f = fence_ref::take(*node.fence_);
    for (const running_callback* r = running_list_; r != nullptr && !f; r = r->next) {
      if (r->node == &node) f = fence_ref::take(*r->of);
    }
  }
  if (!f) return false;
  return f->remove_callback(node);
}

std::error_code callback_group::close(std::size_t* removed,
                                      absolute_deadline deadline_ns) noexcept UFENCE_NO_TSA {
  if (thread_state::mine().runs_one_of(*this)) return errno_code(EDEADLK);
  std::size_t n = 0;
  lock_.lock();
  closed_ = true;
  while (callback* node = head_) {
    // The fence of a listed node is pending or settling: somebody has a reference.
    fence_ref f = fence_ref::take(*node->fence_);
    lock_.unlock();
    f->lock();
    lock_.lock();
    // The node may have run and be gone; another may lie in its place, on another fence.
    const bool still_listed = head_ == node && node->fence_ == f.get();
    if (still_listed) {
      unlink_locked(*node);
      f->unlink(*node);
      ++n;
    }
    lock_.unlock();
    f->unlock();
    f.reset();  // may be the last one, under no lock
    lock_.lock();
  }
  lock_.unlock();
  if (removed != nullptr) *removed = n;
  const bool none_runs = futex_wait_until(running_, deadline_ns, [this](std::uint32_t& running) {
    // [FENCE.22] acquire: the callbacks have returned; pairs with [FENCE.21]
    running = running_.fetch_or(close_sleeps, mo::acquire) | close_sleeps;
    return running == close_sleeps;
  });
  return none_runs ? std::error_code() : errno_code(ETIME);
}

std::size_t callback_group::size() const noexcept {
  scoped_lock guard(lock_);
  return size_;
}

namespace detail {

void registration_deadlock(fence& f) noexcept {
  send_report({.kind = report_kind::callback_deadlock,
               .context = f.context(),
               .seqno = f.seqno(),
               .driver_name = f.driver_name(),
               .timeline_name = f.timeline_name(),
               .text = "two running callbacks drop each other's registration"});
  check_failed("callbacks may not drop each other's registration while both run", __FILE__,
               __LINE__);
}

}  // namespace detail
}  // namespace ufence

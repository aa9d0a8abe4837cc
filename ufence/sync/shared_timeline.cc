#include "ufence/sync/shared_timeline.h"

#include <linux/futex.h>

#include <algorithm>
#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/base/fork.h"
#include "ufence/base/futex.h"
#include "ufence/sync/page_file.h"
#include "ufence/sync/shared_live.h"
#include "ufence/sync/shared_page.h"

namespace ufence {
namespace {

// Where an end of the owner must be noticed although the waiter that the kernel has woken, and that
// should have woken the others, was killed at that moment.
constexpr std::int64_t look_again_ns = 1'000'000'000;
// The same where the kernel can't wait for two words.
constexpr std::int64_t poll_owner_ns = 10'000'000;

int sane_error(int error) noexcept { return error < 0 && error >= -4095 ? error : -EPROTO; }

// By point, for a heap with the lowest in front.
constexpr auto later_first = [](const auto& a, const auto& b) { return a.point > b.point; };

}  // namespace

// --- Life ---

shared_timeline::shared_timeline(shared_page& page, unique_fd fd, bool is_owner, bool may_signal,
                                 bool peers_may_signal) noexcept
    : generation_(fork_generation()),
      page_(&page),
      fd_(std::move(fd)),
      is_owner_(is_owner),
      may_signal_(may_signal),
      peers_may_signal_(peers_may_signal),
      context_(fence::allocate_contexts(1)) {
  std::size_t length = 0;
  for (; length < name_bytes_.size(); ++length) {
    // relaxed: constant, and if it is not, any bytes will do
    name_bytes_[length] = page.name[length].load(mo::relaxed);
    if (name_bytes_[length] == 0) break;
  }
  name_ = {name_bytes_.data(), length};
  detail::live_shared_timelines::add(*this);
}

shared_timeline::~shared_timeline() {
  detail::live_shared_timelines::remove(*this);
  detail::unmap_page(*page_);
}

result<shared_timeline_ref> shared_timeline::create(
    const shared_timeline_options& options) noexcept {
  if (options.initial_point > point_max) return failure(EINVAL);
  result<detail::mapped_page> file = detail::make_page(options.peers_may_signal);
  if (!file) return std::unexpected(file.error());

  // relaxed, all: nobody else has the page yet
  shared_page& p = *file->page;
  p.magic.store(shared_page::right_magic, mo::relaxed);
  p.version.store(shared_page::right_version, mo::relaxed);
  const std::string_view name = options.name.substr(0, shared_page::name_bytes - 1);
  for (std::size_t i = 0; i < name.size(); ++i) p.name[i].store(name[i], mo::relaxed);
  p.value.store(options.initial_point, mo::relaxed);

  void* memory = allocate(sizeof(shared_timeline));
  if (memory == nullptr) {
    detail::unmap_page(p);
    return failure(ENOMEM);
  }
  auto* made =
      ::new (memory) shared_timeline(p, std::move(file->fd), true, true, options.peers_may_signal);
  std::error_code failed;
  {
    const scoped_lock hold(made->lock_);
    failed = made->start_thread_locked();
  }
  shared_timeline_ref owned = shared_timeline_ref::adopt(made);
  if (failed) return std::unexpected(failed);
  made->wait_until_thread_started();
  return owned;
}

result<shared_timeline_ref> shared_timeline::import(int fd) noexcept {
  result<detail::mapped_page> file = detail::map_page(fd);
  if (!file) return std::unexpected(file.error());
  shared_page& page = *file->page;
  // relaxed, both: constant
  const bool is_ours = page.magic.load(mo::relaxed) == shared_page::right_magic;
  const bool is_known = page.version.load(mo::relaxed) == shared_page::right_version;
  void* memory = is_ours && is_known ? allocate(sizeof(shared_timeline)) : nullptr;
  if (memory == nullptr) {
    detail::unmap_page(page);
    return failure(!is_ours ? EINVAL : !is_known ? EPROTO : ENOMEM);
  }
  return shared_timeline_ref::adopt(::new (memory) shared_timeline(
      page, std::move(file->fd), false, file->is_writable, file->is_writable));
}

result<unique_fd> shared_timeline::export_fd(shared_access access) const noexcept {
  if (access == shared_access::signal && !peers_may_signal_) return failure(EPERM);
  // Where peers may not signal, the seals of the page see to it.
  return detail::export_page(fd_, access == shared_access::signal || !peers_may_signal_);
}

bool shared_timeline::is_inherited() const noexcept { return generation_ != fork_generation(); }

void shared_timeline::dropped() noexcept {
  if (is_inherited()) return;  // the parent's; its thread is not here
  if (is_owner_) static_cast<void>(fail(-ECANCELED));
  bool has_thread = false;
  {
    const scoped_lock hold(lock_);
    has_thread = has_thread_;
  }
  if (has_thread) {
    tell_thread(drop);
  } else {
    this->~shared_timeline();
    deallocate(this);
  }
}

// --- The page ---

shared_timeline::look shared_timeline::look_at_page() const noexcept {
  // In this order: a change after the look at `sequence` changes it, and what a dead owner wrote
  // last is seen by each process that sees its death.
  look now{};

  // [SHARED.2] acquire: not older than the value that was counted; pairs with [SHARED.1]
  now.sequence = page_->sequence.load(mo::acquire);
  // [SHARED.4] acquire: the last value of a dead owner; pairs with the kernel's store
  now.owner = page_->owner.load(mo::acquire);
  // [SHARED.3] acquire: what was written before the point was reached, and error; pairs with
  // [SHARED.8], [SHARED.9]
  const std::uint64_t value = page_->value.load(mo::acquire);
  now.point = value & ~shared_page::closed;
  if ((value & shared_page::closed) != 0) {
    // relaxed: stored before `closed`
    now.ended = sane_error(page_->error.load(mo::relaxed));
  } else if ((now.owner & FUTEX_OWNER_DIED) != 0 && !is_owner_) {
    now.ended = -EOWNERDEAD;
  }
  return now;
}

void shared_timeline::changed() noexcept {
  // [SHARED.1] release: the value before its count; pairs with [SHARED.2]
  page_->sequence.fetch_add(1, mo::release);
  futex_wake_all_shared(page_->sequence);
  static_cast<void>(complete_pending());
}

std::uint64_t shared_timeline::value() const noexcept { return look_at_page().point; }

int shared_timeline::error() const noexcept {
  return is_inherited() ? -EOWNERDEAD : look_at_page().ended;
}

std::error_code shared_timeline::signal(std::uint64_t point) noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  if (!may_signal_) return errno_code(EPERM);
  if (point > point_max) return errno_code(EINVAL);
  if (const int ended = look_at_page().ended) {
    return errno_code(ended == -EOWNERDEAD ? EOWNERDEAD : ECANCELED);
  }
  // relaxed: the CAS looks again
  std::uint64_t value = page_->value.load(mo::relaxed);
  do {
    if ((value & shared_page::closed) != 0) return errno_code(ECANCELED);
    if (value >= point) return {};
    // [SHARED.8] release: what is done for the point; relaxed if it fails: tried again; pairs with
    // [SHARED.3]
  } while (!page_->value.compare_exchange_weak(value, point, mo::release, mo::relaxed));
  changed();
  return {};
}

std::error_code shared_timeline::fail(int error) noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  if (!may_signal_) return errno_code(EPERM);
  std::int32_t none = 0;
  const std::int32_t checked = error < 0 && error >= -4095 ? error : -EINVAL;
  // relaxed: read behind `closed`
  const bool is_first = page_->error.compare_exchange(none, checked, mo::relaxed, mo::relaxed);
  // [SHARED.9] release: the error before `closed`; pairs with [SHARED.3]
  const std::uint64_t before = page_->value.fetch_or(shared_page::closed, mo::release);
  if ((before & shared_page::closed) == 0) changed();
  return is_first ? std::error_code() : errno_code(ECANCELED);
}

// --- Waiting ---

std::error_code shared_timeline::wait(std::uint64_t point,
                                      absolute_deadline deadline_ns) const noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  if (point > point_max) return errno_code(EINVAL);
  bool expired = deadline_ns <= 0;
  for (;;) {
    const look now = look_at_page();
    if (now.point >= point) return {};
    if (now.ended != 0) {
      // The kernel wakes one, which wakes the others.
      if (now.ended == -EOWNERDEAD) futex_wake_all_shared(page_->owner);
      return errno_code(-now.ended);
    }
    if (expired) return errno_code(ETIME);
    const std::array<futex_waiter, 2> words = {
        futex_waiter{.word = &page_->sequence, .expected = now.sequence, .is_shared = true},
        futex_waiter{.word = &page_->owner, .expected = now.owner, .is_shared = true}};
    int rc = futex_wait_any(words, std::min<std::int64_t>(deadline_ns, deadline_after(look_again_ns)));
    if (rc == -ENOSYS) {
      rc = futex_wait_shared(page_->sequence, now.sequence,
                             std::min<std::int64_t>(deadline_ns, deadline_after(poll_owner_ns)));
    }
    expired = rc == -ETIME && now_ns() >= deadline_ns;
  }
}

// --- Fences ---

result<fence_ref> shared_timeline::fence_at(std::uint64_t point) noexcept {
  if (is_inherited()) return failure(EOWNERDEAD);
  if (point > point_max) return failure(EINVAL);
  result<new_fence> made = fence::create(context_, point);
  if (!made) return std::unexpected(made.error());
  const look now = look_at_page();
  if (now.point >= point || now.ended != 0) {
    made->signal.signal(now.point >= point ? 0 : now.ended);
    return std::move(made->fence);
  }
  std::error_code failed;
  bool is_first = false;
  {
    const scoped_lock hold(lock_);
    if (!has_thread_) failed = start_thread_locked();
    if (!failed) failed = make_room_locked();
    if (!failed) {
      is_first = pending_.empty();
      pending_.push_back({point, std::move(made->signal)});
      std::ranges::push_heap(pending_, later_first);
    }
  }
  if (failed) {
    made->signal.signal(-failed.value());
    return std::unexpected(failed);
  }
  // While something is pending the thread looks at the page.
  if (is_first && follows()) tell_thread(kick);
  // It may have been reached since the look.
  static_cast<void>(complete_pending());
  return std::move(made->fence);
}

std::error_code shared_timeline::make_room_locked() noexcept try {
  if (pending_.size() == pending_.capacity()) pending_.reserve(2 * pending_.size() + 8);
  return {};
} catch (const std::bad_alloc&) {
  return errno_code(ENOMEM);
}

bool shared_timeline::complete_pending() noexcept {
  settlement later;
  const scoped_lock hold(lock_);
  if (pending_.empty()) return false;
  const look now = look_at_page();
  while (!pending_.empty() && (pending_.front().point <= now.point || now.ended != 0)) {
    std::ranges::pop_heap(pending_, later_first);
    pending& lowest = pending_.back();
    lowest.right.decide(lowest.point <= now.point ? 0 : now.ended, later);
    pending_.pop_back();
  }
  return !pending_.empty();
}

}  // namespace ufence

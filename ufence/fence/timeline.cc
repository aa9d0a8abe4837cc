#include "ufence/fence/timeline.h"

#include <cstring>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/base/fork.h"
#include "ufence/fence/live.h"
#include "ufence/fence/report.h"
#include "ufence/fence/signalling.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/trace.h"

namespace ufence {

using namespace fence_state;  // NOLINT(google-build-using-namespace): the bits of state.h

// --- The timeline's own ---

void timeline::get() noexcept { references_.get(counted); }

void timeline::put() noexcept {
  if (!references_.put(counted)) return;
  detail::unlist_timeline(*this);
  if (gate_ != nullptr) gate_->put();
  this->~timeline();
  deallocate(this);
}

std::uint64_t timeline::completed() const noexcept {
  // [TL.8] acquire: what was written before completing is visible; pairs with [TL.1]
  return value_.load(mo::acquire) & ~closed;
}

std::uint64_t timeline::emitted() const noexcept {
  // relaxed: a number that may be stale on return
  return emitted_.load(mo::relaxed);
}

bool timeline::is_closed() const noexcept {
  // [TL.9] acquire: see the error it was closed with; pairs with [TL.6]
  return (value_.load(mo::acquire) & closed) != 0;
}

int timeline::decided(std::uint64_t seqno, std::uint64_t value) const noexcept {
  if (!is_later(seqno, value & ~closed)) return 1;
  // relaxed: set before CLOSED, which was read with acquire or under the lock
  return (value & closed) != 0 ? close_error_.load(mo::relaxed) : 0;
}

int timeline::decided_inherited(const fence& f) const noexcept {
  // relaxed: of before the fork()
  return decided(f.seqno_, value_.load(mo::relaxed));
}

bool timeline::is_inherited() const noexcept { return generation_ != fork_generation(); }

// --- The awaited list: by rising seqno, through word_ (previous) and link_ (next) ---

namespace {
// In word_ of a linked fence beside the previous one's address: the first has no previous.
constexpr std::uintptr_t linked = 1;

// The errors that a timeline may fail with.
constexpr bool is_failure(int error) { return error < 0 && detail::is_error_in_range(error); }
}  // namespace

fence* timeline::previous(const fence& f) noexcept {
  // relaxed, as all links: under the timeline's lock
  return reinterpret_cast<fence*>(f.word_.load(mo::relaxed) & ~linked);
}

void timeline::set_previous(fence& f, fence* before) noexcept {
  // relaxed: under the timeline's lock
  f.word_.store(reinterpret_cast<std::uintptr_t>(before) | linked, mo::relaxed);
}

void timeline::link(fence& f) noexcept {
  // Waits mostly begin in the order of seqnos, or against it: look from the end, but at the front
  // first.
  fence* before = first_ == nullptr || is_later(first_->seqno_, f.seqno_) ? nullptr : last_;
  while (before != nullptr && is_later(before->seqno_, f.seqno_)) before = previous(*before);
  fence* after = before != nullptr ? before->link_.get() : first_;
  set_previous(f, before);
  f.link_.set(after);
  if (before != nullptr) {
    before->link_.set(&f);
  } else {
    first_ = &f;
  }
  if (after != nullptr) {
    set_previous(*after, &f);
  } else {
    last_ = &f;
  }
}

void timeline::unlink(fence& f) noexcept {
  fence* before = previous(f);
  fence* after = f.link_.get();
  if (before != nullptr) {
    before->link_.set(after);
  } else {
    first_ = after;
  }
  if (after != nullptr) {
    set_previous(*after, before);
  } else {
    last_ = before;
  }
  // relaxed: the thread that settles takes the fence's LOCK first
  f.word_.store(0, mo::relaxed);
  f.link_.set(nullptr);
  // relaxed: raising it late costs an empty drain; lowering it is [TL.3]
  awaited_min_.store(first_ != nullptr ? first_->seqno_ : none, mo::relaxed);
}

bool timeline::add_awaited(fence& f, bool silently, std::uint64_t& to_tell) noexcept {
  scoped_lock guard(lock_);
  link(f);
  // relaxed: written under the lock
  const bool is_new_minimum = is_later(awaited_min_.load(mo::relaxed), f.seqno_);
  if (is_new_minimum) {
    // [TL.3] seq_cst: SB, the minimum before the look at the value; pairs with [TL.2]
    awaited_min_.store(f.seqno_, mo::seq_cst);
  }
  // [TL.4] seq_cst: SB, the value after the minimum; pairs with [TL.1]
  if (decided(f.seqno_, value_.load(mo::seq_cst)) != 0) {
    unlink(f);
    return false;
  }
  note_linked(f, silently ? awaited | silent : awaited);
  // The device may not have been told of a minimum that was awaited silently.
  if (!silently && (is_new_minimum || (gate_ != nullptr && first_->seqno_ != told_))) {
    to_tell = told_ = first_->seqno_;
  }
  return true;
}

void timeline::note_linked(fence& f, std::uint32_t flags) noexcept {
  f.get();
  // relaxed: under the fence's LOCK
  f.state_.fetch_or(flags, mo::relaxed);
  if ((flags & silent) == 0) UFENCE_TRACE(enable_signal, f);
}

// Marked before the lock is dropped: a fence that waited for this one to leave the list is not seen
// signaled before it is.
timeline::removal timeline::mark_and_remove(fence& f, int error) noexcept {
  removal done;
  scoped_lock guard(lock_);
  // relaxed: under the lock; 0 once somebody unlinked it
  done.is_mine = f.word_.load(mo::relaxed) != 0;
  if (done.is_mine) unlink(f);
  done.nothing_to_call = done.is_mine && f.callbacks() == nullptr;
  f.mark_locked(error, now_ns(), done.nothing_to_call ? signaled | settled : signaled);
  done.frees_another = done.is_mine && first_ != nullptr && is_ahead(*first_);
  return done;
}

bool timeline::hold(fence& f) noexcept {
  scoped_lock guard(lock_);
  // relaxed: under the lock. A completion that is not seen here drains after this.
  const std::uint64_t value = value_.load(mo::relaxed);
  const fence* earlier = first_;
  while (earlier != nullptr && is_later(f.seqno_, earlier->seqno_) &&
         decided(earlier->seqno_, value) != 0) {
    earlier = earlier->link_.get();
  }
  if (earlier == nullptr || !is_later(f.seqno_, earlier->seqno_)) return false;
  // relaxed: under the lock; 0 unless it is linked
  const bool is_linked = f.word_.load(mo::relaxed) != 0;
  if (!is_linked) {
    link(f);
    note_linked(f, awaited | silent);
  }
  // relaxed: the thread that drains reads it under this lock; one that looks, under the fence's
  f.state_.fetch_or(ahead, mo::relaxed);
  return true;
}

bool timeline::is_ahead(const fence& f) noexcept {
  // relaxed: the timeline's lock is held
  return (f.state_.load(mo::relaxed) & ahead) != 0;
}

// One after the other, each as if it were signaled alone now.
void timeline::signal_ahead(settlement& later) noexcept {
  for (;;) {
    fence_ref f;
    {
      scoped_lock guard(lock_);
      if (first_ == nullptr || !is_ahead(*first_)) return;
      f = fence_ref::take(*first_);
    }
    const std::uint32_t s = f->lock();
    if ((s & signaled) != 0) {
      // The value has passed it, and somebody has looked: the thread that moved the value drains.
      f->unlock();
      return;
    }
    const removal done = mark_and_remove(*f, f->error_.get());
    if (done.is_mine) f->leave_list(done.nothing_to_call, later);
  }
}

void timeline::call_request_notify(std::uint64_t seqno) noexcept {
  if (gate_ != nullptr) {
    gate_->call_op(0, [seqno](const backend_ops& ops, backend* data) {
      if (ops.request_notify != nullptr) ops.request_notify(data, seqno);
    });
  }
  // A completion that was written just before the op had its effect is looked for here.
  settlement later;
  static_cast<void>(fold_device_word(later));
}

// When the minimum completes, the next one becomes the minimum: the device hears of it as well.
void timeline::tell_minimum() noexcept {
  if (gate_ == nullptr) return;
  std::uint64_t minimum = none;
  {
    scoped_lock guard(lock_);
    // relaxed: written under the lock
    minimum = awaited_min_.load(mo::relaxed);
    if (minimum == told_) return;
    told_ = minimum;
  }
  if (minimum != none) call_request_notify(minimum);
}

void timeline::tell(std::uint64_t seqno) noexcept {
  if (seqno == lowest) {
    tell_minimum();
  } else {
    call_request_notify(seqno);
  }
}

void timeline::set_deadline(absolute_deadline deadline_ns) noexcept {
  if (gate_ == nullptr) return;
  gate_->call_op(0, [deadline_ns](const backend_ops& ops, backend* data) {
    if (ops.set_deadline != nullptr) ops.set_deadline(data, deadline_ns);
  });
}

// --- Completing ---

void timeline::complete_up_to(std::uint64_t seqno, settlement& later) noexcept {
  // relaxed: the CAS orders; CLOSED is above every seqno
  std::uint64_t value = value_.load(mo::relaxed);
  // [TL.1] seq_cst: SB, the value before the look at the minimum; also publishes what the issuer
  // wrote; pairs with [TL.4], [TL.5], [TL.8]
  while (is_later(seqno, value) &&
         !value_.compare_exchange_weak(value, seqno, mo::seq_cst, mo::relaxed)) {
  }
  // [TL.2] seq_cst: SB, the minimum after the value; pairs with [TL.3]
  const bool completes_awaited = !is_later(awaited_min_.load(mo::seq_cst), seqno);
  if (trace::is_recording()) [[unlikely]]
    return complete_recorded(seqno, completes_awaited, later);
  if (completes_awaited) drain(later);
}

// Out of line: the path on which nothing is recorded saves no registers for it.
[[gnu::cold]] void timeline::complete_recorded(std::uint64_t seqno, bool completes_awaited,
                                               settlement& later) noexcept {
  trace::record_timeline(trace::event::value, *this, seqno);
  if (completes_awaited) drain(later);
}

void timeline::close(int error, settlement& later) noexcept {
  std::int32_t unset = 0;
  // relaxed: CLOSED publishes it
  close_error_.compare_exchange(unset, error, mo::relaxed, mo::relaxed);
  // [TL.6] release: the error, and what the issuer wrote, before CLOSED. Not SB: the drain takes
  // the lock, so a fence that is added is found by it or sees CLOSED under the lock; pairs with
  // [TL.5], [TL.9]
  const std::uint64_t old = value_.fetch_or(closed, mo::release);
  if (trace::is_recording()) [[unlikely]]
    trace::record_timeline(trace::event::closed, *this, old & ~closed, error);
  drain(later);
  if (gate_ != nullptr && (old & closed) == 0) {
    gate_->get();
    gate_->decide_into(0, later);
  }
}

void timeline::drain(settlement& later) noexcept {
  fence* first = nullptr;
  fence* tail = nullptr;
  std::uint64_t value = 0;
  bool minimum_rose = false;
  bool frees_another = false;
  {
    scoped_lock guard(lock_);
    // relaxed: this thread moved it, or saw who did; newer is fine
    value = value_.load(mo::relaxed);
    while (first_ != nullptr && decided(first_->seqno_, value) != 0) {
      fence* f = first_;
      unlink(*f);
      if (tail != nullptr) {
        tail->link_.set(f);
      } else {
        first = f;
      }
      tail = f;
    }
    minimum_rose = gate_ != nullptr && first_ != nullptr;
    frees_another = first_ != nullptr && is_ahead(*first_);
  }
  if (first == nullptr) return;
  const std::int64_t now = now_ns();
  while (fence* f = first) {
    first = f->link_.get();
    // The settling of the last one tells the device its next minimum.
    const bool keep = minimum_rose && first == nullptr;
    f->decide_unlinked(decided(f->seqno_, value), now, keep, later);
  }
  if (frees_another) signal_ahead(later);
}

std::error_code timeline::fold_device_word(settlement& later) noexcept {
  if (device_word_ == nullptr) return errno_code(EINVAL);
  if (is_inherited()) return errno_code(EOWNERDEAD);
  std::uint64_t seqno = 0;
  {
    // Nobody reads the word after close: close() sets CLOSED, then takes this lock.
    scoped_lock guard(lock_);
    // relaxed: CLOSED is either seen or its setter waits for the lock
    const std::uint64_t value = value_.load(mo::relaxed);
    if ((value & closed) != 0) return {};
    // [TL.10] seq_cst: SB, the word after the effect of the op request_notify; pairs with the
    // device's write of the word before it looks whether its interrupt is on
    seqno = extend_seqno(device_word_->load(mo::seq_cst), value);
  }
  if (is_later(seqno, emitted())) return errno_code(EPROTO);
  complete_up_to(seqno, later);
  return {};
}

// --- The fence's side ---

bool fence::mark_if_completed() noexcept {
  const timeline& line = *owner_.owner;
  // [TL.5] acquire: what the completing thread wrote is visible to a thread that looks; pairs with [TL.1],
  // [TL.6]
  const int how = line.decided(seqno_, line.value_.load(mo::acquire));
  // In a child of fork() a thread of the parent may hold LOCK for ever: the answer has to do.
  if (how == 0 || is_inherited()) return how != 0;
  const std::uint32_t s = lock();
  if ((s & signaled) != 0) {
    unlock();
    return true;
  }
  // Awaited: the thread that unlinks the entry settles.
  const std::uint32_t flips = (s & awaited) != 0 ? signaled : signaled | settled;
  mark_locked(result_ahead(s, how), now_ns(), flips);
  return true;
}

int fence::result_ahead(std::uint32_t s, int how) const noexcept {
  if ((s & ahead) == 0) return how;
  const int error = error_.get();
  return error < 0 ? error : 1;
}

void fence::mark_locked(int how, std::int64_t now, std::uint32_t flips) noexcept {
  const int error = how < 0 ? how : 0;
  error_.set(error);
  timestamp_.set(now);
  UFENCE_TRACE_ERROR(signaled, *this, error);
  // [FENCE.24] release: as [FENCE.3], but no op leaves a timeline fence; pairs with [FENCE.4],
  // [FENCE.16], [FENCE.18], [FENCE.23]
  const std::uint32_t old = state_.fetch_add(flips, mo::release);
  unlock();
  wake(old);
}

// The caller unlinked the awaited entry and owns its reference: it settles.
void fence::decide_unlinked(int how, std::int64_t now, bool keep, settlement& later) noexcept {
  const std::uint32_t s = lock();
  const bool nothing_to_call = callbacks() == nullptr;
  if ((s & signaled) == 0) {
    mark_locked(result_ahead(s, how), now, nothing_to_call ? signaled | settled : signaled);
  } else if (nothing_to_call) {
    // relaxed: a thread that finds it settled sees what the threads that marked it and removed its
    // callbacks wrote, by their releases; this goes on with those. No callback ran here, and nobody changes the list
    // any more.
    const std::uint32_t old = state_.fetch_add(settled, mo::relaxed);
    unlock();
    wake(old);
  } else {
    unlock();
  }
  if (nothing_to_call && !keep) {
    put();
  } else {
    later.append(*this);
  }
}

// It was unlinked and marked; its reference is the caller's. Settling tells the device a minimum
// that rose.
void fence::leave_list(bool nothing_to_call, settlement& later) noexcept {
  if (nothing_to_call && owner_.owner->gate_ == nullptr) {
    put();
  } else {
    later.append(*this);
  }
}

// Somebody waits. LOCK is held, in the state `s`, which is pending. False: completed meanwhile.
bool fence::await_locked(std::uint32_t s, std::uint64_t& to_tell) noexcept {
  if ((s & awaited) == 0) return owner_.owner->add_awaited(*this, false, to_tell);
  if ((s & silent) != 0) {
    // relaxed: under LOCK
    state_.fetch_and(~silent, mo::relaxed);
    UFENCE_TRACE(enable_signal, *this);
    to_tell = timeline::lowest;
  }
  return true;
}

void fence::enable_ordered() noexcept {
  std::uint64_t to_tell = timeline::none;
  const std::uint32_t s = lock();
  const bool is_completed = (s & signaled) == 0 && !await_locked(s, to_tell);
  unlock();
  // Nobody drains what was not awaited: the thread that looks marks it.
  if (is_completed) static_cast<void>(mark_if_completed());
  if (to_tell != timeline::none) owner_.owner->tell(to_tell);
}

bool fence::await_silently() noexcept {
  std::uint64_t nobody = timeline::none;
  const std::uint32_t s = lock();
  bool is_pending = (s & signaled) == 0;
  if (is_pending && (s & awaited) == 0) is_pending = owner_.owner->add_awaited(*this, true, nobody);
  unlock();
  return is_pending || !is_signaled();
}

bool fence::set_in_turn() noexcept {
  const std::uint32_t s = lock();
  const bool is_pending = (s & signaled) == 0;
  // relaxed: under LOCK, as who decides looks for it
  if (is_pending && (s & in_turn) == 0) state_.fetch_or(in_turn, mo::relaxed);
  unlock();
  // A thread that waits for this one waits for the earlier one as well.
  if (is_pending && (s & (awaited | silent)) == awaited) owner_.owner->tell_minimum();
  return is_pending;
}

// Both are ordered.
bool fence::ordered_stands_for(fence& earlier) noexcept {
  if (owner() != earlier.owner() || &earlier == this) return true;
  if (is_inherited() || !earlier.await_silently()) return true;
  return set_in_turn() || earlier.is_signaled();
}

void fence::keep_turn() noexcept {
  if (is_ordered() && !is_inherited() && await_silently()) static_cast<void>(set_in_turn());
}

// --- The issuing handle ---

namespace {
// Contexts of unordered fences have bit 62 set, which no context of allocate_contexts() and none of
// an imported fence has alone; the bits above the lower 32 are the timeline's, which is counted
// here.
constinit atomic<std::uint64_t> next_line{0};

std::uint64_t allocate_unordered_contexts() noexcept {
  constexpr std::uint64_t lines = std::uint64_t{1} << 30;
  // relaxed: only the numbers have to differ
  const std::uint64_t line = next_line.fetch_add(1, mo::relaxed) % lines;
  return std::uint64_t{1} << 62 | line << 32;
}
}  // namespace

result<timeline_issuer> timeline_issuer::create(const timeline_options& options) noexcept {
  if (options.initial_seqno > timeline::seqno_max) return failure(EINVAL);
  detail::check_not_signalling("a thread makes a timeline on the signalling path");
  const std::size_t names = options.driver_name.size() + options.timeline_name.size();
  void* memory = allocate(sizeof(timeline) + names);
  if (memory == nullptr) return failure(ENOMEM);
  fence* gate = nullptr;
  if (options.data != nullptr && (gate = fence::allocate_slot()) == nullptr) {
    deallocate(memory);
    return failure(ENOMEM);
  }
  auto* line = ::new (memory) timeline;
  char* text = static_cast<char*>(memory) + sizeof(timeline);
  line->driver_name_ = copy_name(options.driver_name, text);
  line->timeline_name_ = copy_name(options.timeline_name, text + options.driver_name.size());
  line->generation_ = fork_generation();
  line->context_ = fence::allocate_contexts(1);
  line->unordered_contexts_ = allocate_unordered_contexts();
  line->device_word_ = options.device_word;
  // relaxed: published with the handle
  line->value_.store(options.initial_seqno, mo::relaxed);
  line->emitted_.store(options.initial_seqno, mo::relaxed);
  line->last_ordered_.store(options.initial_seqno, mo::relaxed);
  if (gate != nullptr) {
    gate->owner_.context = line->context_;
    gate->init(0, 0, options.data, 1);
    line->gate_ = gate;
  }
  line->maker_ = options.made_by != nullptr ? options.made_by : __builtin_return_address(0);
  detail::list_timeline(*line);
  return timeline_issuer(timeline_ref::adopt(line));
}

std::string_view timeline_issuer::copy_name(std::string_view name, char* to) noexcept {
  if (!name.empty()) std::memcpy(to, name.data(), name.size());
  return {to, name.size()};
}

timeline_issuer& timeline_issuer::operator=(timeline_issuer&& other) noexcept {
  if (this != &other) {
    drop();
    line_ = std::move(other.line_);
  }
  return *this;
}

void timeline_issuer::drop() noexcept {
  const timeline_ref line = std::move(line_);
  if (!line || line->is_inherited()) return;
  // relaxed: nobody emits any more
  const bool is_pending =
      !line->is_closed() && is_later(line->last_ordered_.load(mo::relaxed), line->completed());
  {
    settlement later;
    line->close(-ECANCELED, later);
  }
  if (is_pending) {
    send_report({.kind = report_kind::timeline_dropped,
                 .context = line->context(),
                 .seqno = line->completed(),
                 .driver_name = line->driver_name(),
                 .timeline_name = line->timeline_name(),
                 .text = "an issuing handle was dropped; what is pending ends with -ECANCELED"});
  }
}

fence* timeline_issuer::new_slot(std::uint64_t& seqno) noexcept {
  fence* f = fence::allocate_slot();
  if (f != nullptr) seqno = number(*f);
  return f;
}

// Makes the slot one of this timeline. Returns its seqno.
std::uint64_t timeline_issuer::number(fence& slot) noexcept {
  // relaxed: only the numbers have to differ
  const std::uint64_t seqno = line_->emitted_.fetch_add(1, mo::relaxed) + 1;
  UFENCE_CHECK(seqno < timeline::closed);
  line_->get();
  slot.owner_.owner = line_.get();
  return seqno;
}

result<fence_ref> timeline_issuer::emit() noexcept {
  if (line_->is_inherited()) return failure(EOWNERDEAD);
  std::uint64_t seqno = 0;
  fence* f = new_slot(seqno);
  if (f == nullptr) return failure(ENOMEM);
  // relaxed: for the report of drop() alone
  line_->last_ordered_.store(seqno, mo::relaxed);
  f->init(fence::kind::has_timeline | fence::kind::ordered, seqno, nullptr, 1);
  UFENCE_PROBE(dma_fence_emit, *f);
  return fence_ref::adopt(f);
}

result<new_fence> timeline_issuer::create_unordered(backend* data) noexcept {
  return create(fence::kind::has_timeline, data);
}

new_fence timeline_issuer::create_unordered(fence_room memory, backend* data) noexcept {
  fence* const f = memory.give_up();
  UFENCE_CHECK(f != nullptr);
  f->init(fence::kind::has_timeline, number(*f), data, 2);
  UFENCE_PROBE(dma_fence_emit, *f);
  return new_fence{fence_ref::adopt(f), signaler(f)};
}

result<new_fence> timeline_issuer::create_in_order(backend* data) noexcept {
  return create(fence::kind::has_timeline | fence::kind::in_order, data);
}

result<new_fence> timeline_issuer::create(std::uint32_t kinds, backend* data) noexcept {
  if (line_->is_inherited()) return failure(EOWNERDEAD);
  if (line_->is_closed()) return failure(ECANCELED);
  std::uint64_t seqno = 0;
  fence* f = new_slot(seqno);
  if (f == nullptr) return failure(ENOMEM);
  f->init(kinds, seqno, data, 2);
  UFENCE_PROBE(dma_fence_emit, *f);
  return new_fence{fence_ref::adopt(f), signaler(f)};
}

void timeline_issuer::signal_up_to(std::uint64_t seqno) noexcept {
  settlement later;
  decide_up_to(seqno, later);
}

void timeline_issuer::decide_up_to(std::uint64_t seqno, settlement& later) noexcept {
  if (seqno < timeline::closed && !line_->is_inherited()) line_->complete_up_to(seqno, later);
}

bool timeline_issuer::signal(fence& f, int error) noexcept {
  const int checked = detail::checked_error(error, f);
  settlement later;
  return decide(f, checked, later);
}

bool timeline_issuer::decide(fence& f, int error, settlement& later) noexcept {
  if (f.owner() != line_.get() || !f.is_ordered() || f.is_inherited()) return false;
  const int checked = detail::is_error_in_range(error) ? error : -EINVAL;
  // A fence that the value has completed is decided, marked or not.
  if (f.is_signaled()) return false;
  const std::uint32_t s = f.lock();
  if ((s & (signaled | ahead)) != 0) {
    f.unlock();
    return false;
  }
  if ((s & in_turn) != 0) {
    f.error_.set(checked);
    if (line_->hold(f)) {
      f.unlock();
      return true;
    }
  }
  if ((s & awaited) == 0) {
    // Without callbacks, which would have made it awaited.
    f.mark_locked(checked, now_ns(), signaled | settled);
    return true;
  }
  const timeline::removal done = line_->mark_and_remove(f, checked);
  if (done.is_mine) f.leave_list(done.nothing_to_call, later);
  if (done.frees_another) line_->signal_ahead(later);
  return true;
}

void timeline_issuer::fail(int error) noexcept {
  if (line_->is_inherited()) return;
  if (!is_failure(error)) {
    send_report({.kind = report_kind::bad_error,
                 .context = line_->context(),
                 .seqno = line_->emitted(),
                 .driver_name = line_->driver_name(),
                 .timeline_name = line_->timeline_name(),
                 .text = "a timeline fails with a negative errno; -EINVAL is used"});
  }
  settlement later;
  decide_fail(error, later);
}

void timeline_issuer::decide_fail(int error, settlement& later) noexcept {
  if (line_->is_inherited()) return;
  line_->close(is_failure(error) ? error : -EINVAL, later);
}

std::error_code timeline_issuer::notify() noexcept {
  std::error_code failed;
  {
    settlement later;
    failed = decide_notify(later);
  }
  if (failed == errno_code(EPROTO)) {
    send_report({.kind = report_kind::bad_device_word,
                 .context = line_->context(),
                 .seqno = line_->emitted(),
                 .driver_name = line_->driver_name(),
                 .timeline_name = line_->timeline_name(),
                 .text = "the device word is beyond the last emitted seqno; nothing is signaled"});
  }
  return failed;
}

std::error_code timeline_issuer::decide_notify(settlement& later) noexcept {
  return line_->fold_device_word(later);
}

std::error_code timeline_issuer::wait_quiesced(absolute_deadline deadline_ns) noexcept {
  return line_->gate_ != nullptr ? line_->gate_->wait_quiesced(deadline_ns) : std::error_code();
}

}  // namespace ufence

// struct ufence_host: what drivers call. Nothing that they pass is trusted.
#include <array>
#include <cerrno>
#include <cstdio>
#include <new>
#include <string_view>
#include <utility>

#include "ufence/issuer/device_impl.h"
#include "ufence/issuer/module_scope.h"

struct ufence_fence {};

namespace ufence {
namespace {

using detail::job_phase;
using detail::job_record;
using detail::module_scope;
using detail::violation;

device::impl& impl_of(ufence_device* device) noexcept { return *static_cast<device::impl*>(device); }
fence& fence_of(ufence_fence* f) noexcept { return *reinterpret_cast<fence*>(f); }
int c_error(std::error_code error) noexcept { return -error.value(); }
bool is_error(int error) noexcept { return error <= 0 && error >= -4095; }

// Reports what was noted under the locks of the driver that called us, which are dropped now.
void flush_caller() noexcept {
  if (device::impl* const d = module_scope::innermost()) d->violations.flush(*d);
}

void note_caller(violation what) noexcept {
  if (device::impl* const d = module_scope::innermost()) d->violations.note(what, 0);
}

// --- One job ---

// 0: the caller decides now. Else what a driver is told that does not.
int elect(ufence_job* job, int error, job_record*& r) noexcept {
  r = job_record::of_job(job);
  if (r == nullptr) return note_caller(violation::no_job_of_ours), -EINVAL;
  device::impl& d = *r->owner;
  if (!is_error(error)) return d.violations.note(violation::bad_error, r->seqno.get()), -EINVAL;
  if (r->elect(job_phase::with_driver, job_phase::decided)) {
    // relaxed: set once nobody may decide any more; the decision stands all the same
    if (d.is_stopped.load(mo::relaxed) != 0) {
      d.violations.note(violation::decided_after_stop, r->seqno.get());
    }
    return 0;
  }
  switch (r->phase_now()) {
    case job_phase::completed: return -EALREADY;  // an op said so at the same time
    case job_phase::given_up:
      d.violations.note(violation::decided_after_stop, r->seqno.get());
      return -ECANCELED;
    case job_phase::vacant:
    case job_phase::decided:
      d.violations.note(violation::decided_twice, r->seqno.get());
      return -EALREADY;
    default: d.violations.note(violation::decided_unsubmitted, r->seqno.get()); return -EINVAL;
  }
}

int decide(ufence_job* job, int error, ufence_settlement* later) noexcept {
  job_record* r = nullptr;
  if (later == nullptr) return -EINVAL;
  if (const int refused = elect(job, error, r); refused != 0) return refused;
  settlement decided = settlement::adopt(std::exchange(later->head, nullptr));
  r->owner->finish(*r, error, decided);
  later->head = decided.give_up();
  return 0;
}

void settle(ufence_settlement* later) noexcept {
  if (later != nullptr) settlement::adopt(std::exchange(later->head, nullptr)).settle();
  flush_caller();
}

// An old driver's fence is decided under its lock.
template <class Signal>
int signal_old(job_record& r, Signal signal) noexcept {
  r.poison_args();
  r.owner->pending.sub();
  signal(std::move(r.right));
  return 0;
}

int signal(ufence_job* job, int error) noexcept {
  job_record* r = nullptr;
  int refused = elect(job, error, r);
  if (refused == 0 && r->owner->is_legacy()) {
    refused = signal_old(*r, [error](signaler right) { right.signal(error); });
  } else if (refused == 0) {
    settlement later;
    r->owner->finish(*r, error, later);
  }
  flush_caller();
  return refused;
}

int signal_job_locked(ufence_job* job, int error) noexcept {
  job_record* r = job_record::of_job(job);
  if (r != nullptr && !r->owner->is_legacy()) return -EINVAL;
  const int refused = elect(job, error, r);
  if (refused != 0) return refused;
  return signal_old(*r, [error](signaler right) { signal_locked(std::move(right), error); });
}

// --- Timelines ---

// Threads that init() started may call before there is one.
bool has_line(const device::impl& d) noexcept {
  // [ISSUER.21] acquire: see the timeline; pairs with [ISSUER.20]
  return d.is_timeline() && d.has_line.load(mo::acquire) != 0;
}

int decide_up_to(ufence_device* device, std::uint64_t seqno, ufence_settlement* later) noexcept {
  if (device == nullptr || later == nullptr || !has_line(impl_of(device))) return -EINVAL;
  device::impl& d = impl_of(device);
  bool is_beyond = false;
  {
    const scoped_lock hold(d.lock);
    is_beyond = is_later(seqno, d.in_order.last_submitted);
  }
  if (is_beyond) return d.violations.note(violation::beyond_last_job, seqno), -EINVAL;
  settlement decided = settlement::adopt(std::exchange(later->head, nullptr));
  d.line->decide_up_to(seqno, decided);
  d.reap(decided);
  later->head = decided.give_up();
  return 0;
}

int decide_notify(ufence_device* device, ufence_settlement* later) noexcept {
  if (device == nullptr || later == nullptr || !has_line(impl_of(device))) return -EINVAL;
  device::impl& d = impl_of(device);
  if (d.device_word == nullptr) return -EINVAL;
  bool is_beyond = false;
  std::uint64_t last = 0;
  {
    // relaxed: a thread that completes by it loads it again
    const std::uint32_t word = d.device_word->load(mo::relaxed);
    const std::uint64_t completed = d.line->line()->completed();
    const scoped_lock hold(d.lock);
    last = d.in_order.last_submitted;
    is_beyond = is_later(extend_seqno(word, completed), last);
  }
  if (is_beyond) return d.violations.note(violation::beyond_last_job, last), -EINVAL;
  settlement decided = settlement::adopt(std::exchange(later->head, nullptr));
  const std::error_code refused = d.line->decide_notify(decided);
  d.reap(decided);
  later->head = decided.give_up();
  return refused ? -EINVAL : 0;
}

int device_word(ufence_device* device, const volatile std::uint32_t* word) noexcept {
  if (device == nullptr || word == nullptr) return -EINVAL;
  device::impl& d = impl_of(device);
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(word) % alignof(std::uint32_t) == 0;
  if (!d.is_timeline() || has_line(d) || !is_aligned) return -EINVAL;
  static_assert(sizeof(atomic<std::uint32_t>) == sizeof *word, "the device writes a plain word");
  d.device_word =
      reinterpret_cast<const atomic<std::uint32_t>*>(const_cast<const std::uint32_t*>(word));
  return 0;
}

// --- Threads ---

int thread_start(ufence_device* device, const char* name, void (*function)(void*),
                 void* argument) noexcept {
  return device != nullptr ? impl_of(device).threads.start(name, function, argument) : -EINVAL;
}

// --- Callbacks on fences of others ---

// A driver's node carries one of ours; it is made when the node is used first (D-17).
callback& node_of(ufence_callback& node) noexcept {
  static_assert(sizeof(callback) <= sizeof node.reserved && alignof(callback) <= alignof(void*));
  return *std::launder(reinterpret_cast<callback*>(&node.reserved));
}

void run_callback(callback& node, fence& f) noexcept {
  static_assert(offsetof(ufence_callback, reserved) == 0);
  auto* const c = reinterpret_cast<ufence_callback*>(&node);
  device::impl& d = impl_of(c->device);
  detail::call_module(d, "a callback", [&] { c->fn(c, reinterpret_cast<ufence_fence*>(&f)); });
  d.violations.flush(d);
}

int callback_add(ufence_device* device, ufence_fence* f, ufence_callback* node) noexcept {
  if (device == nullptr || f == nullptr || node == nullptr || node->fn == nullptr) return -EINVAL;
  device::impl& d = impl_of(device);
  if (node->device != nullptr && node->device != device) return -EINVAL;
  // relaxed: an early answer; the group refuses after the unload has closed it
  if (d.refuses_callbacks.load(mo::relaxed) != 0) return -ESHUTDOWN;
  if (node->device == nullptr) {
    ::new (static_cast<void*>(&node->reserved)) callback(&run_callback);
    node->device = device;
  }
  const std::error_code refused = fence_of(f).add_callback(node_of(*node), &d.callbacks);
  return refused == errno_code(EBUSY) ? -EINVAL : c_error(refused);
}

int callback_remove(ufence_fence* f, ufence_callback* node) noexcept {
  if (f == nullptr || node == nullptr) return -EINVAL;
  if (node->device == nullptr) return 0;  // was never added
  // The fence may be gone if the callback ran: the group knows.
  const result<bool> removed = impl_of(node->device).callbacks.remove(node_of(*node));
  return removed ? (*removed ? 1 : 0) : c_error(removed.error());
}

int fence_status(ufence_fence* f) noexcept { return f != nullptr ? fence_of(f).status() : -EINVAL; }

// --- The rest ---

void report(ufence_device* device, const char* text) noexcept {
  if (device != nullptr && text != nullptr) detail::report_driver(impl_of(device), 0, text);
}

std::int64_t now() noexcept { return now_ns(); }

const char* option(ufence_device* device, const char* name) noexcept {
  return device != nullptr && name != nullptr ? impl_of(device).option(name) : nullptr;
}

constexpr ufence_host table = {
    .size = sizeof(ufence_host),
    .abi_version = UFENCE_ABI_VERSION,
    .decide = &decide,
    .settle = &settle,
    .signal = &signal,
    .decide_up_to = &decide_up_to,
    .decide_notify = &decide_notify,
    .device_word = &device_word,
    .signal_locked = &signal_job_locked,
    .thread_start = &thread_start,
    .callback_add = &callback_add,
    .callback_remove = &callback_remove,
    .fence_status = &fence_status,
    .report = &report,
    .now_ns = &now,
    .option = &option,
};

}  // namespace

const ufence_host& detail::host_table() noexcept { return table; }

}  // namespace ufence

#include "ufence/issuer/process_end.h"

#include <algorithm>
#include <exception>
#include <new>
#include <vector>

#include "ufence/base/atomic.h"
#include "ufence/base/clock.h"
#include "ufence/base/fork.h"
#include "ufence/base/lock.h"
#include "ufence/base/tls.h"
#include "ufence/fence/thread_state.h"
#include "ufence/issuer/device_impl.h"
#include "ufence/issuer/module_scope.h"
#include "ufence/module/bounded_call.h"
#include "ufence/module/process_end.h"

namespace ufence::detail {
namespace {

// The devices that exit() stops. Never destroyed: it is read while the process ends.
struct stopped_at_end {
  mutex lock{lock_rank::leaf};
  std::vector<device_ref>* all UFENCE_GUARDED_BY(lock) = nullptr;
};
constinit stopped_at_end at_end;

device_ref take(std::uint64_t instance) noexcept {
  const scoped_lock hold(at_end.lock);
  if (at_end.all == nullptr) return nullptr;
  const auto found = std::ranges::find(*at_end.all, instance, [](const device_ref& d) {
    return d->instance();
  });
  if (found == at_end.all->end()) return nullptr;
  device_ref d = std::move(*found);
  at_end.all->erase(found);
  return d;
}

constinit atomic<std::uint32_t> is_ending{0};
// The generation of fork()s in which the newest device was loaded: what is older belongs to a parent.
constinit atomic<std::uint32_t> newest_generation{0};

// Functions are called that nobody needs any more: not by exit().
struct forgetting_tag;
using is_forgetting = per_thread<forgetting_tag, bool>;

struct end_call {
  std::uint64_t instance;
  const thread_state& caller;
  const module_scope* at;
};

void end_one(void* call) {
  const auto& c = *static_cast<const end_call*>(call);
  if (const device_ref d = take(c.instance)) d->internals().end_with_process(c.caller, c.at);
}

// exit() may come here several times for one device: the first time ends it.
void end_device(void* instance) {
  // relaxed: written by the thread that loads, long before
  if (is_forgetting::get() || newest_generation.load(mo::relaxed) != ::ufence::fork_generation()) return;
  // relaxed: only a hint that waits may never end
  is_ending.store(1, mo::relaxed);
  auto* const call = new (std::nothrow) end_call{.instance = reinterpret_cast<std::uintptr_t>(instance),
                                                 .caller = thread_state::mine(),
                                                 .at = module_scope::current()};
  if (call != nullptr && call_at_process_end(&end_one, call)) delete call;
}

void* number_of(const device::impl& d) noexcept {
  return reinterpret_cast<void*>(d.instance);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

bool does_process_end() noexcept {
  // relaxed: as above
  return is_ending.load(mo::relaxed) != 0;
}

bool call_at_process_end(void (*function)(void*), void* argument) noexcept {
  constexpr std::int64_t patience_ns = 10'000'000'000;
  auto* const on_another = new (std::nothrow) bounded_call;
  if (on_another == nullptr) return false;
  if (!on_another->call(function, argument, deadline_after(patience_ns))) return false;
  delete on_another;
  return true;
}

void stop_at_process_end(const device_ref& d) noexcept {
  device::impl& i = d->internals();
  if (!i.module->has_static_objects()) return;
  // relaxed: as where it is read
  newest_generation.store(::ufence::fork_generation(), mo::relaxed);
  try {
    const scoped_lock hold(at_end.lock);
    if (at_end.all == nullptr) at_end.all = new std::vector<device_ref>;
    at_end.all->push_back(d);
  } catch (const std::exception&) {
    return;
  }
  if (!at_process_end(&end_device, number_of(i), &i)) static_cast<void>(take(i.instance));
}

void stop_before_late_objects(device::impl& d) noexcept {
  bool is_registered = false;
  {
    const scoped_lock hold(at_end.lock);
    is_registered = at_end.all != nullptr &&
                    std::ranges::any_of(*at_end.all, [&d](const device_ref& other) {
                      return &other->internals() == &d;
                    });
  }
  // Without memory the first registration has to do.
  if (is_registered) static_cast<void>(at_process_end(&end_device, number_of(d), &d));
}

void forget_at_process_end(device::impl& d) noexcept {
  if (!take(d.instance)) return;
  is_forgetting::get() = true;
  forget_process_end(&d);
  is_forgetting::get() = false;
}

}  // namespace ufence::detail

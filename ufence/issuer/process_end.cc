#include "ufence/issuer/process_end.h"

#include <algorithm>
#include <exception>
#include <vector>

#include "ufence/base/lock.h"
#include "ufence/issuer/device_impl.h"
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

// exit() may come here several times for one device: the first time ends it.
void end_device(void* instance) {
  const device_ref d = take(reinterpret_cast<std::uintptr_t>(instance));
  if (d) d->internals().end_with_process();
}

void* number_of(const device::impl& d) noexcept {
  return reinterpret_cast<void*>(d.instance);  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

void stop_at_process_end(const device_ref& d) noexcept {
  device::impl& i = d->internals();
  if (!i.module->has_static_objects()) return;
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
  if (take(d.instance)) forget_process_end(&d);
}

}  // namespace ufence::detail

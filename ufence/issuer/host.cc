#include "ufence/issuer/host.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <new>
#include <utility>

#include "ufence/base/lock.h"
#include "ufence/base/own_thread.h"
#include "ufence/base/system_thread.h"
#include "ufence/fence/report.h"
#include "ufence/issuer/counters.h"
#include "ufence/issuer/device_impl.h"
#include "ufence/issuer/module_scope.h"
#include "ufence/issuer/process_end.h"
#include "ufence/module/loader.h"
#include "ufence/module/overdue.h"

namespace ufence {
namespace {

constinit atomic<std::uint64_t> next_instance{1};

// Modules that stay mapped when their host goes: their code may still call us.
constinit mutex left_lock{lock_rank::leaf};
constinit device::impl* left_mapped UFENCE_GUARDED_BY(left_lock) = nullptr;

void leave_mapped(device_ref d) noexcept {
  device::impl& i = d->internals();
  i.threads.abandon();
  const scoped_lock hold(left_lock);
  i.next_left = left_mapped;
  left_mapped = &i;
  i.self = std::move(d);
}

void report_left(device& d, const result<unload_report>& done) {
  std::string text = "stays mapped when its host goes";
  if (done) {
    for (const std::string& pin : done->pins) text += "; " + pin;
  }
  detail::report_driver(d.internals(), 0, text);
}

void tell(std::string* why, const std::string& path, const std::string& text) {
  if (why != nullptr) *why = path + ": " + text;
}

}  // namespace

struct host::impl {
  [[nodiscard]] result<device_ref> load(const std::string& path, const load_options& options,
                                        std::string* why);
  [[nodiscard]] std::vector<device_ref> all() const {
    const scoped_lock hold(lock);
    return devices;
  }
  [[nodiscard]] bool has(const device_ref& d) const noexcept {
    const scoped_lock hold(lock);
    return std::ranges::find(devices, d) != devices.end();
  }
  void forget(const device_ref& d) noexcept {
    const scoped_lock hold(lock);
    std::erase(devices, d);
  }
  std::size_t retry_deferred();
  // Unloads all; what can't go is left mapped.
  void close();
  [[nodiscard]] result<unload_report> unload(const device_ref& d, const unload_options& options) {
    if (!d || !has(d)) return failure(ENODEV);
    result<unload_report> done = d->internals().unload(options);
    if (d->internals().is_gone()) forget(d);
    return done;
  }

  detail::zero_counter async_unloads;  // threads that use this object
  mutable mutex lock{lock_rank::host};
  std::vector<device_ref> devices UFENCE_GUARDED_BY(lock);  // that are not unmapped
  std::size_t loading UFENCE_GUARDED_BY(lock) = 0;          // room is kept for these
};

namespace {

// While it lives, one more device finds room in the list: what is loaded is not lost for lack of
// memory.
class room_for_one {
 public:
  explicit room_for_one(host::impl& h) : host_(h) {
    const scoped_lock hold(host_.lock);
    host_.devices.reserve(host_.devices.size() + host_.loading + 1);
    ++host_.loading;
  }
  ~room_for_one() {
    const scoped_lock hold(host_.lock);
    --host_.loading;
  }
  room_for_one(const room_for_one&) = delete;
  room_for_one& operator=(const room_for_one&) = delete;

 private:
  host::impl& host_;
};

}  // namespace

namespace {

// While a file is loaded there is no device yet: its path says what it is about.
void report_slow_load(void* path, const char*, std::int64_t age_ns) noexcept {
  std::array<char, 4200> text;
  std::snprintf(
      text.data(), text.size(),
      "loading %s has not ended for %lld s: a constructor in it, or in a library that it needs, "
      "may not return",
      static_cast<const std::string*>(path)->c_str(),
      static_cast<long long>(age_ns / 1'000'000'000));
  send_report({.kind = report_kind::driver,
               .context = 0,
               .seqno = 0,
               .driver_name = {},
               .timeline_name = {},
               .text = text.data()});
}

std::expected<std::unique_ptr<loaded_module>, load_failure> load_file(const std::string& path,
                                                                      const load_options& options) {
  const detail::overdue_watch watch(&report_slow_load, const_cast<std::string*>(&path), "load()");
  return loaded_module::load(path, options.private_copy);
}

}  // namespace

result<device_ref> host::impl::load(const std::string& path, const load_options& options,
                                    std::string* why) {
  if (detail::module_scope::innermost() != nullptr) {
    tell(why, path, "a module can't be loaded from module code");
    return failure(EDEADLK);
  }
  auto loaded = load_file(path, options);
  // The one that is in the way may be gone by now.
  if (!loaded && loaded.error().error == EEXIST && retry_deferred() != 0) {
    loaded = load_file(path, options);
  }
  if (!loaded) {
    if (why != nullptr) *why = loaded.error().why;
    return failure(loaded.error().error);
  }
  const room_for_one room(*this);
  // relaxed: only the numbers have to differ
  auto made =
      std::make_unique<device::impl>(std::move(*loaded), next_instance.fetch_add(1, mo::relaxed));
  const auto d = std::make_shared<device>(std::move(made));
  d->internals().pending_max = options.pending_max;
  std::string problem;
  if (options.pending_max != 0 && d->internals().is_legacy()) {
    tell(why, path, "a legacy driver's jobs can't be limited");
    return failure(EOPNOTSUPP);
  }
  problem = d->internals().check_interface(options);
  if (!problem.empty()) {
    tell(why, path, problem);
    return failure(EPROTONOSUPPORT);
  }
  problem = d->internals().set_options(options);
  if (!problem.empty()) {
    tell(why, path, problem);
    return failure(EINVAL);
  }
  const int error = d->internals().start(problem);
  for (const std::string& note : d->internals().module->notes()) {
    detail::report_driver(d->internals(), 0, note);
  }
  if (error == 0) {
    d->internals().record(trace::event::module_load, 0, 0);
    detail::stop_at_process_end(d);
    const scoped_lock hold(lock);
    devices.push_back(d);
    return d;
  }
  constexpr std::int64_t patience_ns = 10'000'000'000;
  if (!d->internals().threads.join_all(deadline_after(patience_ns))) {
    problem += "; D-4: and it left threads running, so it stays mapped";
    leave_mapped(d);
  } else if (const auto left = d->internals().module->left_behind(); !left.empty()) {
    problem += "; D-4: and it stays mapped: " + left.front();
    leave_mapped(d);
  }
  tell(why, path, problem);
  return failure(-error);
}

std::size_t host::impl::retry_deferred() {
  std::size_t gone = 0;
  for (const device_ref& d : all()) {
    if (!d->internals().retry_unmapping()) continue;
    forget(d);
    ++gone;
  }
  return gone;
}

host::host() : impl_(std::make_unique<impl>()) {}

host::~host() {
  if (!detail::does_process_end()) {
    impl_->close();
    return;
  }
  const auto close = [](void* of) { static_cast<impl*>(of)->close(); };
  if (!detail::call_at_process_end(close, impl_.get())) static_cast<void>(impl_.release());
}

void host::impl::close() {
  static_cast<void>(async_unloads.wait_zero(no_deadline));
  constexpr std::int64_t patience_ns = 2'000'000'000;
  for (const device_ref& d : all()) {
    // relaxed: nothing of it is looked at then
    if (d->internals().has_ended.load(mo::relaxed) != 0) {
      leave_mapped(d);
      continue;
    }
    const result<unload_report> done = unload(
        d, {.policy = unload_policy::cancel, .give_up_ns = patience_ns, .bounds_calls = true});
    if (done && done->state == unload_state::unmapped) continue;
    // In a child of fork() the module is the parent's: nothing is wrong, and nothing can be done.
    if (done || done.error() != errno_code(EOWNERDEAD)) report_left(*d, done);
    leave_mapped(d);
  }
}

result<device_ref> host::load(const std::string& path, const load_options& options,
                              std::string* why) try {
  return impl_->load(path, options, why);
} catch (const std::bad_alloc&) {
  try {
    tell(why, path, "no memory");
  } catch (const std::bad_alloc&) {  // then without a word
  }
  return failure(ENOMEM);
}

result<device_ref> host::load(const std::string& path, std::string* why) {
  return load(path, load_options(), why);
}

result<unload_report> host::unload(const device_ref& d, const unload_options& options) {
  return impl_->unload(d, options);
}

namespace {

// An unload on a thread of its own.
struct async_unload {
  host::impl& at;
  device_ref device;
  unload_options options;
  unload_report* report;
  signaler done;

  static void* run(void* self) {
    system_thread::name_this("ufence-unload");
    const std::unique_ptr<async_unload> u(static_cast<async_unload*>(self));
    int error = 0;
    result<unload_report> how = u->at.unload(u->device, u->options);
    u->at.async_unloads.sub();  // the host may go
    if (!how) {
      error = -how.error().value();
    } else {
      if (how->state != unload_state::unmapped) error = -EBUSY;
      if (u->report != nullptr) *u->report = std::move(*how);
    }
    u->device.reset();
    u->done.signal(error);
    return nullptr;
  }
};

}  // namespace

result<fence_ref> host::unload_async(const device_ref& d, const unload_options& options,
                                     unload_report* report) {
  if (!d || !impl_->has(d)) return failure(ENODEV);
  result<new_fence> made = fence::create(fence::allocate_contexts(1), 1);
  if (!made) return failure(ENOMEM);
  auto* const u =
      new (std::nothrow) async_unload{*impl_, d, options, report, std::move(made->signal)};
  if (u == nullptr) {
    made->signal.signal(-ENOMEM);
    return failure(ENOMEM);
  }
  impl_->async_unloads.add();
  if (const int failed = detail::start_own_thread(&async_unload::run, u); failed != 0) {
    impl_->async_unloads.sub();
    u->done.signal(-failed);
    delete u;
    return failure(failed);
  }
  return std::move(made->fence);
}

std::string_view to_string(unload_state state) noexcept {
  switch (state) {
    case unload_state::refused: return "refused";
    case unload_state::pinned: return "pinned";
    case unload_state::deferred: return "deferred";
    case unload_state::unmapped: return "unmapped";
  }
  return "unknown";
}

std::string_view to_string(unload_policy policy) noexcept {
  switch (policy) {
    case unload_policy::drain: return "drain";
    case unload_policy::cancel: return "cancel";
    case unload_policy::refuse: return "refuse";
  }
  return "unknown";
}

std::string features_to_string(std::uint64_t features) {
  constexpr std::array<std::pair<std::uint64_t, std::string_view>, 8> names{{
      {UFENCE_F_ENABLE, "enable_signaling"},
      {UFENCE_F_POLL, "poll"},
      {UFENCE_F_DEADLINE, "set_deadline"},
      {UFENCE_F_RETIRE, "retire"},
      {UFENCE_F_CANCEL, "cancel"},
      {UFENCE_F_TIMELINE, "timeline"},
      {UFENCE_F_LEGACY, "legacy"},
      {UFENCE_F_OBSERVE, "observe"},
  }};
  std::string text;
  for (const auto& [bit, name] : names) {
    if ((features & bit) == 0) continue;
    text += text.empty() ? "" : ", ";
    text += name;
  }
  return text;
}

std::size_t host::retry_deferred() { return impl_->retry_deferred(); }

std::vector<device_ref> host::devices() const { return impl_->all(); }

}  // namespace ufence

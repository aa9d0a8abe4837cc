#include "ufence/issuer/watch.h"

#include <new>
#include <utility>
#include <vector>

#include "ufence/base/atomic.h"
#include "ufence/base/fork.h"
#include "ufence/base/lock.h"
#include "ufence/base/system_thread.h"
#include "ufence/module/file_watch.h"

namespace ufence {

struct module_watch::impl {
  impl(host& from, std::string watched_path, const watch_options& how)
      : at(from), path(std::move(watched_path)), options(how), generation(fork_generation()) {}

  static void* run(void* self);
  void reload();
  void retire(const device_ref& old);
  void tell(watch_event event) {
    if (!options.on_event) return;
    event.device = current();
    options.on_event(event);
  }
  [[nodiscard]] device_ref current() const {
    const scoped_lock hold(lock);
    return device;
  }

  host& at;
  const std::string path;
  const watch_options options;
  const std::uint32_t generation;  // of fork()s: a child does not have the thread
  std::unique_ptr<file_watch> file;
  system_thread thread;
  bool has_thread = false;
  std::vector<device_ref> left;  // builds that could not be unmapped; the thread's
  atomic<std::uint64_t> builds{1};
  mutable mutex lock{lock_rank::leaf};
  device_ref device UFENCE_GUARDED_BY(lock);
};

void* module_watch::impl::run(void* self) {
  auto& w = *static_cast<impl*>(self);
  system_thread::name_this("ufence-reload");
  for (;;) {
    const result<std::size_t> changed = w.file->wait(no_deadline);
    if (!changed && changed.error() == errno_code(ECANCELED)) return nullptr;
    try {
      if (changed) w.reload();
    } catch (const std::bad_alloc&) {  // the next change comes as well
    }
  }
}

void module_watch::impl::reload() {
  std::string why;
  result<device_ref> loaded = at.load(path, options.load, &why);
  if (!loaded) {
    if (why.empty()) why = path + ": " + loaded.error().message();
    return tell({.what = watch_event::kind::refused, .device = {}, .why = std::move(why), .report = {}});
  }
  device_ref old = std::move(*loaded);
  {
    const scoped_lock hold(lock);
    std::swap(device, old);
  }
  // relaxed: a number for people
  builds.fetch_add(1, mo::relaxed);
  tell({.what = watch_event::kind::loaded, .device = {}, .why = {}, .report = {}});
  left.push_back(std::move(old));
  // Those of before are tried again: what held them may be gone.
  for (const device_ref& d : std::exchange(left, {})) retire(d);
}

void module_watch::impl::retire(const device_ref& old) {
  result<unload_report> done = at.unload(old, {.policy = options.policy,
                                               .drain_deadline_ns = deadline_after(options.drain_ns),
                                               .give_up_ns = options.give_up_ns,
                                               .bounds_calls = true});
  if (!done && done.error() == errno_code(ENODEV)) return;  // somebody else has unloaded it
  watch_event event{.what = watch_event::kind::unloaded, .device = {}, .why = {}, .report = {}};
  if (!done || done->state != unload_state::unmapped) {
    left.push_back(old);
    event.what = watch_event::kind::stays;
    event.why = !done ? done.error().message() : done->pins.empty() ? "" : done->pins.front();
  }
  if (done) event.report = std::move(*done);
  tell(std::move(event));
}

module_watch::module_watch(std::unique_ptr<impl> state) noexcept : impl_(std::move(state)) {}

module_watch::~module_watch() {
  if (!impl_->has_thread || impl_->generation != fork_generation()) return;
  impl_->file->stop();
  static_cast<void>(impl_->thread.join(no_deadline));
}

device_ref module_watch::device() const { return impl_->current(); }

result<fence_ref> module_watch::submit(const job_request& request) {
  for (device_ref before;;) {
    device_ref d = impl_->current();
    result<fence_ref> f = d->submit(request);
    // Gone, and there is no newer one: somebody else has unloaded it.
    if (f || f.error() != errno_code(ENODEV) || d == before) return f;
    before = std::move(d);
  }
}

std::uint64_t module_watch::builds() const noexcept {
  // relaxed: a number for people
  return impl_->builds.load(mo::relaxed);
}

result<std::unique_ptr<module_watch>> host::watch(const std::string& path,
                                                  const watch_options& options,
                                                  std::string* why) try {
  auto state = std::make_unique<module_watch::impl>(*this, path, options);
  // First, so that no change is missed.
  result<std::unique_ptr<file_watch>> file = file_watch::create({path}, options.settle_ns);
  if (!file) return failure(file.error().value());
  state->file = std::move(*file);
  result<device_ref> loaded = load(path, options.load, why);
  if (!loaded) return failure(loaded.error().value());
  {
    const scoped_lock hold(state->lock);
    state->device = *loaded;
  }
  module_watch::impl* const made = state.get();
  auto watch = std::make_unique<module_watch>(std::move(state));
  if (const int failed = made->thread.start(&module_watch::impl::run, made); failed != 0) {
    static_cast<void>(unload(*loaded, {.policy = unload_policy::cancel}));
    return failure(failed);
  }
  made->has_thread = true;
  return watch;
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

std::string_view to_string(watch_event::kind what) noexcept {
  switch (what) {
    case watch_event::kind::loaded: return "loaded";
    case watch_event::kind::refused: return "refused";
    case watch_event::kind::unloaded: return "unloaded";
    case watch_event::kind::stays: return "stays";
  }
  return "unknown";
}

}  // namespace ufence

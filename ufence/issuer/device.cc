// The public face of a module instance.
#include <algorithm>
#include <utility>

#include "ufence/base/fork.h"
#include "ufence/issuer/device_impl.h"
#include "ufence/issuer/module_scope.h"
#include "ufence/module/overdue.h"
#include "ufence/module/validate.h"
#include "ufence/trace/hooks.h"

namespace ufence {

device::impl::impl(std::unique_ptr<loaded_module> loaded, std::uint64_t number)
    : module(std::move(loaded)),
      driver(&module->driver()),
      ops(driver->ops),
      features(driver->features),
      driver_name(driver->name),
      timeline_name(driver->timeline != nullptr ? driver->timeline : "queue"),
      description(driver->description != nullptr ? driver->description : ""),
      path(module->path()),
      instance(number),
      generation(fork_generation()) {
  const detail::driver_extras extras = detail::extras_of(*driver);
  interface_version = extras.interface_version;
  if (extras.interface_name != nullptr) interface_name = extras.interface_name;
  for (const ufence_option& o : extras.options) {
    driver_options.push_back({o.name, o.value, o.description != nullptr ? o.description : ""});
  }
  set_ops();
}

bool device::impl::has_interface(std::string_view name, std::uint32_t version) const noexcept {
  return !name.empty() && interface_name == name && interface_version >= version;
}

std::string device::impl::check_interface(const load_options& wanted) {
  if (wanted.interface_name.empty() ||
      has_interface(wanted.interface_name, wanted.interface_version)) {
    return {};
  }
  return "the interface " + wanted.interface_name + " " + std::to_string(wanted.interface_version) +
         " is wanted, and the driver " +
         (interface_name.empty()
              ? "does not say what its opcodes mean"
              : "has " + interface_name + " " + std::to_string(interface_version));
}

std::string device::impl::set_options(const load_options& wanted) {
  for (auto given = wanted.options.begin(); given != wanted.options.end(); ++given) {
    const auto& [name, value] = *given;
    if (std::any_of(wanted.options.begin(), given,
                    [&](const auto& o) { return o.first == name; })) {
      return "the option " + name + " is given twice";
    }
    const auto found = std::ranges::find(driver_options, name, &driver_option::name);
    if (found != driver_options.end()) {
      found->value = value;
      continue;
    }
    if (driver_options.empty()) return "the driver has no options, so not " + name;
    std::string text = "the driver has no option " + name + "; it has";
    for (const driver_option& o : driver_options) text += " " + o.name;
    return text;
  }
  return {};
}

const char* device::impl::option(const char* name) const noexcept {
  const auto found =
      std::ranges::find(driver_options, std::string_view(name), &driver_option::name);
  return found != driver_options.end() ? found->value.c_str() : nullptr;
}

device::impl::~impl() = default;

int device::impl::start(std::string& why) {
  int error = 0;
  {
    const detail::overdue_watch watch(&detail::report_overdue, this, "init()");
    error = detail::call_module(*this, "init()", -EIO, [this] {
      return driver->init(&detail::host_table(), this, &state);
    });
  }
  if (error > 0 || error < -4095) {
    violations.note(detail::violation::bad_error, 0);
    error = -EINVAL;
  }
  violations.flush(*this);
  if (error != 0) {
    why = "init() failed: " + std::generic_category().message(-error);
    threads.close();
    return error;
  }
  const bool has_line_data =
      is_timeline() && (ops->request_notify != nullptr || has(UFENCE_F_DEADLINE) ||
                        ops->retire_timeline != nullptr || device_word != nullptr);
  result<timeline_issuer> made =
      timeline_issuer::create({.driver_name = driver_name,
                               .timeline_name = timeline_name,
                               .data = has_line_data ? &line_data : nullptr,
                               .device_word = device_word,
                               .made_by = driver});
  if (!made) {
    why = "no memory for its timeline";
    threads.close();
    detail::call_module(*this, "stop()", [this] { driver->stop(state); });
    constexpr std::int64_t patience_ns = 10'000'000'000;
    if (threads.join_all(deadline_after(patience_ns))) {
      detail::call_module(*this, "exit()", [this] { driver->exit(state); });
    }
    return -made.error().value();
  }
  line.emplace(std::move(*made));
  if (has_line_data) unretired.add();
  context = line->line()->context();
  // relaxed: nobody submits yet
  makes_late_objects.store(module->has_static_objects() ? 1 : 0, mo::relaxed);
  // [ISSUER.20] release: the timeline is there; pairs with [ISSUER.21]
  has_line.store(1, mo::release);
  const scoped_lock hold(lock);
  is_accepting = true;
  return 0;
}

std::error_code device::impl::observe(const fence_ref& f) noexcept {
  if (!f) return errno_code(EINVAL);
  if (!has(UFENCE_F_OBSERVE)) return errno_code(EOPNOTSUPP);
  if (generation != fork_generation()) return errno_code(EOWNERDEAD);
  {
    const scoped_lock hold(lock);
    if (!is_accepting) return errno_code(ENODEV);
    submitters.add();
  }
  const detail::counted here(submitters);
  if (!gate.enter()) return errno_code(ENODEV);
  int error = detail::call_module(*this, "observe()", -EIO, [&] {
    return ops->observe(state, reinterpret_cast<ufence_fence*>(f.get()));
  });
  gate.leave();
  if (error > 0 || error < -4095) {
    violations.note(detail::violation::bad_error, 0);
    error = -EINVAL;
  }
  violations.flush(*this);
  return error == 0 ? std::error_code() : errno_code(-error);
}

device::device(std::unique_ptr<impl> state) noexcept : impl_(std::move(state)) {}
device::~device() = default;

result<fence_ref> device::submit(const job_request& request) { return impl_->submit(request); }

std::error_code device::observe(const fence_ref& f) { return impl_->observe(f); }

std::error_code device::cancel(const fence_ref& f) {
  return f ? impl_->cancel(*f) : errno_code(EINVAL);
}
result<fence_ref> device::room() { return impl_->room(); }

std::string_view device::driver_name() const noexcept { return impl_->driver_name; }
std::string_view device::timeline_name() const noexcept { return impl_->timeline_name; }
std::string_view device::description() const noexcept { return impl_->description; }
std::string_view device::interface_name() const noexcept { return impl_->interface_name; }
std::uint32_t device::interface_version() const noexcept { return impl_->interface_version; }
bool device::has_interface(std::string_view name, std::uint32_t version) const noexcept {
  return impl_->has_interface(name, version);
}
std::span<const driver_option> device::options() const noexcept { return impl_->driver_options; }
std::string_view device::path() const noexcept { return impl_->path; }
std::uint64_t device::context() const noexcept { return impl_->context; }
std::uint64_t device::instance() const noexcept { return impl_->instance; }
std::uint64_t device::features() const noexcept { return impl_->features; }
bool device::is_independent() const noexcept { return !impl_->is_legacy(); }

std::vector<std::string> device::notes() const { return impl_->module->notes(); }

device_stats device::stats() const noexcept {
  // relaxed: counters that go on counting
  return {.jobs_submitted = impl_->submitted.load(mo::relaxed),
          .jobs_pending = impl_->pending.count(),
          .retired_by_settlement = impl_->retired_by_settlement.load(mo::relaxed),
          .retired_by_last_op = impl_->retired_by_last_op.load(mo::relaxed),
          .entries = impl_->gate.inside()};
}

void device::impl::record(trace::event what, int step, int error) const noexcept {
  if (!trace::is_recording()) return;
  trace::record({.time_ns = 0,
                 .context = instance,
                 .seqno = static_cast<std::uint64_t>(step),
                 .a = 0,
                 .b = 0,
                 .error = error,
                 .kind = what,
                 .more = 0},
                driver_name, path);
}

}  // namespace ufence

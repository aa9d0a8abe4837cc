#include <algorithm>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "ufence/c/convert.h"
#include "ufence/c/handles.h"
#include "ufence/issuer/host.h"

using namespace ufence;
using namespace ufence::c;

struct ufence_module_host {
  host loads;
};

namespace {

// Lines of text as one.
template <std::size_t Size>
void join(const std::vector<std::string>& lines, char (&to)[Size]) noexcept {
  std::size_t written = 0;
  for (const std::string& line : lines) {
    if (written != 0) written += copy_out("; ", to + written, Size - written);
    if (written >= Size) return;
    written += copy_out(line, to + written, Size - written);
    if (written >= Size) return;
  }
}

// The struct as the caller knows it; `size` was looked at.
void write_report(const unload_report& from, ufence_unload_report* to) noexcept {
  ufence_unload_report report{};
  report.size = to->size;
  report.state = static_cast<ufence_unload_state>(from.state);
  report.last_step = from.last_step;
  report.jobs_drained = from.jobs_drained;
  report.jobs_cancelled = from.jobs_cancelled;
  report.callbacks_removed = from.callbacks_removed;
  report.duration_ns = from.duration_ns;
  join(from.pins, report.pins);
  join(from.kept, report.kept);
  write_known(report, to);
}

static_assert(static_cast<int>(unload_state::refused) == UFENCE_UNLOAD_REFUSED);
static_assert(static_cast<int>(unload_state::pinned) == UFENCE_UNLOAD_PINNED);
static_assert(static_cast<int>(unload_state::deferred) == UFENCE_UNLOAD_DEFERRED);
static_assert(static_cast<int>(unload_state::unmapped) == UFENCE_UNLOAD_UNMAPPED);
static_assert(static_cast<int>(unload_policy::drain) == UFENCE_UNLOAD_DRAIN);
static_assert(static_cast<int>(unload_policy::cancel) == UFENCE_UNLOAD_CANCEL);
static_assert(static_cast<int>(unload_policy::refuse) == UFENCE_UNLOAD_REFUSE);

}  // namespace

int ufence_module_host_create(ufence_module_host** made) {
  try {
    *made = new ufence_module_host;
    return 0;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

void ufence_module_host_destroy(ufence_module_host* h) { delete h; }

int ufence_module_load_with(ufence_module_host* h, const char* path,
                            const ufence_load_options* given, ufence_module** module, char* why,
                            size_t why_size) {
  ufence_load_options options;
  if (!read_options(given, options)) {
    copy_out("the options are not known to this version of the library", why, why_size);
    return -EINVAL;
  }
  const bool has_all = options.options_count == 0 || options.options != nullptr;
  const std::span values(options.options, has_all ? options.options_count : 0);
  const auto is_incomplete = [](const ufence_option_value& o) { return o.name == nullptr || o.value == nullptr; };
  if (!has_all || std::ranges::any_of(values, is_incomplete)) {
    copy_out("an option has no name or no value", why, why_size);
    return -EINVAL;
  }
  try {
    auto handle = std::make_unique<ufence_module>();
    std::string reason;
    load_options wanted{.private_copy = options.private_copy != 0,
                        .pending_max = options.pending_max,
                        .interface_name = options.interface_name != nullptr ? options.interface_name : "",
                        .interface_version = options.interface_version};
    for (const ufence_option_value& o : values) {
      wanted.options.emplace_back(o.name, o.value);
    }
    result<device_ref> loaded = h->loads.load(path, wanted, &reason);
    if (!loaded) {
      copy_out(reason, why, why_size);
      return negative(loaded.error());
    }
    handle->device = std::move(*loaded);
    *module = handle.release();
    return 0;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

int ufence_module_load(ufence_module_host* h, const char* path, ufence_module** module, char* why,
                       size_t why_size) {
  return ufence_module_load_with(h, path, nullptr, module, why, why_size);
}

long ufence_module_host_list(ufence_module_host* h, ufence_module** modules, size_t n) {
  try {
    const std::vector<device_ref> devices = h->loads.devices();
    std::vector<std::unique_ptr<ufence_module>> handles;
    for (const device_ref& device : devices) {
      if (handles.size() == n) break;
      handles.push_back(std::make_unique<ufence_module>(device));
    }
    for (auto& handle : handles) *modules++ = handle.release();
    return static_cast<long>(devices.size());
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

size_t ufence_module_host_retry_deferred(ufence_module_host* h) {
  return h->loads.retry_deferred();
}

ufence_module* ufence_module_get(ufence_module* module) {
  return new (std::nothrow) ufence_module(*module);
}

void ufence_module_put(ufence_module* module) { delete module; }

size_t ufence_module_driver_name(const ufence_module* module, char* buffer, size_t size) {
  return copy_out(module->device->driver_name(), buffer, size);
}

size_t ufence_module_timeline_name(const ufence_module* module, char* buffer, size_t size) {
  return copy_out(module->device->timeline_name(), buffer, size);
}

size_t ufence_module_path(const ufence_module* module, char* buffer, size_t size) {
  return copy_out(module->device->path(), buffer, size);
}

long ufence_module_note(const ufence_module* module, size_t index, char* buffer, size_t size) {
  try {
    const std::vector<std::string> notes = module->device->notes();
    if (index >= notes.size()) return -ENOENT;
    return static_cast<long>(copy_out(notes[index], buffer, size));
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

uint64_t ufence_module_context(const ufence_module* module) { return module->device->context(); }
uint64_t ufence_module_instance(const ufence_module* module) { return module->device->instance(); }
uint64_t ufence_module_features(const ufence_module* module) { return module->device->features(); }
int ufence_module_is_independent(const ufence_module* module) {
  return module->device->is_independent() ? 1 : 0;
}

int ufence_module_get_stats(const ufence_module* module, ufence_module_stats* to) {
  if (module == nullptr || !has_room(to)) return -EINVAL;
  const device_stats from = module->device->stats();
  write_known({.size = to->size,
               .jobs_submitted = from.jobs_submitted,
               .jobs_pending = from.jobs_pending,
               .retired_by_settlement = from.retired_by_settlement,
               .retired_by_last_op = from.retired_by_last_op,
               .entries = from.entries},
              to);
  return 0;
}

int ufence_module_observe(ufence_module* module, ufence_fence* f) {
  return negative(module->device->observe(borrowed(f)));
}

int ufence_module_submit(ufence_module* module, const ufence_job_request* given, ufence_fence** f) {
  ufence_job_request request;
  if (given == nullptr || !read_options(given, request)) return -EINVAL;
  try {
    return hand_over(module->device->submit(
                         {.opcode = request.opcode,
                          .args = {static_cast<const std::byte*>(request.args), request.args_size},
                          .in_fences = lent(request.in_fences, request.in_fence_count),
                          .run_after_failed_in_fence = request.run_after_failed_in_fence != 0}),
                     f);
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

int ufence_module_unload(ufence_module_host* h, ufence_module* module,
                         const ufence_unload_options* given, ufence_unload_report* report) {
  ufence_unload_options options;
  if (!read_options(given, options) || report == nullptr ||
      report->size < sizeof report->size + sizeof report->state ||
      options.policy > UFENCE_UNLOAD_REFUSE) {
    return -EINVAL;
  }
  unload_options wanted{.policy = static_cast<unload_policy>(options.policy)};
  if (options.drain_deadline_ns != 0) wanted.drain_deadline_ns = options.drain_deadline_ns;
  if (options.give_up_ns != 0) wanted.give_up_ns = options.give_up_ns;
  wanted.bounds_calls = options.bounds_calls != 0;
  try {
    const result<unload_report> done = h->loads.unload(module->device, wanted);
    if (!done) return negative(done.error());
    write_report(*done, report);
    return 0;
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

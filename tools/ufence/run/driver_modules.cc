#include "tools/ufence/run/driver_modules.h"

#include <fmt/format.h>
#include <limits.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <utility>

#include "drivers/cpu/cpu.h"
#include "ufence/base/clock.h"
#include "ufence/fence/fence.h"

namespace ufence::tool {
namespace {

// Between two attempts to unload what is still mapped.
constexpr std::chrono::milliseconds retry_interval{1};
// A drain ends by itself unless a read hangs: then it becomes a cancel. Ctrl-C waits for that.
constexpr std::int64_t reload_drain_ns = 700'000'000;
constexpr std::int64_t reload_give_up_ns = 20'000'000'000;
constexpr std::int64_t final_drain_ns = 10'000'000'000;
constexpr std::int64_t final_give_up_ns = 5'000'000'000;

std::string program_directory() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  const std::string_view program(path.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  const std::size_t slash = program.rfind('/');
  return slash == std::string_view::npos ? "." : std::string(program.substr(0, slash));
}

}  // namespace

std::string driver_directory(const std::string& option) {
  if (!option.empty()) return option;
  const char* const variable = std::getenv("UFENCE_DRIVER_PATH");
  if (variable != nullptr && *variable != '\0') return variable;
  return program_directory() + "/../lib/ufence/drivers";
}

driver_modules::driver_modules(std::string directory, unsigned workers, bool copies)
    : directory_(std::move(directory)), workers_(workers), copies_(copies) {}

std::expected<std::unique_ptr<instance>, std::string> driver_modules::load(driver d) {
  const std::string path = fmt::format("{}/{}.so", directory_, name_of(d));
  std::string why;
  result<device_ref> loaded = host_.load(path, {.private_copy = copies_}, &why);
  if (!loaded) {
    return std::unexpected(why.empty() ? fmt::format("{}: {}", path, loaded.error().message())
                                       : why);
  }
  {
    const std::scoped_lock lock(mutex_);
    ++totals_.loads;
  }
  auto made = std::make_unique<instance>(*std::move(loaded), d);
  if (auto configured = configure(*made); !configured) {
    unload_for_good(*made, unload_policy::cancel);
    return std::unexpected(fmt::format("{}: {}", path, configured.error()));
  }
  return made;
}

std::expected<void, std::string> driver_modules::configure(instance& i) {
  if (i.which != driver::cpu) return {};
  const ufence_cpu_configure wanted{.workers = workers_, .reserved = 0};
  result<fence_ref> done = i.device->submit({.opcode = UFENCE_CPU_CONFIGURE,
                                             .args = std::as_bytes(std::span(&wanted, 1)),
                                             .in_fences = {}});
  std::error_code failed = done ? (*done)->wait() : done.error();
  if (!failed && (*done)->error() != 0) failed = errno_code(-(*done)->error());
  if (!failed) {
    i.jobs_of_load = 1;
    return {};
  }
  return std::unexpected(fmt::format("{} workers: {}", workers_, failed.message()));
}

bool driver_modules::unload_for_reload(instance& i, unload_policy policy) {
  const unload_report how = unload(i, policy, reload_drain_ns, reload_give_up_ns);
  if (how.state != unload_state::unmapped) return false;
  account(i, how);
  return true;
}

bool driver_modules::unload_for_good(instance& i, unload_policy policy) {
  const unload_report how = unload(i, policy, final_drain_ns, final_give_up_ns);
  account(i, how);
  return how.state == unload_state::unmapped;
}

// The last attempt's report, with the time of all.
unload_report driver_modules::unload(instance& i, unload_policy policy, std::int64_t drain_ns,
                                     std::int64_t give_up_ns) {
  // relaxed: see instance
  i.is_unloading.store(true, mo::relaxed);
  const std::int64_t give_up_at = deadline_after(give_up_ns);
  unload_options options{
      .policy = policy, .drain_deadline_ns = deadline_after(drain_ns), .give_up_ns = give_up_ns};
  unload_report last;
  std::int64_t took_ns = 0;
  for (;;) {
    result<unload_report> report = host_.unload(i.device, options);
    if (report) {
      last = *std::move(report);
    } else {
      last = {.state = report.error() == errno_code(ENODEV) ? unload_state::unmapped
                                                            : unload_state::pinned,
              .pins = {report.error().message()}};
    }
    took_ns += last.duration_ns;
    if (last.state == unload_state::unmapped || now_ns() >= give_up_at) break;
    std::this_thread::sleep_for(retry_interval);
  }
  last.duration_ns = took_ns;
  return last;
}

void driver_modules::account(instance& i, const unload_report& how) {
  const device_stats stats = i.device->stats();
  const std::scoped_lock lock(mutex_);
  ++totals_.unloads;
  totals_.unload_ns.push_back(how.duration_ns);
  totals_.retired_by_settlement += stats.retired_by_settlement;
  totals_.retired_by_last_op += stats.retired_by_last_op;
  if (how.state == unload_state::unmapped) {
    i.is_gone = true;
    ++totals_.unmapped;
    totals_.fences_outliving += i.note_unmapped();
    return;
  }
  if (how.state == unload_state::deferred) {
    ++totals_.deferred;
    return;
  }
  ++totals_.pinned;
  for (const std::string& pin : how.pins) {
    totals_.pins.push_back(fmt::format("{} can't be unmapped: {}", i.device->path(), pin));
  }
}

}  // namespace ufence::tool

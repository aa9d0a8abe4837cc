#include "tools/ufence/run/held_check.h"

#include <fmt/format.h>

#include <cstddef>

#include "ufence/fence/timeline.h"

namespace ufence::tool {
namespace {

constexpr std::size_t told_max = 10;

// The fault that it has, or null.
const char* inconsistency(const held_fence& held, std::int64_t begin_ns, std::int64_t end_ns) {
  fence& f = *held.fence;
  if (!f.is_signaled()) return "is not signaled";
  if (f.error() != held.error) return "has another error than it had";
  if (f.status() != (held.error == 0 ? 1 : held.error)) return "has a status that is not its error";
  if (f.timestamp_ns() < begin_ns) return "was signaled before the run";
  if (f.timestamp_ns() > end_ns) return "was signaled after the run";
  if (!held.from->device) return nullptr;  // a reader process's: what it is called is known there
  if (f.owner() == nullptr) return "is of no timeline";
  if (f.driver_name() != name_of(held.from->which)) return "has another driver name";
  if (f.driver_name() != held.from->device->driver_name()) return "has another driver name";
  if (!f.timeline_name().starts_with(client_name)) return "is of another timeline than a client's";
  return nullptr;
}

}  // namespace

std::vector<std::string> find_inconsistent(std::span<const held_fence> fences,
                                           std::int64_t begin_ns, std::int64_t end_ns) {
  std::vector<std::string> told;
  for (const held_fence& held : fences) {
    const char* const what = inconsistency(held, begin_ns, end_ns);
    if (what == nullptr) continue;
    told.push_back(fmt::format("fence {} {}", held.fence->describe(), what));
    if (told.size() == told_max) break;
  }
  return told;
}

}  // namespace ufence::tool

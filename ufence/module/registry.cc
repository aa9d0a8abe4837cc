#include "ufence/module/registry.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>

#include "ufence/base/fork.h"
#include "ufence/base/lock.h"

namespace ufence::detail {
namespace {

constexpr std::size_t reservations_max = 256;

// Constant-initialized and never destroyed: modules may be unloaded while the process ends.
struct module_list {
  mutex lock{lock_rank::leaf};
  module_record* first UFENCE_GUARDED_BY(lock) = nullptr;
  std::uint64_t spellings UFENCE_GUARDED_BY(lock) = 0;
  std::array<address_range, reservations_max> reserved UFENCE_GUARDED_BY(lock){};
  std::size_t next_reserved UFENCE_GUARDED_BY(lock) = 0;
};
constinit module_list modules;

std::size_t length(address_range range) noexcept { return range.end - range.begin; }
void* address(address_range range) noexcept {
  return reinterpret_cast<void*>(range.begin);  // NOLINT(performance-no-int-to-ptr)
}

module_record** find_slot(const module_record* record) noexcept UFENCE_REQUIRES(modules.lock) {
  module_record** slot = &modules.first;
  while (*slot != nullptr && *slot != record) slot = &(*slot)->next;
  return slot;
}

module_record* find_file(file_id id) noexcept UFENCE_REQUIRES(modules.lock) {
  module_record* r = modules.first;
  while (r != nullptr && r->stamp.id != id) r = r->next;
  return r;
}

// Whether the mapping that an orphan was left for has gone. An unreadable list says no.
bool has_gone(address_range range, const std::string& mapped_as) {
  const result<std::string> found = mapped_file(range, mapped_as);
  return found && found->empty();
}

// Drops the orphan of this file if its mapping has gone.
void collect_orphan(file_id id) {
  address_range range;
  std::string mapped_as;
  {
    const scoped_lock hold(modules.lock);
    const module_record* r = find_file(id);
    if (r == nullptr || !r->is_orphan) return;
    range = r->range;
    mapped_as = r->mapped_as;
  }
  if (!has_gone(range, mapped_as)) return;
  const scoped_lock hold(modules.lock);
  module_record* r = find_file(id);
  if (r == nullptr || !r->is_orphan || r->range.begin != range.begin) return;
  *find_slot(r) = r->next;
  delete r;
}

}  // namespace

std::expected<module_record*, std::string> enter_module(const file_stamp& stamp) {
  collect_orphan(stamp.id);
  auto record = std::make_unique<module_record>();
  record->stamp = stamp;
  record->generation = ::ufence::fork_generation();
  const scoped_lock hold(modules.lock);
  if (const module_record* const there = find_file(stamp.id)) {
    std::string why = there->generation != ::ufence::fork_generation()
                          ? "this file was loaded before a fork(), by a process of which this one is "
                            "the child: it is mapped, and not this process's to unload"
                      : there->why_here.empty() ? "this file is loaded already"
                                                : "this file is still mapped: " + there->why_here;
    if (!stamp.is_same_content(there->stamp)) {
      why += "; it was changed in place since: write a new file and rename it over the old one, or "
             "load a private copy";
    }
    return std::unexpected(std::move(why));
  }
  record->next = modules.first;
  return modules.first = record.release();
}

void tell_of_module(module_record* record, std::string text) noexcept {
  const scoped_lock hold(modules.lock);
  record->why_here.swap(text);
}

void forget_module(module_record* record) noexcept {
  {
    const scoped_lock hold(modules.lock);
    *find_slot(record) = record->next;
  }
  delete record;
}

void orphan_module(module_record* record) noexcept {
  const scoped_lock hold(modules.lock);
  record->is_orphan = true;
}

std::uint64_t next_spelling() noexcept {
  const scoped_lock hold(modules.lock);
  return ++modules.spellings;
}

void reserve_range(address_range range) noexcept {
  void* const at = ::mmap(address(range), length(range), PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (at == MAP_FAILED) return;  // somebody else was faster
  if (at != address(range)) {    // a kernel before 4.17 took the address for a hint
    ::munmap(at, length(range));
    return;
  }
  const scoped_lock hold(modules.lock);
  address_range& oldest = modules.reserved[modules.next_reserved++ % reservations_max];
  if (length(oldest) != 0) ::munmap(address(oldest), length(oldest));
  oldest = range;
}

bool is_reserved(address_range range) noexcept {
  const scoped_lock hold(modules.lock);
  return std::ranges::any_of(modules.reserved, [range](const address_range& r) {
    return r.begin <= range.begin && range.end <= r.end;
  });
}

}  // namespace ufence::detail

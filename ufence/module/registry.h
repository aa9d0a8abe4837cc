// The process-wide list of module files that are mapped, or about to be: process-wide because the
// dynamic linker's list is.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "ufence/base/fd.h"
#include "ufence/module/file_stamp.h"
#include "ufence/module/maps.h"

namespace ufence::detail {

/// A module file that is, or may be, mapped. Guarded by the list's lock, but for what its loader alone
/// reads and writes.
struct module_record {
  file_stamp stamp;            // of the file when it was checked; constant
  std::uint32_t generation = 0;  // of fork()s; constant
  unique_fd fd;                // the checked file, as long as its loader has it; loader only
  std::string linker_name;     // what it was opened as; loader only
  address_range range;         // loader only, until it is orphaned
  std::string mapped_as;       // what /proc/self/maps calls its file; likewise
  std::string why_here;        // what became of its unload; empty: it is loaded
  bool is_orphan = false;      // its loader is gone, its mapping is not
  module_record* next = nullptr;
};

/// Enters a file, or says why not: it is there already and mapped.
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::expected<module_record*, std::string> enter_module(const file_stamp& stamp);
/// Says what became of a module's unload, for those that load its file again.
void tell_of_module(module_record* record, std::string text) noexcept;
/// Takes a record off the list and frees it.
void forget_module(module_record* record) noexcept;
/// Leaves a record of a module that stays mapped; it is dropped when its file is loaded again and its
/// mapping has gone.
void orphan_module(module_record* record) noexcept;

/// A number that was not returned before.
[[nodiscard]] std::uint64_t next_spelling() noexcept;

/// Keeps an unmapped range from being used again, so that late calls fault. The newest 256 are kept.
void reserve_range(address_range range) noexcept;
[[nodiscard]] bool is_reserved(address_range range) noexcept;

}  // namespace ufence::detail

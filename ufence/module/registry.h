// The process-wide list of module files that are mapped, or about to be: process-wide because the
// dynamic linker's list is.
#pragma once

#include <cstdint>
#include <string>

#include "ufence/module/maps.h"
#include "ufence/module/module_file.h"

namespace ufence::detail {

/// A module file that is, or may be, mapped. Guarded by the list's lock, but for what its loader alone
/// reads and writes.
struct module_record {
  file_id id;
  std::string linker_name;   // what it was opened as; loader only
  address_range range;       // loader only, until it is orphaned
  std::string mapped_as;     // what /proc/self/maps calls its file; likewise
  bool is_orphan = false;    // its loader is gone, its mapping is not
  module_record* next = nullptr;
};

/// Enters a file, or returns nullptr: it is there already and mapped.
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] module_record* enter_module(file_id id);
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

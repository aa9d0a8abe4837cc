// The rules for a driver's object file, applied to what read_elf() found.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ufence/module/elf_file.h"
#include "ufence/module/inspect.h"

namespace ufence::detail {

/// What the loader needs to know besides: addresses are relative to where the object is loaded.
struct module_layout {
  std::uint64_t begin = 0;  // of its memory, down to a page
  std::uint64_t end = 0;    // up to a page
  std::uint64_t driver_at = 0;    // the entry symbol
  std::uint64_t driver_size = 0;
  bool has_static_objects = false;  // with destructors, or other functions for the end of the process
  bool opens_libraries = false;     // by dlopen()
};

/// Checks D-1, D-2, D-13, D-14 and D-21 to D-23, and for damage; fills everything of `info` but its
/// path and what it says of libraries.
/// @param layout  if not null, is filled for a loadable module
/// @return  what was read, if it could be
/// Allocates: may throw std::bad_alloc.
std::optional<elf_file> check_elf(byte_source& source, module_info& info, module_layout* layout);

}  // namespace ufence::detail

// The rules for a driver's object file, applied to what read_elf() found.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ufence/module/elf_file.h"
#include "ufence/module/inspect.h"

namespace ufence::detail {

/// Other facts that the loader needs: addresses are relative to where the object is loaded.
struct module_layout {
  std::uint64_t begin = 0;  // of its memory, down to a page
  std::uint64_t end = 0;    // up to a page
  std::uint64_t driver_at = 0;    // the entry symbol
  std::uint64_t driver_size = 0;
  bool has_static_objects = false;  // with destructors, or other functions for the end of the process
  bool opens_libraries = false;     // by dlopen()
  bool sets_signals = false;        // or finds the functions that do
  bool finds_functions = false;     // by their names, at run time
  bool leaves_in_c_library = false; // may leave memory in the C library's data
  bool registers_conversions = false;  // of printf()
};

/// Checks D-1, D-2, D-13, D-14, D-21 and D-22, and for damage: what the file alone tells. Fills everything of
/// `info` but its path and what it says of libraries.
/// @param layout  if not null, is filled for a loadable module
/// @return  what was read, if it could be
/// Allocates: may throw std::bad_alloc.
std::optional<elf_file> check_elf(byte_source& source, module_info& info, module_layout* layout);

/// Checks D-23: does this process have the sanitizer that the file was built with?
/// Allocates: may throw std::bad_alloc.
void check_sanitizer(const elf_file& file, module_info& info);

}  // namespace ufence::detail

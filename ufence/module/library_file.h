// The files of the libraries that a module needs: found as the dynamic linker would find them, and
// checked before it maps them.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ufence/module/elf_file.h"
#include "ufence/module/inspect.h"

namespace ufence::detail {

/// Where an object's libraries are looked for.
struct library_search {
  std::string origin;                  // the folder of the object: $ORIGIN
  std::vector<std::string> own;        // DT_RUNPATH, or DT_RPATH
  std::vector<std::string> inherited;  // DT_RPATH of the objects that needed it
};

/// The places where an object says that its libraries are.
/// @param loader  of the object that needs this one; null: nothing needs it
[[nodiscard]] library_search search_of(const elf_file& file, const std::string& path,
                                       const library_search* loader);

/// The file that has that name as DT_NEEDED; empty: none was found.
/// Allocates: may throw std::bad_alloc. Blocks: while folders and the linker's cache are read.
[[nodiscard]] std::string find_library(std::string_view name, const library_search& where);

/// Which names of a library say that it starts threads, makes keys, or leaves something registered.
/// @return  one line for people, if the library must stay mapped when the module goes; else empty
[[nodiscard]] std::string reason_to_keep(const elf_file& library);

/// Does the object say that it was built with a sanitizer?
[[nodiscard]] bool names_sanitizer(const elf_file& file) noexcept;

/// Does the library bring a sanitizer that this process does not have?
/// @return  one line for people; empty: no
[[nodiscard]] std::string missing_sanitizer(const elf_file& file);

/// Follows what a module needs, leaving out what `is_there` says yes to.
/// Fills info.libraries; adds problems for what is missing or damaged, warnings for the rest.
/// Allocates: may throw std::bad_alloc. Blocks: while the files are read.
void check_libraries(const elf_file& module, module_info& info,
                     const std::function<bool(const std::string& name)>& is_there);

}  // namespace ufence::detail

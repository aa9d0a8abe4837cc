// Faults of an object file that the dynamic linker would not survive: it trusts what it maps.
#pragma once

#include <string>

#include "ufence/module/elf_file.h"

namespace ufence::detail {

/// Whose file it is: a library's may say what no module says.
enum class elf_role : std::uint8_t { module, library };

/// Looks at what the dynamic linker would follow: program headers, relocations, tables of functions,
/// hash and version tables, and whether the sections, if the file has them, agree with the segments.
/// @return  empty, or one line for people
/// Blocks: while the file is read. Allocates: at most what one table takes; may throw std::bad_alloc.
[[nodiscard]] std::string find_damage(byte_source& source, const elf_file& file, elf_role role);

// --- Its parts, each in a file of its own. ---

[[nodiscard]] std::string find_damaged_parts(byte_source& source, const elf_file& file);
[[nodiscard]] std::string find_damaged_sections(byte_source& source, const elf_file& file,
                                                elf_role role);
[[nodiscard]] std::string find_damaged_tables(byte_source& source, const elf_file& file);
[[nodiscard]] std::string find_damaged_relocations(byte_source& source, const elf_file& file);

/// `count` things at an offset of the file; nothing if they do not all lie in it.
template <class T>
[[nodiscard]] std::optional<std::vector<T>> read_things(byte_source& source, std::uint64_t offset,
                                                        std::uint64_t count) {
  const std::uint64_t size = source.size();
  if (offset > size || count > (size - offset) / sizeof(T)) return std::nullopt;
  std::vector<T> things(static_cast<std::size_t>(count));
  if (!source.read(offset, std::as_writable_bytes(std::span(things)))) return std::nullopt;
  return things;
}

}  // namespace ufence::detail

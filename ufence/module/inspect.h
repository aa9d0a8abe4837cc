// The properties of a driver module, told from its file without loading it: loading would run its constructors.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ufence/base/api.h"

namespace ufence {

/// The fate of the mapping when the module is unloaded.
enum class unmapping : std::uint8_t {
  immediate,  // it goes with the unload
  deferred,   // perhaps later: the module has thread_local objects with destructors
  never,      // the dynamic linker would keep it: such a module is not loaded
};

/// A library that comes with a module, where the process does not have it since its start.
struct library_info {
  std::string name;                    // as it is asked for
  std::string path;                    // where it was found
  std::string kept;                    // why it stays mapped for good once it came; empty: it goes
  std::uint64_t memory_size = 0;       // address range that it takes
  std::uint64_t static_tls_size = 0;   // bytes of the process's static thread-local storage
};

/// The findings in a file. Names and description of a driver are known only once it is loaded.
struct module_info {
  std::string path;                    // as given
  int error = 0;                       // why it can't be loaded, as host::load() says it: 0; ENOENT,
                                       // EACCES, ...; ENOEXEC no module, or it can't be unmapped, or it
                                       // starts threads; EPROTO another ABI version
  std::vector<std::string> problems;   // the same for people, all that were found; empty: loadable
  std::vector<std::string> warnings;   // worth knowing, no reason to refuse it
  std::uint32_t abi_version = 0;       // 0: it has no ABI note
  unmapping unmaps = unmapping::immediate;
  std::string soname;
  std::string build_id;                // hexadecimal; empty if it has none
  std::vector<std::string> needed;     // libraries that it wants
  std::vector<library_info> libraries; // those, and what they want, that the process lacks
  std::uint64_t static_tls_size = 0;   // bytes of the process's static thread-local storage
  std::uint64_t file_size = 0;
  std::uint64_t memory_size = 0;       // address range that it takes

  [[nodiscard]] bool is_loadable() const noexcept { return error == 0; }
};

/// Reads and checks the file of a module (D-1, D-2, D-13, D-14, D-21 to D-23), and those of the
/// libraries that would come with it. Never fails as such: what is wrong
/// stands in the result.
/// Threads: any. Blocks: while the file is read. Allocates: may throw std::bad_alloc.
[[nodiscard]] UFENCE_API module_info inspect(const std::string& path);

}  // namespace ufence

// The files that are mapped into this process, and reading memory that may be gone. Inside the layer only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ufence/debug/snapshot.h"

namespace ufence::debug {

/// Copies memory of this process that may not be there.
/// @return  how many bytes there were, from the first one on
std::size_t read_own_memory(const void* from, std::span<std::byte> to) noexcept;

/// Reads one object whole.
template <class T>
[[nodiscard]] bool read_own(const void* from, T& to) noexcept {
  return read_own_memory(from, std::as_writable_bytes(std::span(&to, 1))) == sizeof(T);
}

/// The programs and libraries of this process, as the dynamic linker had them when it was read.
class module_map {
 public:
  module_map();

  /// Of an address in code or data of a module; empty if it is in none.
  [[nodiscard]] code_place place_of(const void* address) const;
  /// Where the thread with this stack called the library: the first return address above `stack` that
  /// is in none of the libraries below a program.
  [[nodiscard]] code_place caller_above(const void* stack) const;

 private:
  struct module {
    std::string path, build_id;
    std::uintptr_t base = 0;
    std::uintptr_t begin = 0, end = 0;            // of all segments
    std::uintptr_t code_begin = 0, code_end = 0;  // of those with code
    bool is_below = false;  // of libufence, or of the C and C++ libraries
  };
  static int add(void* info, std::size_t size, void* self) noexcept;
  [[nodiscard]] const module* find(std::uintptr_t address) const noexcept;

  std::vector<module> modules_;  // by address
};

}  // namespace ufence::debug

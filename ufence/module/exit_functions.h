// Functions that exit() calls and that do not go with the object that they lie in: those of on_exit(), and what
// was registered in another object's name (D-21).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ufence/module/maps.h"

namespace ufence::detail {

/// Looks at the C library's lists. Nothing is found where they are not laid out as expected.
/// @return  one line for each function that lies, or whose argument lies, in the range
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<std::string> exit_functions_in(address_range range);

/// A pointer to a function as the C library enciphers it, with a key that is the same for the whole process.
[[nodiscard]] std::uintptr_t deciphered(std::uintptr_t function, std::uintptr_t key) noexcept;

}  // namespace ufence::detail

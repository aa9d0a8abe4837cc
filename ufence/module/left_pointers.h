// Pointers to a module in the static data of libraries that it needs and that stay when it goes: they were
// given a function or an object of it, and would use that after it was unmapped (D-21).
#pragma once

#include <string>
#include <vector>

#include "ufence/module/companions.h"
#include "ufence/module/maps.h"

namespace ufence::detail {

/// Looks at the static data of what an object needs, but for the C and C++ libraries,
/// unwinders, garbage collectors and sanitizers. A library that came
/// with it, that would go, and that is pointed to by one that stays, is kept.
/// @param range   of the object
/// @param needed  the libraries that it names
/// @param came    all that came with it
/// @return  one line for each pointer to the object, with the address that it has; the first few
/// Blocks: while the data is read. Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<std::string> pointers_left(address_range range,
                                                     const std::vector<std::string>& needed,
                                                     std::vector<companion>& came);

/// Looks at the static data of the C library, but for the functions that exit() calls.
/// @return  a line for the first pointer
[[nodiscard]] std::vector<std::string> pointers_in_c_library(address_range range);

/// Looks at the functions of printf()'s conversions that programs register. Only for an object that registers
/// some: to find the table, one is registered for a moment, after which printf() is a little slower.
[[nodiscard]] std::vector<std::string> conversions_in(address_range range);

}  // namespace ufence::detail

// Threads of the process that began in an object: nobody but themselves knows when they leave it (D-13).
#pragma once

#include <string>
#include <vector>

#include "ufence/module/maps.h"

namespace ufence::detail {

/// Looks at the C library's list of threads, as debuggers do: a thread's first function, and the object that
/// it was given, if its class lies in the range (as std::thread does it). Nothing is found where the list is not
/// laid out as expected.
/// @return  one line for each: number and name
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<std::string> threads_begun_in(address_range range);

}  // namespace ufence::detail

// The parts of a range of addresses that open streams of the C library use (D-21).
#pragma once

#include <vector>

#include "ufence/module/maps.h"

namespace ufence::detail {

struct used_by_stream {
  const char* what;
  const void* at;
};

/// Looks at the streams' buffers, and at functions and memory of those of fopencookie() and fmemopen(), where
/// these are laid out as expected.
/// @return  the first few
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<used_by_stream> used_by_open_streams(address_range range);

}  // namespace ufence::detail

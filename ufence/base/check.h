// Checks for our own bugs, in release builds too. What a caller, a module or another process sent is
// never checked with these: that is an error to return.
#pragma once

#include "ufence/base/api.h"

namespace ufence::detail {
/// Prints what did not hold and where, and aborts.
[[noreturn]] UFENCE_API void check_failed(const char* condition, const char* file,
                                          int line) noexcept;
}  // namespace ufence::detail

#define UFENCE_CHECK(condition)                                                           \
  (__builtin_expect(!!(condition), 1)                                                     \
       ? static_cast<void>(0)                                                             \
       : ::ufence::detail::check_failed(#condition, __FILE__, __LINE__))

// A check that costs too much for release builds.
#if defined(UFENCE_DEBUG_CHECKS) && UFENCE_DEBUG_CHECKS
#define UFENCE_DEBUG_CHECK(condition) UFENCE_CHECK(condition)
#else
#define UFENCE_DEBUG_CHECK(condition) static_cast<void>(0)
#endif

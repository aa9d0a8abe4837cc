// Things that are registered in the process and lie in a range of addresses: it would be called, or read, after
// the range was unmapped (D-21).
#pragma once

#include <string>
#include <vector>

#include "ufence/module/maps.h"

namespace ufence::detail {

/// Looks at signal dispositions and this thread's signal stack, the environment, the terminate,
/// unexpected and new handlers, destructors of keys, the standard streams of C and C++ (buffers, ties,
/// callbacks, locales), streams of C that are open, the C++ locale, the default memory resource, the exception that
/// this thread handles, and the texts that the C library tells of the program.
/// @param sets_signals  the object may set handlers itself: those of real-time signals, too. Otherwise a library
///                      would have to do it for the object, and none does for these.
/// @return  one line for each that lies in the range, with its address
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<std::string> registered_in(address_range range, bool sets_signals = true);

/// Where the C library has its keys, and destructors of those that are deleted; empty: not known.
[[nodiscard]] address_range table_of_keys() noexcept;

}  // namespace ufence::detail

// The threads that read, known without liburcu's lock: so that a thread that has something to free may
// look whether the read sections of before have ended, instead of waiting for it.
//
// liburcu knows its readers as well, but lets nobody look at them without waiting. So each thread notes
// where liburcu keeps its count of nested sections, before the first section that it begins, or when
// liburcu has moved it. Sections that a program begins with liburcu's own functions are not seen here.
//
// The table of readers is never cleaned: liburcu gives the place of a thread that has ended to the next
// one, its memory stays, and its count is 0 in between.
//
// A model checker's double stands earlier on the include path.
#pragma once

#include <urcu/tls-compat.h>
// Of the variable that points to the reader's data. It is defined in C, so it has a constant initializer;
// as a C++ `thread_local` the compiler would look for an initializing function at each use of it.
#undef URCU_TLS_STORAGE_CLASS
#define URCU_TLS_STORAGE_CLASS __thread
#include <urcu/static/urcu-bp.h>

#include "ufence/base/api.h"

namespace ufence::rcu::detail {

/// Where liburcu keeps the data of this thread, if that is noted in the table. No reader before.
UFENCE_API extern __thread const struct urcu_bp_reader* known_reader;
UFENCE_API void note_reader() noexcept;

/// Before each section.
inline void know_this_thread() noexcept {
  if (URCU_TLS(urcu_bp_reader) != known_reader) [[unlikely]]
    note_reader();
}

/// Does no thread seem to be in a read section? Cheap, and says nothing for sure.
[[nodiscard]] bool seem_quiet() noexcept;
/// True: the read sections that were open when it was called have ended, as after synchronize(). False: one
/// of them may be open still.
/// Blocks: never; some microseconds (process_barrier.h). Context: anywhere. Allocates: never.
[[nodiscard]] bool have_passed() noexcept;

}  // namespace ufence::rcu::detail

// Looks at the fences of a process from outside: in its memory, or in a core file. Takes no lock there and
// stops nothing, so what changes meanwhile is read again, and said to be torn if it never holds still.
#pragma once

#include <string>
#include <variant>

#include "tools/ufence/look/target.h"
#include "ufence/debug/snapshot.h"

namespace ufence::tool {

/// @param all  also pending fences that nobody waits for
/// @return  the snapshot with its causes, or why there is none, for people
[[nodiscard]] std::variant<debug::snapshot, std::string> look_from_outside(const target& at, bool all);

}  // namespace ufence::tool

// Two looks at one process: what went on in between.
#pragma once

#include <string>

#include "ufence/debug/snapshot.h"

namespace ufence::tool {

/// For people: what is still there, what has gone, and what is new of the threads that sleep, and of the fences
/// that are waited for; and how far each timeline has come.
[[nodiscard]] std::string changes_between(const debug::snapshot& before, const debug::snapshot& after);

}  // namespace ufence::tool

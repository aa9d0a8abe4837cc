// Names of functions, from the files that are mapped, or from their separate debug symbols.
#pragma once

#include "ufence/debug/snapshot.h"

namespace ufence::tool {

/// Fills in code_place::symbol where threads called the library. A file that is not the one that ran (its
/// build id differs) is not asked.
void find_symbols(debug::snapshot& of);

}  // namespace ufence::tool

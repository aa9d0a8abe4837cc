// Which processes hold the sync files of a process.
#pragma once

#include "ufence/debug/snapshot.h"

namespace ufence::tool {

/// Adds to the notes of fences that are exported who holds their sync files: of a process that runs, as far as
/// descriptors of others may be looked at.
void find_holders(debug::snapshot& of);

}  // namespace ufence::tool

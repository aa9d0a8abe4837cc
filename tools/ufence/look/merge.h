// The fences of several processes as one graph: an imported fence waits for the one that another process exports, so that chains and
// circles are found across them.
#pragma once

#include "ufence/debug/snapshot.h"

namespace ufence::tool {

/// Adds what another process has, behind what is there. An import waits for the fence that it stands for
/// instead of for the process, where both are there.
void merge(debug::snapshot& into, const debug::snapshot& other);

}  // namespace ufence::tool

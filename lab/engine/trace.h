// An execution as text.
#pragma once

#include <string>
#include <vector>

#include "lab/engine/machine.h"
#include "lab/engine/step.h"

namespace ufence::lab {

/// The recorded steps of the last execution.
[[nodiscard]] std::vector<step> steps_of(machine& m);
/// One line for each: number, thread, place, what it did.
[[nodiscard]] std::string interleaving_of(const std::vector<step>& steps);

}  // namespace ufence::lab

// An execution as text.
#pragma once

#include <string>

#include "ufence/lab/machine.h"

namespace ufence::lab {

/// One line for each recorded step of the last execution: number, thread, place, what it did.
[[nodiscard]] std::string interleaving_of(machine& m);

}  // namespace ufence::lab

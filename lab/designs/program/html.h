// The matrix as one page that needs nothing else: a click on a cell shows its trace.
#pragma once

#include <string>
#include <vector>

#include "lab/designs/program/matrix.h"

namespace ufence::lab {

[[nodiscard]] std::string html_page(const selection& what, const std::vector<answer>& answers);

}  // namespace ufence::lab

// Pages that need nothing else: what those of the programs of the lab have in common.
#pragma once

#include <string>
#include <string_view>

#include "lab/engine/columns.h"

namespace ufence::lab {

[[nodiscard]] std::string html_escaped(std::string_view text);

/// All of a page until its body begins.
/// @param styles  what it has beside those of html_columns()
[[nodiscard]] std::string html_head(std::string_view title, std::string_view styles);

/// A trace as a table: a thread in each column, with places and, if they are known, lines of code.
[[nodiscard]] std::string html_columns(const trace_view& view);

}  // namespace ufence::lab

// A trace in columns: a thread in each.
#pragma once

#include <string>
#include <vector>

#include "lab/engine/step.h"

namespace ufence::lab {

struct trace_view {
  std::vector<std::string> threads;  // the columns: "writer"
  struct row {
    std::size_t number;  // in the trace
    std::size_t column;
    std::string what;
    std::string place;   // "fence.cc:120 fence::settle"
    std::string source;  // as of a step
  };
  std::vector<row> rows;
  std::size_t before = 0;  // steps of main that set the stage
};

/// Main has a column only if it does something while others run.
[[nodiscard]] trace_view view_of(const std::vector<step>& steps);

/// As text.
/// @param width  of a column
[[nodiscard]] std::string text_columns(const trace_view& view, std::size_t width = 58);

}  // namespace ufence::lab

// Results as JSON lines and as a table.
#pragma once

#include <cstdio>
#include <vector>

#include "bench/harness.h"

namespace ufence::bench {

/// One line: {"name", "what", "ns", "ns_min", "baseline", "baseline_ns", "baseline_ns_min",
/// "ratio", "target", "reached", "pairs", "operations"}; or {"name", "what", "baseline", "target",
/// "skipped"}. A fact without a target has neither "target" nor "reached".
void print_json(std::FILE* to, const measurement& m);
void print_table(std::FILE* to, const std::vector<measurement>& results);

}  // namespace ufence::bench

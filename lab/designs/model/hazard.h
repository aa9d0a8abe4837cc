// The hazards: what a design may get wrong, each as a scenario of two or three threads.
#pragma once

#include <string_view>
#include <vector>

#include "lab/designs/model/design.h"

namespace ufence::lab {

struct hazard {
  std::string_view id;     // "R3": a race; "Q6": a requirement
  std::string_view title;  // "callback vs destructor"
  std::string_view story;  // who does what, in a sentence
  void (*body)(const candidate& c);
  /// nullptr: to all.
  bool (*applies)(const design& d) = nullptr;
};

/// All hazards, in the order of their rows.
[[nodiscard]] const std::vector<hazard>& all_hazards();
/// nullptr: there is none of that name.
[[nodiscard]] const hazard* find_hazard(std::string_view id);

// The parts of all_hazards().
[[nodiscard]] std::vector<hazard> hazards_of_ops();
[[nodiscard]] std::vector<hazard> hazards_of_signals();
[[nodiscard]] std::vector<hazard> hazards_of_locks();
[[nodiscard]] std::vector<hazard> hazards_of_containers();

}  // namespace ufence::lab

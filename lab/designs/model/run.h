// Explores one hazard for one design.
#pragma once

#include <cstdint>
#include <string>

#include "lab/designs/model/hazard.h"
#include "lab/engine/explore.h"

namespace ufence::lab {

struct finding {
  verdict result = verdict::not_applicable;
  costs paid = 0;
  report explored;
};

/// @param with  seconds, search, replay are used; the rest is the scenario's
/// Threads: one at a time.
[[nodiscard]] finding run_hazard(const hazard& h, const candidate& c, settings with = {});

}  // namespace ufence::lab

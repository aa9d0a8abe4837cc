// A recording as a trace that ui.perfetto.dev and trace_processor read.
#pragma once

#include <string>

#include "tools/ufence/trace/recording.h"
#include "tools/ufence/trace/story.h"

namespace ufence::tool {

/// The trace: of each process its threads, with their waits and what happened to fences there, a
/// track for each timeline, with a slice for each fence from when it was made until it was
/// signaled, and the steps of modules. Flows lead from a wait to the signal that ended it, and from
/// the signal of what a fence depends on to what went on with it. Names and keys are those of the
/// kernel's events of dma_fence and gpu_scheduler.
[[nodiscard]] std::string to_perfetto(const recording& r, const story& s);

}  // namespace ufence::tool

// The state of the fences once their modules are gone for good.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tools/ufence/run/job_issuer.h"

namespace ufence::tool {

/// Reads each fence's status, error, timestamp and names and compares them with what the run knows.
/// @param begin_ns, end_ns  between which all of them were signaled
/// @return  what does not agree, one line each, up to ten; empty: everything does
[[nodiscard]] std::vector<std::string> find_inconsistent(std::span<const held_fence> fences,
                                                         std::int64_t begin_ns,
                                                         std::int64_t end_ns);

}  // namespace ufence::tool

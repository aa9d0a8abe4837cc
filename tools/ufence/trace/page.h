// A recording as a page.
#pragma once

#include <string>

#include "tools/ufence/trace/recording.h"
#include "tools/ufence/trace/story.h"

namespace ufence::tool {

/// One HTML page that needs nothing else: page.html with the data in it.
[[nodiscard]] std::string to_page(const recording& r, const story& s);

}  // namespace ufence::tool

// The C sources of lab/source/service, as they are compiled with a tree's.
#pragma once

#include <string_view>

namespace ufence::lab::kernel_source {

extern const std::string_view service_text;
extern const std::string_view glue_header_text;
extern const std::string_view glue_text;

}  // namespace ufence::lab::kernel_source

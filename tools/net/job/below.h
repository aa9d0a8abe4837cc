// Files of a folder, named by somebody else.
#pragma once

#include <string>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"

namespace ufence::tool {

/// Opens a regular file below the folder for reading: no way leads out of it, be it "..", a link or
/// an absolute path.
/// @return  -EXDEV it would; -ELOOP there is a link on the way; -EOPNOTSUPP no regular file; what
///          openat2() says
[[nodiscard]] result<unique_fd> open_below(int folder, const std::string& path);

}  // namespace ufence::tool

#include "ufence/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace ufence::detail {

void check_failed(const char* condition, const char* file, int line) noexcept {
  std::fprintf(stderr, "ufence: %s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace ufence::detail

#include "ufence/issuer/module_scope.h"

#include <array>
#include <cstdio>

#include "ufence/issuer/instance.h"
#include "ufence/issuer/violations.h"

namespace ufence::detail {

void report_exception(const device::impl& of, std::string_view entry,
                      const std::type_info* type) noexcept {
  std::array<char, 256> text;
  std::snprintf(text.data(), text.size(), "D-4: %.*s threw an exception (%s)",
                static_cast<int>(entry.size()), entry.data(),
                type != nullptr ? type->name() : "of another language");
  report_driver(of, 0, text.data());
}

}  // namespace ufence::detail

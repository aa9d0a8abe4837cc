#include "ufence/fence/names.h"

#include <algorithm>

#include "ufence/fence/embedded_fence.h"

namespace ufence {
namespace {

// Null: its names stay as they are.
const fence_type* type_with_names_that_go(const fence& f) noexcept {
  const fence_type* const type = embedded_fence::type_of(f);
  return type != nullptr && type->copy_names != nullptr ? type : nullptr;
}

}  // namespace

fence_names::name fence_names::copy_of(std::string_view text) noexcept {
  name copy{};
  std::ranges::copy(text.substr(0, copy.size() - 1), copy.begin());
  return copy;
}

bool fence_names::stay(const fence& f) noexcept { return type_with_names_that_go(f) == nullptr; }

fence_names::fence_names(const fence& f) noexcept {
  if (const fence_type* const type = type_with_names_that_go(f)) {
    const auto take = [](void* to, const char* driver, const char* timeline) {
      auto& names = *static_cast<fence_names*>(to);
      names.driver_ = copy_of(driver);
      names.timeline_ = copy_of(timeline);
    };
    if (type->copy_names(f, take, this)) return;
  }
  driver_ = copy_of(f.driver_name());
  timeline_ = copy_of(f.timeline_name());
}

}  // namespace ufence

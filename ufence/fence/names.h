// The names of any fence, asked for now.
#pragma once

#include <array>
#include <string_view>

#include "ufence/base/api.h"
#include "ufence/fence/fence.h"

namespace ufence {

/// Copies of the names of a fence, cut to 63 characters.
class fence_names {
 public:
  UFENCE_API explicit fence_names(const fence& f) noexcept;
  [[nodiscard]] std::string_view driver_name() const noexcept { return driver_.data(); }
  [[nodiscard]] std::string_view timeline_name() const noexcept { return timeline_.data(); }
  /// Will they stay as they are? Those of a struct dma_fence become placeholders with the signal.
  [[nodiscard]] UFENCE_API static bool stay(const fence& f) noexcept;

 private:
  using name = std::array<char, 64>;
  static name copy_of(std::string_view text) noexcept;

  name driver_{};
  name timeline_{};
};

/// The names of any fence, as of now: of a struct dma_fence those that its issuer says as long as
/// it can, while fence::driver_name() and timeline_name(), which ask nobody, have placeholders for
/// it. Context: any that may call an op; runs a name op of a struct dma_fence, as the kernel's
/// readers do. Source: Linux dma_fence_driver_name(), dma_fence_timeline_name()
[[nodiscard]] inline fence_names names_of(const fence& f) noexcept { return fence_names(f); }

}  // namespace ufence

// Which device, file or buffer a call is about, and what it answers.
#pragma once

#include "ufence/uapi/buffer_table.h"
#include "ufence/uapi/call.h"
#include "ufence/uapi/device_table.h"
#include "ufence/uapi/drm_device.h"

namespace ufence::uapi {

/// Threads: the broker's alone. May throw std::bad_alloc.
class dispatcher {
 public:
  explicit dispatcher(uapi_driver driver = uapi_driver::vgem) noexcept : device_(driver) {}

  /// Finds out what the call is about (call::about), and answers.
  /// @param may_open  whether the caller is one who may open devices
  [[nodiscard]] reply handle(call& c, bool may_open);

  [[nodiscard]] device_table& devices() noexcept { return devices_; }
  [[nodiscard]] buffer_table& buffers() noexcept { return buffers_; }
  [[nodiscard]] shares& shares_of_clients() noexcept { return shares_; }

 private:
  [[nodiscard]] reply answer_to(const call& c, bool may_open);
  [[nodiscard]] reply open(const call& c);
  [[nodiscard]] reply memory(const call& c);
  [[nodiscard]] reply control(const call& c);

  shares shares_;
  drm_device device_;     // outlives its nodes
  buffer_table buffers_;  // outlives the devices
  device_table devices_;
};

}  // namespace ufence::uapi

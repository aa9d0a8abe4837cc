// The virtual DRM node: syncobjs by handle, and buffers with implicit fences.
#pragma once

#include "ufence/uapi/buffer_table.h"
#include "ufence/uapi/device_table.h"
#include "ufence/uapi/drm_device.h"

namespace ufence::uapi {

/// A node that a call opens. The device and both tables stay as long as it.
[[nodiscard]] result<std::unique_ptr<device>> make_drm_node(device_kind kind, const call& opens,
                                                            drm_device& of, device_table& devices,
                                                            buffer_table& buffers);

}  // namespace ufence::uapi

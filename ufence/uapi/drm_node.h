// The virtual DRM node: syncobjs by handle, and buffers with implicit fences.
#pragma once

#include "ufence/uapi/buffer_table.h"
#include "ufence/uapi/device_table.h"

namespace ufence::uapi {

/// An opened node. Both tables stay as long as it.
[[nodiscard]] result<std::unique_ptr<device>> make_drm_node(device_kind kind, device_table& devices,
                                                            buffer_table& buffers);

}  // namespace ufence::uapi

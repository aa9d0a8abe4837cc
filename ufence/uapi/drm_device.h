// The part that the opened nodes of the virtual device share: which of them is its master, which was
// authenticated by one, and buffers by their global names.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string_view>

#include "ufence/uapi/broker.h"
#include "ufence/uapi/buffer_table.h"
#include "ufence/uapi/call.h"

namespace ufence::uapi {

/// The facts that a driver tells of itself.
struct driver_texts {
  std::string_view name;
  std::string_view description;
  std::string_view unique;  // the bus's name of the device
  std::int32_t major, minor;
};
[[nodiscard]] const driver_texts& texts_of(uapi_driver driver) noexcept;

struct drm_client;

/// Those who have opened the device under one master.
struct drm_master {
  bool has_unique = false;                        // it has asked for a version that has names
  std::map<std::uint32_t, drm_client*> by_magic;  // null: authenticated
};

/// The part of an opened node that is the device's.
struct drm_client {
  std::shared_ptr<drm_master> master;  // null: a render node
  pid_t opener = 0;
  std::uint32_t magic = 0;
  bool is_master = false;  // `master` was made for this one
  bool was_master = false;
  bool is_authenticated = false;
};

/// Threads: the broker's alone. May throw std::bad_alloc.
class drm_device {
 public:
  explicit drm_device(uapi_driver driver) noexcept : driver_(driver) {}

  [[nodiscard]] uapi_driver driver() const noexcept { return driver_; }

  /// The first one who opens the node that shows something has it for himself.
  void open(drm_client& one, const call& c);
  void close(drm_client& one) noexcept;

  /// Calls about the device. @return  EACCES: for its master alone, or those that it has
  /// authenticated; ENOSYS it is none of these
  [[nodiscard]] reply control(drm_client& one, const call& c);

  /// The number by which others open a buffer. It is the buffer's as long as somebody has a handle.
  [[nodiscard]] std::uint32_t name_of(const buffer_ref& b);
  [[nodiscard]] buffer_ref find(std::uint32_t name) const noexcept;
  /// `b` is the last reference of a handle: if no other handle has the buffer, its name goes.
  void forget_name(const buffer_ref& b) noexcept;

 private:
  [[nodiscard]] bool is_current(const drm_client& one) const noexcept;
  void make_master(drm_client& one);
  [[nodiscard]] reply get_unique(const drm_client& one, const call& c) const;
  [[nodiscard]] reply set_version(drm_client& one, const call& c) const;
  [[nodiscard]] static reply get_magic(drm_client& one, const call& c);
  [[nodiscard]] static reply authenticate(drm_client& one, const call& c);
  [[nodiscard]] reply set_master(drm_client& one, const call& c);
  [[nodiscard]] reply drop_master(drm_client& one, const call& c);

  const uapi_driver driver_;
  std::shared_ptr<drm_master> current_;
  std::map<std::uint32_t, std::weak_ptr<buffer>> names_;
};

}  // namespace ufence::uapi

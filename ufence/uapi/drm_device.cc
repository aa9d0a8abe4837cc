#include "ufence/uapi/drm_device.h"

#include <cerrno>
#include <utility>

#include "ufence/uapi/ioctls.h"

namespace ufence::uapi {
namespace {

constexpr driver_texts vgem{.name = "vgem",
                            .description = "Virtual GEM provider",
                            .unique = "vgem",
                            .major = 1,
                            .minor = 0};
constexpr driver_texts virtio_gpu{
    .name = "virtio_gpu", .description = "virtio GPU", .unique = "virtio0", .major = 0, .minor = 1};

// Of the interface that all drivers share.
constexpr std::int32_t interface_major = 1;
constexpr std::int32_t interface_minor = 4;

constexpr std::uint32_t overflow_user = 65534;

// The lowest number that is free in a map.
template <class Map>
std::uint32_t free_number(const Map& taken) noexcept {
  std::uint32_t free = 1;
  for (const auto& [number, what] : taken) {
    if (number != free) break;
    ++free;
  }
  return free;
}

// The process that had it before may change it back; others need privileges.
bool may_change_master(const drm_client& one, const call& c) noexcept {
  return c.is_privileged || (one.was_master && one.opener == c.pid);
}

reply get_client(const drm_client& one, const call& c) {
  auto a = c.argument_as<drm_client_info>();
  if (a.index != 0) return failed(EINVAL);
  a = {.index = 0,
       .is_authenticated = one.is_authenticated ? 1 : 0,
       .pid = static_cast<std::uint64_t>(c.pid),
       .uid = overflow_user,
       .magic = 0,
       .calls = 0};
  return answer(c, a);
}

}  // namespace

const driver_texts& texts_of(uapi_driver driver) noexcept {
  return driver == uapi_driver::virtio_gpu ? virtio_gpu : vgem;
}

// --- Masters ---

bool drm_device::is_current(const drm_client& one) const noexcept {
  return one.is_master && current_ != nullptr && one.master == current_;
}

void drm_device::make_master(drm_client& one) {
  one.master = std::make_shared<drm_master>();
  one.is_master = one.was_master = one.is_authenticated = true;
  one.magic = 0;
  current_ = one.master;
}

void drm_device::open(drm_client& one, const call& c) {
  one.opener = c.pid;
  one.is_authenticated = c.is_privileged;
  if (current_ == nullptr) {
    make_master(one);
  } else {
    one.master = current_;
  }
}

void drm_device::close(drm_client& one) noexcept {
  if (one.magic != 0) one.master->by_magic.erase(one.magic);
  if (is_current(one)) current_ = nullptr;
}

reply drm_device::control(drm_client& one, const call& c) {
  const std::uint32_t number = _IOC_NR(c.code);
  const bool is_for_master = number == _IOC_NR(drm::set_version) ||
                             number == _IOC_NR(drm::auth_magic) || is_displays_of_master(c.code);
  if (is_for_master && !is_current(one)) return failed(EACCES);
  // Ioctls about displays: there are none.
  if (is_displays(c.code)) return failed(EOPNOTSUPP);
  switch (number) {
    case _IOC_NR(drm::get_unique): return get_unique(one, c);
    case _IOC_NR(drm::get_magic): return get_magic(one, c);
    case _IOC_NR(drm::get_client): return get_client(one, c);
    case _IOC_NR(drm::get_stats): return answer(c, drm_stats{});
    case _IOC_NR(drm::set_version): return set_version(one, c);
    case _IOC_NR(drm::auth_magic): return authenticate(one, c);
    case _IOC_NR(drm::set_master): return set_master(one, c);
    case _IOC_NR(drm::drop_master): return drop_master(one, c);
    case _IOC_NR(drm::set_client_cap): return failed(EOPNOTSUPP);
    default: return failed(ENOSYS);
  }
}

reply drm_device::get_unique(const drm_client& one, const call& c) const {
  auto a = c.argument_as<drm_unique>();
  const std::string_view text =
      one.master->has_unique ? texts_of(driver_).unique : std::string_view();
  const bool has_room = a.size >= text.size();
  a.size = text.size();
  reply r = answer(c, a);
  const auto bytes = std::as_bytes(std::span(text));
  if (has_room) r.data.assign(bytes.begin(), bytes.end());
  return r;
}

// It is told the versions that there are, whether it asked for one of them or not.
reply drm_device::set_version(drm_client& one, const call& c) const {
  auto a = c.argument_as<drm_set_version>();
  const driver_texts& driver = texts_of(driver_);
  const auto is_there = [](std::int32_t major, std::int32_t minor, std::int32_t has_major,
                           std::int32_t has_minor) {
    return major == -1 || (major == has_major && minor >= 0 && minor <= has_minor);
  };
  const bool is_known =
      is_there(a.interface_major, a.interface_minor, interface_major, interface_minor);
  if (is_known && a.interface_major != -1 && a.interface_minor >= 1) one.master->has_unique = true;
  if (!is_known || !is_there(a.driver_major, a.driver_minor, driver.major, driver.minor)) {
    return failed(EINVAL);
  }
  return answer(c, drm_set_version{.interface_major = interface_major,
                                   .interface_minor = interface_minor,
                                   .driver_major = driver.major,
                                   .driver_minor = driver.minor});
}

reply drm_device::get_magic(drm_client& one, const call& c) {
  if (one.magic == 0) {
    const std::uint32_t free = free_number(one.master->by_magic);
    one.master->by_magic.emplace(free, &one);
    one.magic = free;
  }
  return answer(c, one.magic);
}

reply drm_device::authenticate(drm_client& one, const call& c) {
  const auto at = one.master->by_magic.find(c.argument_as<std::uint32_t>());
  if (at == one.master->by_magic.end() || at->second == nullptr) return failed(EINVAL);
  std::exchange(at->second, nullptr)->is_authenticated = true;
  return answer(c, at->first);
}

reply drm_device::set_master(drm_client& one, const call& c) {
  if (!may_change_master(one, c)) return failed(EACCES);
  if (is_current(one)) return {};
  if (current_ != nullptr) return failed(EBUSY);
  if (one.is_master) {
    current_ = one.master;
  } else {
    if (one.magic != 0) one.master->by_magic.erase(one.magic);
    make_master(one);
  }
  return {};
}

reply drm_device::drop_master(drm_client& one, const call& c) {
  if (!may_change_master(one, c)) return failed(EACCES);
  if (!is_current(one)) return failed(EINVAL);
  current_ = nullptr;
  return {};
}

// --- Names of buffers ---

std::uint32_t drm_device::name_of(const buffer_ref& b) {
  if (b->name == 0) {
    const std::uint32_t free = free_number(names_);
    names_.emplace(free, b);
    b->name = free;
  }
  return b->name;
}

buffer_ref drm_device::find(std::uint32_t name) const noexcept {
  const auto at = names_.find(name);
  return at == names_.end() ? nullptr : at->second.lock();
}

void drm_device::forget_name(const buffer_ref& b) noexcept {
  constexpr long table_and_this = 2;
  if (b->name == 0 || b.use_count() > table_and_this) return;
  names_.erase(std::exchange(b->name, 0));
}

}  // namespace ufence::uapi

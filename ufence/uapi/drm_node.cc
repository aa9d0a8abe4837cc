#include "ufence/uapi/drm_node.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <iterator>
#include <map>
#include <string_view>

#include "ufence/fence/timeline.h"
#include "ufence/uapi/ioctls.h"
#include "ufence/uapi/syncobj_calls.h"

namespace ufence::uapi {
namespace {

// Drivers have none any more.
constexpr std::string_view driver_date = "0";

constexpr std::uint64_t capability_dumb_buffer = 0x1;
constexpr std::uint64_t capability_prime = 0x5;
constexpr std::uint64_t capability_timestamp_monotonic = 0x6;
constexpr std::uint64_t capability_syncobj = 0x13;
constexpr std::uint64_t capability_syncobj_timeline = 0x14;

// Those that only devices have which show something.
constexpr bool is_of_displays(std::uint64_t capability) noexcept {
  constexpr std::uint64_t all[] = {0x2, 0x3, 0x4, 0x7, 0x8, 0x9, 0x10, 0x11, 0x12, 0x15};
  return std::ranges::find(all, capability) != std::end(all);
}

constexpr std::uint32_t prime_flags = O_CLOEXEC | O_RDWR;
constexpr std::uint64_t page_size = 4096;
constexpr std::uint64_t buffer_size_max = std::uint64_t{1} << 32;
constexpr unsigned offset_shift = 32;  // of a buffer's offset in the node: its handle

constexpr std::uint32_t fence_write = 1;
constexpr std::int64_t fence_patience_ns = 10'000'000'000;

class drm_node final : public device {
 public:
  drm_node(device_kind kind, const call& opens, drm_device& of, device_table& devices,
           buffer_table& buffers, timeline_issuer fences)
      : kind_(kind),
        device_(of),
        buffers_(buffers),
        syncobjs_(devices),
        fences_(std::move(fences)) {
    if (kind_ == device_kind::drm_card) device_.open(client_, opens);
  }
  ~drm_node() override {
    for (auto& [number, p] : pending_) p.right.signal();
    if (client_.master) device_.close(client_);
    for (auto& [handle, h] : handles_) drop(std::move(h.what));
    buffers_.note_unused();
  }

  [[nodiscard]] device_kind kind() const noexcept override { return kind_; }
  [[nodiscard]] reply control(const call& c) override;
  [[nodiscard]] result<unique_fd> memory_at(std::uint64_t offset) override;
  [[nodiscard]] std::int64_t next_time_ns() const noexcept override {
    std::int64_t at = no_deadline;
    for (const auto& [number, p] : pending_) at = std::min(at, p.until_ns);
    return at;
  }
  void on_time(std::int64_t now) noexcept override;

 private:
  struct buffer_handle {
    buffer_ref what;
    charge of_maker;
  };
  struct pending_fence {
    fence_ref f;
    signaler right;
    std::int64_t until_ns = no_deadline;
  };

  [[nodiscard]] reply get_version(const call& c) const;
  [[nodiscard]] static reply get_capability(const call& c);
  [[nodiscard]] static reply set_client_name(const call& c);
  [[nodiscard]] reply name_buffer(const call& c);
  [[nodiscard]] reply open_named(const call& c);
  [[nodiscard]] reply fence_control(const call& c);
  [[nodiscard]] reply create_buffer(const call& c);
  [[nodiscard]] reply close_handle(const call& c, std::uint32_t handle);
  [[nodiscard]] reply buffer_to_fd(const call& c);
  [[nodiscard]] reply buffer_from_fd(const call& c);
  [[nodiscard]] reply map_buffer(const call& c);
  [[nodiscard]] reply attach_fence(const call& c);
  [[nodiscard]] reply signal_fence(const call& c);
  [[nodiscard]] buffer_ref find(std::uint32_t handle) const noexcept;
  [[nodiscard]] std::uint32_t handle_of(const call& c, const buffer_ref& b);
  [[nodiscard]] std::uint32_t add_handle(const call& c, const buffer_ref& b);
  void drop(buffer_ref b) noexcept { device_.forget_name(b); }

  const device_kind kind_;
  drm_device& device_;
  drm_client client_;
  buffer_table& buffers_;
  syncobj_calls syncobjs_;
  std::map<std::uint32_t, buffer_handle> handles_;
  timeline_issuer fences_;
  std::uint32_t next_fence_ = 1;
  std::map<std::uint32_t, pending_fence> pending_;
};

// Known by number; what an argument is too short or too long for is 0, or stays as it was.
reply drm_node::control(const call& c) {
  if (_IOC_TYPE(c.code) != drm_type) return failed(ENOTTY);
  if (!is_allowed_on(kind_, c.code)) return failed(EACCES);
  switch (_IOC_NR(c.code)) {
    case _IOC_NR(drm::version): return get_version(c);
    case _IOC_NR(drm::get_cap): return get_capability(c);
    case _IOC_NR(drm::create_dumb): return create_buffer(c);
    case _IOC_NR(drm::gem_close):
    case _IOC_NR(drm::destroy_dumb): return close_handle(c, c.argument_as<std::uint32_t>());
    case _IOC_NR(drm::map_dumb): return map_buffer(c);
    case _IOC_NR(drm::prime_to_fd): return buffer_to_fd(c);
    case _IOC_NR(drm::prime_from_fd): return buffer_from_fd(c);
    case _IOC_NR(drm::fence_attach):
    case _IOC_NR(drm::fence_signal): return fence_control(c);
    case _IOC_NR(drm::gem_flink): return name_buffer(c);
    case _IOC_NR(drm::gem_open): return open_named(c);
    case _IOC_NR(drm::set_client_name): return set_client_name(c);
    default: break;
  }
  if (client_.master) {
    reply r = device_.control(client_, c);
    if (r.error != ENOSYS) return r;
  }
  return syncobjs_.control(c);
}

reply drm_node::get_version(const call& c) const {
  const driver_texts& driver = texts_of(device_.driver());
  auto a = c.argument_as<drm_version>();
  a.major = driver.major;
  a.minor = driver.minor;
  a.patch = 0;
  a.name_size = driver.name.size();
  a.date_size = driver_date.size();
  a.description_size = driver.description.size();
  reply r = answer(c, a);
  for (const std::string_view text : {driver.name, driver_date, driver.description}) {
    const auto bytes = std::as_bytes(std::span(text));
    r.data.insert(r.data.end(), bytes.begin(), bytes.end());
  }
  return r;
}

reply drm_node::get_capability(const call& c) {
  auto a = c.argument_as<drm_get_cap>();
  switch (a.capability) {
    case capability_prime: a.value = 3; break;  // both directions
    case capability_dumb_buffer:
    case capability_timestamp_monotonic:
    case capability_syncobj:
    case capability_syncobj_timeline: a.value = 1; break;
    default: return failed(is_of_displays(a.capability) ? EOPNOTSUPP : EINVAL);
  }
  return answer(c, a);
}

// Nobody asks for it here.
reply drm_node::set_client_name(const call& c) {
  const auto is_graphic = [](std::byte b) {
    const auto letter = std::to_integer<unsigned char>(b);
    return letter > ' ' && letter < 127;
  };
  return std::ranges::all_of(c.data, is_graphic) ? answer(c, c.argument_as<drm_text>())
                                                 : failed(EINVAL);
}

// --- Buffers ---

buffer_ref drm_node::find(std::uint32_t handle) const noexcept {
  const auto at = handles_.find(handle);
  return at == handles_.end() ? nullptr : at->second.what;
}

// A buffer has one handle in a node; numbers are the lowest free ones.
std::uint32_t drm_node::handle_of(const call& c, const buffer_ref& b) {
  for (const auto& [handle, other] : handles_) {
    if (other.what == b) return handle;
  }
  return add_handle(c, b);
}

std::uint32_t drm_node::add_handle(const call& c, const buffer_ref& b) {
  std::uint32_t free = 1;
  for (const auto& [handle, other] : handles_) {
    if (handle != free) break;
    ++free;
  }
  handles_.emplace(free,
                   buffer_handle{.what = b, .of_maker = charge(c.caller, 1, resource::objects)});
  return free;
}

// For those that a master has authenticated.
reply drm_node::name_buffer(const call& c) {
  if (!client_.is_authenticated) return failed(EACCES);
  auto a = c.argument_as<drm_flink>();
  const buffer_ref b = find(a.handle);
  if (!b) return failed(ENOENT);
  a.name = device_.name_of(b);
  return answer(c, a);
}

reply drm_node::open_named(const call& c) {
  if (!client_.is_authenticated) return failed(EACCES);
  auto a = c.argument_as<drm_open>();
  const buffer_ref b = device_.find(a.name);
  if (!b) return failed(ENOENT);
  if (c.caller && !c.caller->may_have(resource::objects, 1)) return failed(ENOMEM);
  a.handle = add_handle(c, b);
  a.size = b->size;
  return answer(c, a);
}

reply drm_node::create_buffer(const call& c) {
  auto a = c.argument_as<drm_dumb_buffer>();
  if (a.width == 0 || a.height == 0 || a.bpp == 0 || a.flags != 0) return failed(EINVAL);
  const std::uint64_t pitch = (std::uint64_t{a.width} * a.bpp + 7) / 8;
  if (pitch > UINT32_MAX || pitch * a.height > buffer_size_max) return failed(EINVAL);
  a.pitch = static_cast<std::uint32_t>(pitch);
  a.size = (pitch * a.height + page_size - 1) / page_size * page_size;
  const result<buffer_ref> b = buffers_.create(a.size, c.caller);
  if (!b) return failed(b.error());
  a.handle = handle_of(c, *b);
  return answer(c, a);
}

reply drm_node::close_handle(const call& c, std::uint32_t handle) {
  const auto at = handles_.find(handle);
  if (at == handles_.end()) return failed(EINVAL);
  drop(std::move(at->second.what));
  handles_.erase(at);
  buffers_.note_unused();
  return answer(c, handle);
}

reply drm_node::buffer_to_fd(const call& c) {
  const auto a = c.argument_as<drm_prime>();
  if ((a.flags & ~prime_flags) != 0) return failed(EINVAL);
  const buffer_ref b = find(a.handle);
  if (!b) return failed(ENOENT);
  result<unique_fd> file = buffer_table::open(*b, static_cast<int>(a.flags) & O_ACCMODE);
  if (!file) return failed(file.error());
  return answer(c, a, std::move(*file), offsetof(drm_prime, fd));
}

reply drm_node::buffer_from_fd(const call& c) {
  auto a = c.argument_as<drm_prime>();
  if (!c.other) return failed(EBADF);
  const buffer_ref b = buffers_.find(c.other.get());
  if (!b) return failed(EINVAL);
  a.handle = handle_of(c, b);
  return answer(c, a);
}

reply drm_node::map_buffer(const call& c) {
  auto a = c.argument_as<drm_map_dumb>();
  if (!find(a.handle)) return failed(ENOENT);
  a.offset = std::uint64_t{a.handle} << offset_shift;
  return answer(c, a);
}

result<unique_fd> drm_node::memory_at(std::uint64_t offset) {
  const buffer_ref b = find(static_cast<std::uint32_t>(offset >> offset_shift));
  if (!b || static_cast<std::uint32_t>(offset) != 0) return failure(EINVAL);
  return buffer_table::open(*b, O_RDWR);
}

// --- Fences on buffers ---

// Numbers that mean something else to other drivers.
reply drm_node::fence_control(const call& c) {
  if (device_.driver() != uapi_driver::vgem) return failed(EINVAL);
  return _IOC_NR(c.code) == _IOC_NR(drm::fence_attach) ? attach_fence(c) : signal_fence(c);
}

reply drm_node::attach_fence(const call& c) {
  auto a = c.argument_as<vgem_attach>();
  if ((a.flags & ~fence_write) != 0 || a.pad != 0) return failed(EINVAL);
  const buffer_ref b = find(a.handle);
  if (!b) return failed(ENOENT);
  const bool writes = (a.flags & fence_write) != 0;
  if (!b->fences.test_signaled(usage_to_wait_for(writes))) return failed(EBUSY);
  // The steps that can fail come before the fence, which somebody has to signal.
  const auto at = pending_.emplace_hint(pending_.end(), next_fence_, pending_fence{});
  result<new_fence> made = fences_.create_unordered();
  if (!made) {
    pending_.erase(at);
    return failed(made.error());
  }
  at->second = {.f = made->fence,
                .right = std::move(made->signal),
                .until_ns = deadline_after(fence_patience_ns)};
  std::error_code e = b->fences.lock();
  if (!e) {
    e = b->fences.reserve(1);
    if (!e) e = b->fences.add(at->second.f, writes ? resv_usage::write : resv_usage::read);
    b->fences.unlock();
  }
  if (e) {
    at->second.right.signal();
    pending_.erase(at);
    return failed(e);
  }
  a.fence = next_fence_++;
  return answer(c, a);
}

reply drm_node::signal_fence(const call& c) {
  const auto a = c.argument_as<vgem_signal>();
  if (a.flags != 0) return failed(EINVAL);
  const auto at = pending_.find(a.fence);
  if (at == pending_.end()) return failed(ENOENT);
  const bool in_time = !at->second.f->is_signaled();
  if (in_time) at->second.right.signal();
  pending_.erase(at);
  return in_time ? answer(c, a) : failed(ETIMEDOUT);
}

// An expired fence keeps its number until the program asks for it.
void drm_node::on_time(std::int64_t now) noexcept {
  for (auto& [number, p] : pending_) {
    if (p.until_ns > now) continue;
    p.until_ns = no_deadline;
    p.right.signal();
  }
}

}  // namespace

result<std::unique_ptr<device>> make_drm_node(device_kind kind, const call& opens, drm_device& of,
                                              device_table& devices, buffer_table& buffers) {
  result<timeline_issuer> fences = timeline_issuer::create(
      {.driver_name = texts_of(of.driver()).name, .timeline_name = "unbound"});
  if (!fences) return std::unexpected(fences.error());
  return std::make_unique<drm_node>(kind, opens, of, devices, buffers, std::move(*fences));
}

}  // namespace ufence::uapi

#include "ufence/uapi/dispatcher.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "ufence/io/socket.h"
#include "ufence/sync/exported.h"
#include "ufence/sync/imported.h"
#include "ufence/sync/label.h"
#include "ufence/uapi/drm_node.h"
#include "ufence/uapi/ioctls.h"

namespace ufence::uapi {

namespace {

// The sync files of others that a call is about, which it may have imported.
struct named_files {
  explicit named_files(const call& c) noexcept {
    std::size_t n = 0;
    for (const unique_fd* const fd : {&c.subject, &c.other}) {
      if (!*fd || (fd == &c.subject && c.about != nullptr)) continue;
      const result<std::uint64_t> cookie = socket_cookie(fd->get());
      if (!cookie || has_file(*cookie) || !detail::label_of(fd->get())) continue;
      cookies[n++] = *cookie;
    }
  }
  [[nodiscard]] std::size_t count() const noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(cookies, [](auto c) { return c != 0; }));
  }
  std::array<std::uint64_t, 2> cookies{};
};

// How many descriptors the broker keeps for what the call makes; a wait is asked about when it
// begins.
std::size_t takes(const call& c) noexcept {
  if (c.what == operation::open) return 1;
  if (c.what != operation::control) return 0;
  constexpr std::array makers{sw_sync_create_fence, sync_ioc_merge,     dma_buf_export,
                              drm::create_dumb,     drm::syncobj_to_fd, drm::syncobj_eventfd};
  return std::ranges::any_of(makers, [&](std::uint32_t maker) {
    return _IOC_TYPE(maker) == _IOC_TYPE(c.code) && _IOC_NR(maker) == _IOC_NR(c.code);
  });
}

}  // namespace

reply dispatcher::handle(call& c, bool may_open) {
  if (c.subject) c.about = devices_.find(c.subject.get());
  const named_files named(c);
  if (const std::size_t count = takes(c) + named.count();
      count != 0 && c.caller && !shares_.may_take(*c.caller, count)) {
    return failed(EMFILE);
  }
  reply r = answer_to(c, may_open);
  for (const std::uint64_t cookie : named.cookies) {
    if (c.caller && cookie != 0 && detail::is_imported(cookie)) c.caller->add_file(cookie);
  }
  if (r.error == 0 && r.descriptor && c.caller) {
    // A sync file costs its exporter a descriptor; what is none is not exported.
    const result<std::uint64_t> cookie = socket_cookie(r.descriptor.get());
    if (cookie && detail::is_exported(*cookie)) c.caller->add_file(*cookie);
  }
  return r;
}

reply dispatcher::answer_to(const call& c, bool may_open) {
  switch (c.what) {
    case operation::open: return may_open ? open(c) : failed(EACCES);
    case operation::control: return control(c);
    case operation::flush: return {};
    case operation::memory: return memory(c);
  }
  return failed(ENOSYS);
}

reply dispatcher::open(const call& c) {
  const auto name = c.argument_as<std::array<char, 16>>();
  const std::string_view thread_name(
      name.data(),
      static_cast<std::size_t>(std::find(name.begin(), name.end() - 1, '\0') - name.begin()));
  result<std::unique_ptr<device>> made = failure(ENXIO);
  switch (static_cast<device_kind>(c.code)) {
    case device_kind::sw_sync: made = make_sw_sync(thread_name); break;
    case device_kind::drm_card:
    case device_kind::drm_render:
      made = make_drm_node(static_cast<device_kind>(c.code), c, device_, devices_, buffers_);
      break;
    default: break;
  }
  if (!made) return failed(made.error());
  result<unique_fd> descriptor = devices_.publish(std::move(*made), c.caller);
  if (!descriptor) return failed(descriptor.error());
  reply r;
  r.descriptor = std::move(*descriptor);
  return r;
}

reply dispatcher::memory(const call& c) {
  if (c.about == nullptr) return failed(ENODEV);
  result<unique_fd> memory = c.about->memory_at(c.argument_as<std::uint64_t>());
  if (!memory) return failed(memory.error());
  reply r;
  r.descriptor = std::move(*memory);
  return r;
}

reply dispatcher::control(const call& c) {
  if (!c.subject) return failed(EBADF);
  const std::uint32_t type = _IOC_TYPE(c.code);
  if (c.about != nullptr) return c.about->control(c);
  if (type == sync_type) return sync_file_control(c);
  if (type == dma_buf_type) return buffers_.control(c);
  // A device of a broker that is gone.
  return failed(ENODEV);
}

}  // namespace ufence::uapi

// The ioctls of sw_sync and of sync files.
#include <linux/sync_file.h>

#include <algorithm>
#include <cstddef>

#include "ufence/container/unwrap.h"
#include "ufence/sync/exported.h"
#include "ufence/sync/sw_sync.h"
#include "ufence/sync/sync_file.h"
#include "ufence/uapi/device.h"
#include "ufence/uapi/ioctls.h"

namespace ufence::uapi {
namespace {

class sw_sync_device final : public device {
 public:
  explicit sw_sync_device(sw_sync timeline) noexcept : timeline_(std::move(timeline)) {}

  [[nodiscard]] device_kind kind() const noexcept override { return device_kind::sw_sync; }
  [[nodiscard]] reply control(const call& c) override {
    switch (c.code) {
      case sw_sync_create_fence: return create_fence(c);
      case sw_sync_inc: timeline_.increment(c.argument_as<std::uint32_t>()); return {};
      case sw_sync_deadline_of: return deadline_of(c);
      default: return failed(ENOTTY);
    }
  }

 private:
  [[nodiscard]] reply create_fence(const call& c) {
    const auto wanted = c.argument_as<sw_sync_create>();
    const result<fence_ref> f = timeline_.create_fence(wanted.value);
    if (!f) return failed(f.error());
    result<unique_fd> file = sync_file_create(*f);
    if (!file) return failed(file.error());
    return answer(c, wanted, std::move(*file), offsetof(sw_sync_create, fence));
  }

  [[nodiscard]] static reply deadline_of(const call& c) {
    auto asked = c.argument_as<sw_sync_get_deadline>();
    if (asked.deadline_ns != 0 || asked.pad != 0 || !c.other) return failed(EINVAL);
    const result<fence_ref> f = sync_file_get_fence(c.other.get());
    if (!f) return failed(EINVAL);
    const result<std::int64_t> deadline = sw_sync_deadline(*f);
    if (!deadline) return failed(deadline.error());
    asked.deadline_ns = static_cast<std::uint64_t>(*deadline);
    return answer(c, asked);
  }

  sw_sync timeline_;
};

std::string_view text_of(const char (&name)[32]) noexcept {
  return {name, static_cast<std::size_t>(std::find(name, name + sizeof name - 1, '\0') - name)};
}

reply merge_files(const call& c) {
  const auto wanted = c.argument_as<sync_merge>();
  if (wanted.flags != 0 || wanted.pad != 0) return failed(EINVAL);
  if (!c.other) return failed(ENOENT);
  result<unique_fd> file = sync_file_merge(c.subject.get(), c.other.get(), text_of(wanted.name));
  if (!file) return failed(file.error());
  return answer(c, wanted, std::move(*file), offsetof(sync_merge, fence));
}

void put_name(char (&to)[32], std::string_view name) noexcept {
  std::copy_n(name.data(), std::min(name.size(), sizeof to - 1), to);
}

// Of a file that another process exports: what its fence here tells, since the broker asks nobody
// who may not answer.
reply info_of_others_file(const call& c, ::sync_file_info info) {
  const result<fence_ref> f = sync_file_get_fence(c.subject.get());
  if (!f) return failed(f.error());
  const std::uint32_t room = info.num_fences;
  info.num_fences = 1;
  info.status = (*f)->status();
  put_name(info.name, (*f)->timeline_name());
  ::sync_fence_info leaf{};
  put_name(leaf.obj_name, (*f)->timeline_name());
  put_name(leaf.driver_name, (*f)->driver_name());
  leaf.status = info.status;
  if (leaf.status != 0) leaf.timestamp_ns = static_cast<std::uint64_t>((*f)->timestamp_ns());
  reply r = answer(c, info);
  if (room != 0) {
    const auto bytes = std::as_bytes(std::span(&leaf, 1));
    r.data.assign(bytes.begin(), bytes.end());
  }
  return r;
}

reply file_info(const call& c) {
  auto info = c.argument_as<::sync_file_info>();
  if (info.flags != 0 || info.pad != 0) return failed(EINVAL);
  if (detail::exported_file own; !detail::find_exported(c.subject.get(), own)) {
    return info_of_others_file(c, info);
  }
  const std::uint64_t theirs = info.sync_fence_info;
  const std::uint32_t room = info.num_fences;
  // What there is room for; a file never gets more fences.
  info.num_fences = 0;
  if (const std::error_code e = sync_file_get_info(c.subject.get(), info)) return failed(e);
  if (room == 0) return answer(c, info);
  if (room < info.num_fences) return failed(EINVAL);
  if (info.num_fences * sizeof(::sync_fence_info) > data_size_max) return failed(ENOMEM);
  std::vector<::sync_fence_info> leaves(info.num_fences);
  info.sync_fence_info = reinterpret_cast<std::uintptr_t>(leaves.data());
  if (const std::error_code e = sync_file_get_info(c.subject.get(), info)) return failed(e);
  info.sync_fence_info = theirs;
  reply r = answer(c, info);
  const auto bytes = std::as_bytes(std::span(leaves).first(info.num_fences));
  r.data.assign(bytes.begin(), bytes.end());
  return r;
}

reply hint_deadline(const call& c) {
  const auto hint = c.argument_as<sync_deadline>();
  if (hint.pad != 0) return failed(EINVAL);
  const auto at = std::min(hint.deadline_ns, static_cast<std::uint64_t>(no_deadline));
  return failed(sync_file_set_deadline(c.subject.get(), static_cast<std::int64_t>(at)));
}

}  // namespace

result<std::unique_ptr<device>> make_sw_sync(std::string_view thread_name) {
  result<sw_sync> timeline = sw_sync::create(thread_name);
  if (!timeline) return std::unexpected(timeline.error());
  return std::make_unique<sw_sync_device>(std::move(*timeline));
}

reply sync_file_control(const call& c) {
  switch (c.code) {
    case sync_ioc_merge: return merge_files(c);
    case sync_ioc_file_info: return file_info(c);
    case sync_ioc_set_deadline: return hint_deadline(c);
    default: return failed(ENOTTY);
  }
}

}  // namespace ufence::uapi

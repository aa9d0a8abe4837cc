// The ioctls of sw_sync and of sync files.
#include <linux/sync_file.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "ufence/base/clock.h"
#include "ufence/base/file_size.h"
#include "ufence/base/memory_file.h"
#include "ufence/sync/ask.h"
#include "ufence/sync/exported.h"
#include "ufence/sync/label.h"
#include "ufence/sync/sw_sync.h"
#include "ufence/sync/sync_file.h"
#include "ufence/uapi/device.h"
#include "ufence/uapi/ioctls.h"
#include "ufence/uapi/waiting_call.h"

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

// In a file if a message is too small for them.
reply answer_with(const call& c, const ::sync_file_info& info,
                  std::span<const ::sync_fence_info> leaves) {
  const auto bytes = std::as_bytes(leaves);
  if (bytes.size() > file_data_size_max) return failed(ENOMEM);
  reply r = answer(c, info);
  if (bytes.size() <= data_size_max) {
    r.data.assign(bytes.begin(), bytes.end());
    return r;
  }
  r.descriptor.reset(open_memory_file("ufence-data"));
  if (!r.descriptor) return failed(ENOMEM);
  const no_file_size_signal quiet;
  if (::pwrite(r.descriptor.get(), bytes.data(), bytes.size(), 0) !=
      static_cast<ssize_t>(bytes.size())) {
    return failed(ENOMEM);
  }
  r.file_size = static_cast<std::uint32_t>(bytes.size());
  return r;
}

// --- Of a file that another process exports ---

reply info_of_leaves(const call& c, ::sync_file_info info,
                     std::span<const ::sync_fence_info> leaves) {
  const std::uint32_t room = info.num_fences;
  info.num_fences = static_cast<std::uint32_t>(leaves.size());
  if (room == 0) return answer(c, info);
  if (room < leaves.size()) return failed(EINVAL);
  // The first one that is not signaled without an error decides.
  const auto decides =
      std::ranges::find_if(leaves, [](const ::sync_fence_info& leaf) { return leaf.status <= 0; });
  info.status = decides != leaves.end() ? decides->status : 1;
  return answer_with(c, info, leaves);
}

::sync_fence_info leaf_of(const detail::record_leaf& from) noexcept {
  ::sync_fence_info leaf{};
  put_name(leaf.obj_name, from.timeline_name);
  put_name(leaf.driver_name, from.driver_name);
  leaf.status = from.status;
  leaf.timestamp_ns = static_cast<std::uint64_t>(from.timestamp_ns);
  return leaf;
}

reply info_of_record(const call& c, ::sync_file_info info, const detail::record_view& record) {
  put_name(info.name, record.name());
  info.status = record.status();
  std::vector<::sync_fence_info> leaves;
  record.for_each_leaf(
      [&leaves](const detail::record_leaf& leaf) { leaves.push_back(leaf_of(leaf)); });
  return info_of_leaves(c, info, leaves);
}

// The facts that the fence here tells of it: one leaf.
reply info_of_proxy(const call& c, ::sync_file_info info, fence& f) {
  put_name(info.name, f.timeline_name());
  info.status = f.status();
  const ::sync_fence_info leaf = leaf_of({.status = info.status,
                                          .timestamp_ns = info.status != 0 ? f.timestamp_ns() : 0,
                                          .driver_name = f.driver_name(),
                                          .timeline_name = f.timeline_name()});
  return info_of_leaves(c, info, {&leaf, 1});
}

// The facts that the file itself tells: its label and verdict.
reply info_of_label(const call& c, ::sync_file_info info, const detail::opened_label& label,
                    const detail::sync_verdict& verdict) {
  put_name(info.name, label.file_name.data());
  info.status = verdict.status;
  const ::sync_fence_info leaf = leaf_of({.status = verdict.status,
                                          .timestamp_ns = verdict.timestamp_ns,
                                          .driver_name = label.driver_name.data(),
                                          .timeline_name = label.timeline_name.data()});
  return info_of_leaves(c, info, {&leaf, 1});
}

// A question to the exporter, which need not answer. The connection becomes readable with the answer.
class info_question final : public waiting_call {
 public:
  static constexpr std::int64_t patience_ns = 1'000'000'000;

  info_question(unique_fd connection, std::uint32_t code, const ::sync_file_info& info,
                fence_ref proxy) noexcept
      : waiting_call(deadline_after(patience_ns)),
        connection_(std::move(connection)),
        info_(info),
        proxy_(std::move(proxy)) {
    call_.code = code;
  }

  [[nodiscard]] int event() const noexcept override { return connection_.get(); }
  [[nodiscard]] bool is_ready() noexcept override {
    answer_ = buffer_.take(connection_.get());
    return answer_ || answer_.error() != errno_code(EAGAIN);
  }
  [[nodiscard]] reply finish(bool) override {
    const bool has_leaves = answer_ && answer_->leaf_count() != 0;
    return has_leaves ? info_of_record(call_, info_, *answer_)
                      : info_of_proxy(call_, info_, *proxy_);
  }

 private:
  const unique_fd connection_;
  call call_;
  const ::sync_file_info info_;
  const fence_ref proxy_;
  detail::record_buffer buffer_;
  result<detail::record_view> answer_ = failure(EAGAIN);  // in the buffer
};

reply info_of_others_file(const call& c, const ::sync_file_info& info) {
  result<fence_ref> proxy = sync_file_get_fence(c.subject.get());
  if (!proxy) return failed(proxy.error());
  detail::record_buffer buffer;
  const result<detail::record_view> told = buffer.peek(c.subject.get());
  if (told && told->leaf_count() != 0) return info_of_record(c, info, *told);
  if (const auto label = detail::label_of(c.subject.get()); label && label->is_whole) {
    const auto verdict = detail::verdict_of(c.subject.get());
    if (verdict) return info_of_label(c, info, *label, *verdict);
  }
  if (told || told.error() != errno_code(EAGAIN)) return info_of_proxy(c, info, **proxy);
  result<unique_fd> connection = detail::ask(c.subject.get(), {});
  if (!connection) return info_of_proxy(c, info, **proxy);
  reply r;
  r.later =
      std::make_unique<info_question>(std::move(*connection), c.code, info, std::move(*proxy));
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
  // As many as there is room for; a file never gets more fences.
  info.num_fences = 0;
  if (const std::error_code e = sync_file_get_info(c.subject.get(), info)) return failed(e);
  if (room == 0) return answer(c, info);
  if (room < info.num_fences) return failed(EINVAL);
  std::vector<::sync_fence_info> leaves(info.num_fences);
  info.sync_fence_info = reinterpret_cast<std::uintptr_t>(leaves.data());
  if (const std::error_code e = sync_file_get_info(c.subject.get(), info)) return failed(e);
  info.sync_fence_info = theirs;
  return answer_with(c, info, std::span(leaves).first(info.num_fences));
}

reply hint_deadline(const call& c) {
  const auto hint = c.argument_as<sync_deadline>();
  if (hint.pad != 0) return failed(EINVAL);
  // The kernel's times have a sign: the last ones are long past.
  return failed(
      sync_file_set_deadline(c.subject.get(), static_cast<std::int64_t>(hint.deadline_ns)));
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

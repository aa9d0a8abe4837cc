#include "ufence/sync/sync_file.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "ufence/base/alloc.h"
#include "ufence/base/clock.h"
#include "ufence/container/unwrap.h"
#include "ufence/sync/ask.h"
#include "ufence/sync/exported.h"
#include "ufence/sync/imported.h"
#include "ufence/sync/kernel_file.h"
#include "ufence/sync/label.h"

namespace ufence {

using namespace detail;  // NOLINT(google-build-using-namespace): the parts of this layer

result<unique_fd> sync_file_create(const fence_ref& f, std::string_view name) noexcept {
  if (!f) return failure(EINVAL);
  return export_fence(f, name);
}

result<fence_ref> sync_file_get_fence(int file) noexcept {
  if (exported_file own; find_exported(file, own)) return std::move(own.f);
  return import_fence(file);
}

result<imported_from> sync_file_source(const fence& f) noexcept {
  imported_from source;
  if (!find_source(f, source)) return failure(ENODATA);
  return source;
}

result<unique_fd> sync_file_merge(int a, int b, std::string_view name) noexcept {
  const result<fence_ref> first = sync_file_get_fence(a);
  if (!first) return std::unexpected(first.error());
  const result<fence_ref> second = sync_file_get_fence(b);
  if (!second) {
    const int failed = second.error().value();
    return failure(failed == EBADF || failed == EINVAL ? ENOENT : failed);
  }
  const result<fence_ref> both = merge(std::array{*first, *second});
  if (!both) return std::unexpected(both.error());
  return export_fence(*both, name);
}

std::error_code sync_file_set_deadline(int file, absolute_deadline deadline_ns) noexcept {
  if (exported_file own; find_exported(file, own)) {
    own.f->set_deadline(deadline_ns);
    return {};
  }
  const result<fence_ref> f = import_fence(file);
  if (!f) return f.error();
  (*f)->set_deadline(deadline_ns);
  return {};
}

// --- Info ---

namespace {

constexpr std::int64_t patience_ns = 1'000'000'000;

void put_name(char (&to)[32], std::string_view name) noexcept {
  std::memset(to, 0, sizeof to);
  std::copy_n(name.data(), std::min(name.size(), sizeof to - 1), to);
}

// The state of a file, collected for the caller's structs.
class info_writer {
 public:
  explicit info_writer(::sync_file_info& info) noexcept
      : info_(info), leaves_(reinterpret_cast<::sync_fence_info*>(info.sync_fence_info)) {}

  // Known before the leaves.
  std::error_code begin(std::string_view name, std::int32_t status, std::uint32_t count) noexcept {
    const bool only_count = info_.num_fences == 0;
    if (!only_count && info_.num_fences < count) return errno_code(EINVAL);
    put_name(info_.name, name);
    info_.num_fences = count;
    info_.status = only_count ? status : 1;
    if (only_count) leaves_ = nullptr;
    return {};
  }
  // The first one that is not signaled without an error decides the status.
  void add(const record_leaf& leaf) noexcept {
    if (leaves_ == nullptr) return;
    ::sync_fence_info& to = *leaves_++;
    to = {};
    put_name(to.obj_name, leaf.timeline_name);
    put_name(to.driver_name, leaf.driver_name);
    to.status = leaf.status;
    to.timestamp_ns = static_cast<std::uint64_t>(leaf.timestamp_ns);
    if (info_.status > 0) info_.status = leaf.status;
  }
  std::error_code write(const record_view& record) noexcept {
    const auto failed = begin(record.name(), record.status(), record.leaf_count());
    if (!failed) record.for_each_leaf([this](const record_leaf& leaf) { add(leaf); });
    return failed;
  }

 private:
  ::sync_file_info& info_;
  ::sync_fence_info* leaves_;
};

std::error_code info_of_own(const exported_file& own, ::sync_file_info& info) noexcept {
  const result<std::size_t> room = record_room(own.f);
  if (!room) return room.error();
  auto* const bytes = static_cast<std::byte*>(allocate(*room));
  if (bytes == nullptr) return errno_code(ENOMEM);
  const std::size_t size = write_record({bytes, *room}, own.name.data(), own.f);
  const result<record_view> record = record_view::parse({bytes, size});
  const std::error_code failed = record ? info_writer(info).write(*record) : record.error();
  deallocate(bytes);
  return failed;
}

// The answer of the exporter; -EAGAIN none in time; otherwise it can't be asked, or has ended.
result<record_view> ask_and_wait(int file, record_buffer& buffer) noexcept {
  const result<unique_fd> connection = ask(file, {});
  if (!connection) return std::unexpected(connection.error());
  const std::int64_t until = deadline_after(patience_ns);
  for (;;) {
    const result<record_view> answer = buffer.take(connection->get());
    if (answer || answer.error() != errno_code(EAGAIN)) return answer;
    const std::int64_t left = until - now_ns();
    if (left <= 0) return failure(EAGAIN);
    pollfd readable{.fd = connection->get(), .events = POLLIN, .revents = 0};
    const int n = ::poll(&readable, 1, static_cast<int>(left / 1'000'000) + 1);
    if (n < 0 && errno != EINTR) return failure(errno);
  }
}

// The facts that the descriptor tells alone: one leaf.
std::error_code write_leaf(const opened_label& label, const sync_verdict& verdict,
                           ::sync_file_info& info) noexcept {
  info_writer to(info);
  const std::error_code failed = to.begin(label.file_name.data(), verdict.status, 1);
  if (!failed) {
    to.add({.status = verdict.status,
            .timestamp_ns = verdict.timestamp_ns,
            .driver_name = label.driver_name.data(),
            .timeline_name = label.timeline_name.data()});
  }
  return failed;
}

std::error_code info_of_label(int file, const opened_label& label,
                              ::sync_file_info& info) noexcept {
  std::optional<sync_verdict> verdict = verdict_of(file);
  if (!verdict && is_exporter_gone(file)) {
    verdict = verdict_of(file);  // it may have signaled just before
    if (!verdict) verdict = sync_verdict{.status = -EOWNERDEAD};
  }
  return write_leaf(label, verdict.value_or(sync_verdict{}), info);
}

std::error_code info_of_others(int file, const opened_label& label,
                               ::sync_file_info& info) noexcept {
  record_buffer buffer;
  result<record_view> record = buffer.peek(file);
  if (!record && record.error() == errno_code(ENOMEM)) return record.error();
  // Of an exporter that keeps to nothing; where a holder has spoiled the record, there is a
  // verdict.
  if (!record && record.error() == errno_code(EPROTO) && !verdict_of(file)) {
    return write_leaf(label, {.status = -EPROTO}, info);
  }
  if (!record && label.is_whole) {
    if (const std::optional<sync_verdict> verdict = verdict_of(file)) {
      return write_leaf(label, *verdict, info);
    }
  }
  if (!record) record = ask_and_wait(file, buffer);
  // A result that the exporter sent before it went may have come meanwhile.
  if (!record) record = buffer.peek(file);
  if (record && record->leaf_count() != 0) return info_writer(info).write(*record);
  return info_of_label(file, label, info);
}

}  // namespace

std::error_code sync_file_get_info(int file, ::sync_file_info& info) noexcept {
  if (info.flags != 0 || info.pad != 0) {
    return errno_code(::fcntl(file, F_GETFD) < 0 ? EBADF : EINVAL);
  }
  if (exported_file own; find_exported(file, own)) return info_of_own(own, info);
  const result<opened_label> label = label_of(file);
  if (label) return info_of_others(file, *label, info);
  if (label.error() == errno_code(EINVAL)) return kernel_file_info(file, info);
  return label.error();
}

}  // namespace ufence

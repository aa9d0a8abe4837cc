#include "ufence/sync/imported.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/base/clock.h"
#include "ufence/fence/library_fence.h"
#include "ufence/fence/trace.h"
#include "ufence/io/peer.h"
#include "ufence/io/reactor.h"
#include "ufence/io/side_work.h"
#include "ufence/io/socket.h"
#include "ufence/rcu/rcu.h"
#include "ufence/sync/ask.h"
#include "ufence/sync/exporters.h"
#include "ufence/sync/kernel_file.h"
#include "ufence/sync/label.h"
#include "ufence/sync/process_secret.h"
#include "ufence/sync/wire.h"

namespace ufence::detail {
namespace {

// Where a proxy comes from, and what it is called.
struct origin {
  bool is_kernels = false;
  std::uint64_t key = 0;  // of the table
  std::uint64_t context = 0;
  std::uint64_t their_context = 0;  // what the exporter's logs call it; 0: unknown
  int exporter = 0;                 // its process; 0: unknown
  std::uint64_t seqno = 0;
  bool seqno_wraps = false;
  sync_name driver_name{};
  sync_name timeline_name{};
};

class imported final : public library_fence,
                       private backend,
                       private rcu::deferred,
                       private watched {
 public:
  static result<fence_ref> create(const origin& from, int file) noexcept;
  static fence_ref find(std::uint64_t key) noexcept UFENCE_REQUIRES(the_reactor.lock);
  static bool is_there(std::uint64_t key) noexcept UFENCE_REQUIRES(the_reactor.lock) {
    return the_reactor.find(key, kind_of_imports) != nullptr;
  }
  static const imported* from(const fence& f) noexcept { return from(const_cast<fence&>(f)); }
  static imported* from(fence& f) noexcept {
    const fence_type* const type = type_of(f);
    return type != nullptr && type->release == &imported::release ? static_cast<imported*>(&f)
                                                                  : nullptr;
  }
  [[nodiscard]] bool tell(import_state& told) noexcept;
  [[nodiscard]] const origin& came_from() const noexcept { return from_; }
  static import_layout layout() noexcept;

 private:
  explicit imported(const origin& from) noexcept;
  void stop() noexcept;
  // 0 pending; 1 or a negative errno: over. Inside the gate: file_ is open.
  int look() noexcept;
  int look_at_kernels() noexcept;
  // Readable, and no record to be had: 0 while it is pending all the same.
  int look_at_verdict(const std::error_code& why) noexcept;
  [[nodiscard]] bool is_in_doubt() noexcept;
  int end_at(int status, std::int64_t timestamp_ns) noexcept;
  // The reference of a proxy that is found in the table, unless it is the last one's end.
  fence_ref try_get() noexcept { return fence::get_rcu(self_); }

  static void release(fence& f) noexcept;
  static int poll(backend* data) noexcept;
  static void hint(backend* data, std::int64_t deadline_ns) noexcept;
  static void retire(backend* data, retired_by who) noexcept;
  static void on_ready(std::uint64_t key) noexcept;
  static void on_fork(watched& w) noexcept;
  static void on_loss(watched& w) noexcept;

  static const backend_ops ops_of_imports;
  static const watched_kind kind_of_imports;

  const origin from_;
  const fence_type own_type_;  // with names of its own
  atomic<fence*> self_;
  unique_fd file_;           // until retire or release
  bool is_watched_ = false;  // the reactor's lock
  bool was_told_ = false;    // the reactor's lock: of an event, and nobody has looked since
  exporter_link exporter_;   // the reactor's lock
};

const backend_ops imported::ops_of_imports{.enable_signaling = &imported::poll,
                                           .poll = &imported::poll,
                                           .set_deadline = &imported::hint,
                                           .retire = &imported::retire};
const watched_kind imported::kind_of_imports{.waits_for = watched_kind::event::ready,
                                             .on_ready = &imported::on_ready,
                                             .on_fork = &imported::on_fork,
                                             .on_loss = &imported::on_loss};

// --- Birth and death ---

imported::imported(const origin& from) noexcept
    : backend{&ops_of_imports},
      from_(from),
      own_type_{.driver_name = from_.driver_name.data(),
                .timeline_name = from_.timeline_name.data(),
                .enable = &library_fence::enable,
                .end = &library_fence::end,
                .release = &imported::release,
                .is_remote = true},
      self_(this) {
  watched::kind = &kind_of_imports;
  key = from.key;
}

result<fence_ref> imported::create(const origin& from, int file) noexcept {
  rcu::reclaim();
  unique_fd own(::fcntl(file, F_DUPFD_CLOEXEC, 3));
  if (!own) return failure(errno);
  void* memory = allocate_aligned(alignof(imported), sizeof(imported));
  if (memory == nullptr) return failure(ENOMEM);
  auto* const made = ::new (memory) imported(from);
  made->init(made->own_type_, from.context, from.seqno, made, from.seqno_wraps);
  made->file_ = std::move(own);
  fence_ref mine = fence_ref::adopt(made);
  // A fence that is over already is born so, and needs no thread.
  if (made->fence::poll()) return mine;
  fence_ref others;
  {
    const scoped_lock guard(the_reactor.lock);
    if (!from.is_kernels) others = find(from.key);
    if (!others) {
      if (const std::error_code failed = the_reactor.add(*made, made->file_.get())) {
        return std::unexpected(failed);
      }
      made->is_watched_ = true;
      if (!from.is_kernels) join_exporter(made->exporter_, *made, made->file_.get());
    }
  }
  return others ? std::move(others) : std::move(mine);
}

fence_ref imported::find(std::uint64_t key) noexcept {
  watched* const w = the_reactor.find(key, kind_of_imports);
  return w == nullptr ? nullptr : static_cast<imported*>(w)->try_get();
}

// Nobody looks at the descriptor any more.
void imported::stop() noexcept {
  unique_fd file;
  {
    const scoped_lock guard(the_reactor.lock);
    leave_exporter(exporter_);
    if (is_watched_) the_reactor.remove(*this);
    is_watched_ = false;
    file = std::move(file_);
  }
  // Descriptors that another user's exporter has sent into it may take long to close with it.
  if (file && !from_.is_kernels && is_of_another_user(file.get())) close_aside(std::move(file));
}

void imported::release(fence& f) noexcept {
  auto& self = static_cast<imported&>(f);
  self.stop();
  rcu::defer(self, [](rcu::deferred* d) noexcept {
    auto* const dead = static_cast<imported*>(d);
    dead->~imported();
    deallocate(dead);
  });
}

void imported::retire(backend* data, retired_by) noexcept { static_cast<imported*>(data)->stop(); }

// --- Looking ---

int imported::poll(backend* data) noexcept { return static_cast<imported*>(data)->look(); }

// The sources from which the end of a fence is read, in this order: the record that the exporter has sent, which every
// holder peeks at and leaves there; the verdict that the exporter's end is bound to; the news that the exporter
// is gone. A descriptor that is readable proves nothing, since any holder can make it so.
int imported::look() noexcept {
  if (!file_) return -EBADF;  // somebody has closed it
  if (from_.is_kernels) return look_at_kernels();
  record_buffer buffer;
  const result<record_view> record = buffer.peek(file_.get());
  if (record) return end_at(record->status(), record->timestamp_ns());
  if (record.error() != errno_code(EAGAIN) || is_in_doubt()) {
    return look_at_verdict(record.error());
  }
  // It is pending: the reactor waits for the next event, each of which is told once.
  const scoped_lock guard(the_reactor.lock);
  if (is_watched_) the_reactor.rearm(*this);
  return 0;
}

// There is no record to peek at. That is in doubt if the process of the exporter has ended. It is also in
// doubt if the reactor's last event said that the descriptor is readable, and it still is: then a holder has
// moved what others peek at. If it no longer is, the event was about something that has gone since.
bool imported::is_in_doubt() noexcept {
  {
    const scoped_lock guard(the_reactor.lock);
    if (exporter_.has_ended) return true;
    if (!std::exchange(was_told_, false)) return false;
  }
  pollfd readable{.fd = file_.get(), .events = POLLIN, .revents = 0};
  return ::poll(&readable, 1, 0) == 1;
}

int imported::look_at_verdict(const std::error_code& why) noexcept {
  const int file = file_.get();
  std::optional<sync_verdict> verdict = verdict_of(file);
  // A record of a form that no exporter sends, and no verdict that would count instead.
  if (!verdict && why == errno_code(EPROTO)) return -EPROTO;
  if (!verdict && is_exporter_gone(file)) {
    // The exporter may have signaled just before it went, after both were looked at: look again.
    record_buffer buffer;
    const result<record_view> record = buffer.peek(file);
    if (record) return end_at(record->status(), record->timestamp_ns());
    verdict = verdict_of(file);
    if (!verdict) return -EOWNERDEAD;
  }
  if (verdict) return end_at(verdict->status, verdict->timestamp_ns);
  // The exporter is there and has not signaled: a holder wants others to think so. Its events are worthless
  // from now on, and the reactor looks from time to time instead.
  const scoped_lock guard(the_reactor.lock);
  if (is_watched_) the_reactor.doubt(*this);
  return 0;
}

// The fence gets the time that its exporter says. If that can't be, poll() signals it by what this returns, with
// the time of now.
int imported::end_at(int status, std::int64_t timestamp_ns) noexcept {
  if (timestamp_ns > 0 && timestamp_ns <= now_ns()) {
    signal(status < 0 ? status : 0, timestamp_ns);
  }
  return status;
}

int imported::look_at_kernels() noexcept {
  const int status = kernel_file_status(file_.get());
  if (status == 0) {
    const scoped_lock guard(the_reactor.lock);
    if (is_watched_) the_reactor.rearm(*this);
  }
  return status;
}

void imported::on_ready(std::uint64_t key) noexcept {
  fence_ref f;
  {
    const scoped_lock guard(the_reactor.lock);
    watched* const w = the_reactor.find(key, kind_of_imports);
    if (w == nullptr) return;
    auto* const self = static_cast<imported*>(w);
    self->was_told_ = true;
    f = self->try_get();
  }
  if (f) f->poll();
}

void imported::hint(backend* data, std::int64_t deadline_ns) noexcept {
  auto& self = *static_cast<imported*>(data);
  if (self.from_.is_kernels) {
    kernel_file_set_deadline(self.file_.get(), deadline_ns);
  } else {
    // A hint: it may be lost.
    static_cast<void>(ask(self.file_.get(), {.has_deadline = 1, .deadline_ns = deadline_ns}));
  }
}

void imported::on_fork(watched& w) noexcept {
  auto& self = static_cast<imported&>(w);
  self.file_.reset();
  self.is_watched_ = false;
}

void imported::on_loss(watched& w) noexcept {
  static_cast<void>(static_cast<imported&>(w).file_.release());
}

// For people who look into the process. stop() takes the descriptor away under the same lock, so it stays open
// here.
bool imported::tell(import_state& told) noexcept {
  told.is_kernels = from_.is_kernels;
  const scoped_lock guard(the_reactor.lock);
  if (!file_) return false;
  if (from_.is_kernels) return true;
  told.exporter = from_.exporter;
  told.maker = state_of_maker(file_.get());
  const result<opened_label> label = label_of(file_.get());
  if (label && label->is_readable) told.timeline = label->timeline;
  return true;
}

// Both compilers tell where members of classes with base classes lie.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
import_layout imported::layout() noexcept {
  constexpr auto from = static_cast<std::uint32_t>(offsetof(imported, from_));
  return {.release = &imported::release,
          .is_kernels = from + static_cast<std::uint32_t>(offsetof(origin, is_kernels)),
          .exporter = from + static_cast<std::uint32_t>(offsetof(origin, exporter)),
          .their_context = from + static_cast<std::uint32_t>(offsetof(origin, their_context))};
}
#pragma GCC diagnostic pop

// --- Where it comes from ---

// The same timeline of the same exporter is the same context here, so that merging keeps its latest
// fence alone. Contexts of this process are below 2^63. An exporter chooses its timelines' numbers,
// but neither its own nor this process's secret: it can't make its fences look like another's.
std::uint64_t context_here(int file, std::uint64_t timeline) noexcept {
  const std::optional<std::uint64_t> exporter = maker_of(file);
  // Of a process that can't be told from others, or could choose what looks like another's.
  if (!exporter || !has_secret()) return fence::allocate_contexts(1);
  return mix_secretly(*exporter, timeline) | std::uint64_t{1} << 63;
}

// Keys for descriptors that have no number of their own.
constinit atomic<std::uint64_t> next_kernel_file{1};

result<origin> origin_of_kernels(int file) noexcept {
  ::sync_file_info info{};
  if (const std::error_code failed = kernel_file_info(file, info)) return std::unexpected(failed);
  origin from{.is_kernels = true,
              // relaxed: only the numbers have to differ
              .key = std::uint64_t{1} << 62 | next_kernel_file.fetch_add(1, mo::relaxed),
              .context = fence::allocate_contexts(1),
              .seqno = 1};
  if (info.num_fences == 1) {
    ::sync_fence_info leaf{};
    ::sync_file_info again{};
    again.num_fences = 1;
    again.sync_fence_info = reinterpret_cast<std::uintptr_t>(&leaf);
    if (!kernel_file_info(file, again)) {
      copy_name(from.driver_name, {leaf.driver_name, ::strnlen(leaf.driver_name, 31)});
      copy_name(from.timeline_name, {leaf.obj_name, ::strnlen(leaf.obj_name, 31)});
      return from;
    }
  }
  copy_name(from.driver_name, "sync_file");
  copy_name(from.timeline_name, {info.name, ::strnlen(info.name, 31)});
  return from;
}

result<origin> origin_of(int file) noexcept {
  const result<opened_label> label = label_of(file);
  if (!label) {
    if (label.error() == errno_code(EINVAL)) return origin_of_kernels(file);
    return std::unexpected(label.error());
  }
  const result<std::uint64_t> cookie = socket_cookie(file);
  if (!cookie) return std::unexpected(cookie.error());
  origin from{.key = *cookie, .seqno = label->seqno, .seqno_wraps = label->seqno_wraps};
  from.their_context = label->context;
  ucred maker{};
  socklen_t size = sizeof maker;
  if (::getsockopt(file, SOL_SOCKET, SO_PEERCRED, &maker, &size) == 0) from.exporter = maker.pid;
  from.context =
      label->is_readable ? context_here(file, label->timeline) : fence::allocate_contexts(1);
  from.driver_name = label->driver_name;
  from.timeline_name = label->timeline_name;
  return from;
}

}  // namespace

result<fence_ref> import_fence(int file) noexcept {
  const result<origin> from = origin_of(file);
  if (!from) return std::unexpected(from.error());
  if (!from->is_kernels) {
    const scoped_lock guard(the_reactor.lock);
    if (fence_ref known = imported::find(from->key)) return known;
  }
  result<fence_ref> made = with_room([&] { return imported::create(*from, file); });
  if (trace::is_recording() && made) [[unlikely]] {
    trace::record_import(**made, from->key, static_cast<std::uint64_t>(from->exporter),
                         from->driver_name.data(), from->timeline_name.data());
  }
  return made;
}

bool is_imported(std::uint64_t cookie) noexcept {
  const scoped_lock guard(the_reactor.lock);
  return imported::is_there(cookie);
}

bool find_source(const fence& f, imported_from& source) noexcept {
  const imported* const import = imported::from(f);
  if (import == nullptr || import->came_from().their_context == 0) return false;
  source = {.exporter = import->came_from().exporter,
            .context = import->came_from().their_context,
            .seqno = import->came_from().seqno};
  return true;
}

bool find_import(fence& f, import_state& state) noexcept {
  imported* const import = imported::from(f);
  return import != nullptr && import->tell(state);
}

import_layout layout_of_imports() noexcept { return imported::layout(); }

}  // namespace ufence::detail

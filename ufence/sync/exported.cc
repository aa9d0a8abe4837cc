#include "ufence/sync/exported.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/names.h"
#include "ufence/fence/signalling.h"
#include "ufence/fence/trace.h"
#include "ufence/io/peer.h"
#include "ufence/io/reactor.h"
#include "ufence/io/side_work.h"
#include "ufence/io/socket.h"
#include "ufence/sync/answer.h"
#include "ufence/sync/imported.h"
#include "ufence/sync/process_secret.h"

namespace ufence::detail {
namespace {

// The part of an export that the table and the fence's callback know. Destroyed by the thread that handles its closed peer.
class exported final : public watched, public callback {
 public:
  static exported* create(const fence_ref& f, std::string_view file_name) noexcept;
  static result<unique_fd> publish(exported*& self) noexcept;
  void destroy() noexcept;

  static exported* find(std::uint64_t key) noexcept UFENCE_REQUIRES(the_reactor.lock) {
    return static_cast<exported*>(the_reactor.find(key, kind_of_exports));
  }
  [[nodiscard]] const exported_file& file() const noexcept { return file_; }
  static callback_function function_of_all() noexcept { return &exported::on_signaled; }
  [[nodiscard]] int end() const noexcept { return end_.get(); }
  [[nodiscard]] static export_layout layout() noexcept;

 private:
  exported(const fence_ref& f, std::string_view file_name, std::size_t room) noexcept;
  static result<unique_fd> make_ends(exported& self) noexcept;
  [[nodiscard]] std::error_code label_end(int holders_end, const fence_names& names) noexcept;
  [[nodiscard]] std::span<std::byte> room() noexcept;
  [[nodiscard]] bool tell() noexcept;
  [[nodiscard]] bool try_leave(bool is_its_maker) noexcept;
  void close_end() noexcept;

  static void on_signaled(callback& node, fence& f) noexcept;
  static bool is_gone(watched& w) noexcept;
  static void close(watched& w) noexcept;
  static void free(watched& w) noexcept { static_cast<exported&>(w).destroy(); }
  static bool on_message(watched& w) noexcept {
    const auto& self = static_cast<exported&>(w);
    return answer_requests(self.end_.get(), self.file_);
  }
  static void on_fork(watched& w) noexcept;
  static void on_loss(watched& w) noexcept;
  static const watched_kind kind_of_exports;

  exported_file file_;             // constant
  const std::size_t room_size_;    // of the record, behind the object
  unique_fd end_;                  // the exporting end: set before publish
  label_secret secret_;            // the same
  const bool is_one_;              // the fence is its only leaf
  bool has_default_name_ = false;  // constant
  bool has_whole_label_ = false;   // fits_label(); set before publish
  bool is_counted_ = false;        // among kept_when_signaled: by the thread that tells
  // Its maker is done with it.
  bool is_published_ UFENCE_GUARDED_BY(the_reactor.lock) = false;
};

const watched_kind exported::kind_of_exports{.waits_for = watched_kind::event::peer_closed,
                                             .on_message = &exported::on_message,
                                             .is_gone = &exported::is_gone,
                                             .close = &exported::close,
                                             .free = &exported::free,
                                             .on_fork = &exported::on_fork,
                                             .on_loss = &exported::on_loss};

// So many signaled files of this process keep their exporting end, which makes them give the very
// fence back, and answer. Those of all others are left to their holders: however many signaled
// files somebody keeps, they cost their maker nothing.
constexpr std::uint32_t kept_when_signaled_max = 16;
constinit atomic<std::uint32_t> kept_when_signaled{0};

// --- Birth and death ---

// The names of the fence where it was made, so that logs of both sides agree.
imported_from source_of(const fence& f) noexcept {
  imported_from source{.context = f.context(), .seqno = f.seqno()};
  static_cast<void>(find_source(f, source));
  return source;
}

bool is_its_only_leaf(const fence_ref& f) noexcept {
  leaves all(f);
  return all.next() == f.get() && all.next() == nullptr && !all.is_incomplete();
}

exported::exported(const fence_ref& f, std::string_view file_name, std::size_t room) noexcept
    : callback(&exported::on_signaled),
      file_{.f = f},
      room_size_(room),
      is_one_(is_its_only_leaf(f)) {
  kind = &kind_of_exports;
  if (!file_name.empty()) {
    copy_name(file_.name, file_name);
    return;
  }
  const imported_from source = source_of(*f);
  const fence_names names = names_of(*f);
  write_default_name(file_.name, names.driver_name(), names.timeline_name(), source.context,
                     source.seqno);
  // The label has the numbers that it has here.
  has_default_name_ = source.context == f->context();
}

exported* exported::create(const fence_ref& f, std::string_view file_name) noexcept {
  const result<std::size_t> room = record_room(f);
  if (!room) {
    errno = room.error().value();
    return nullptr;
  }
  void* memory = allocate(sizeof(exported) + *room);
  if (memory == nullptr) {
    errno = ENOMEM;
    return nullptr;
  }
  return ::new (memory) exported(f, file_name, *room);
}

void exported::destroy() noexcept {
  // relaxed: only a count
  if (is_counted_) kept_when_signaled.fetch_sub(1, mo::relaxed);
  this->~exported();
  deallocate(this);
}

std::span<std::byte> exported::room() noexcept {
  return {reinterpret_cast<std::byte*>(this + 1), room_size_};
}

// The label says what the fence is to those who hold the file, and nothing to all others.
std::error_code exported::label_end(int holders_end, const fence_names& names) noexcept {
  const fence& f = *file_.f;
  for (int tries = 0;; ++tries) {
    const result<label_secret> made = label_secret::make();
    if (!made) return made.error();
    secret_ = *made;
    const bool is_hidden = keep_key(holders_end, secret_);
    if (!is_hidden) secret_.key = {};
    sync_label what;
    what.timeline = label_number_of(f.context());
    what.seqno = f.seqno();
    what.seqno_wraps = f.seqno_wraps();
    if (is_hidden) {
      what.context = f.context();
      what.driver_name = names.driver_name();
      what.timeline_name = names.timeline_name();
      what.file_name = file_.name.data();
      what.has_default_name = has_default_name_;
      what.is_one = is_one_;
    }
    has_whole_label_ = fits_label(what);
    const socket_address label = write_label(what, secret_);
    const std::error_code failed = bind_socket(holders_end, label);
    // Nobody can have guessed it; another number is tried all the same.
    if (failed != errno_code(EADDRINUSE) || tries == 3) return failed;
  }
}

// One step under the reactor's lock: a fork() of another thread finds the exporting end in the
// table, or does not copy it at all.
result<unique_fd> exported::make_ends(exported& self) noexcept {
  const fence_names names = names_of(*self.file_.f);  // may ask its issuer: without the lock
  const scoped_lock guard(the_reactor.lock);
  result<socket_pair> ends = make_socket_pair();
  if (!ends) return failure(ends.error().value());
  const int theirs = ends->first.get();
  const result<std::uint64_t> cookie = socket_cookie(theirs);
  if (!cookie) return failure(cookie.error().value());
  if (const std::error_code failed = self.label_end(theirs, names)) return std::unexpected(failed);
  keep_filters_out(theirs);
  self.key = *cookie;
  if (trace::is_recording()) [[unlikely]]
    trace::record_export(*self.file_.f, *cookie);
  if (const std::error_code failed = the_reactor.add(self, ends->second.get())) {
    return std::unexpected(failed);
  }
  self.end_ = std::move(ends->second);
  return std::move(ends->first);
}

result<unique_fd> exported::publish(exported*& self) noexcept {
  // An importer may keep it for earlier ones of its timeline, or later ones for it.
  self->file_.f->keep_turn();
  result<unique_fd> file = with_room([self] { return make_ends(*self); });
  if (!file) return file;
  if (const std::error_code failed = self->file_.f->add_callback(*self)) {
    if (failed != errno_code(ENOENT)) {
      const scoped_lock guard(the_reactor.lock);
      the_reactor.remove(*self);
      return std::unexpected(failed);
    }
    if (self->tell() && self->try_leave(true)) {
      self = nullptr;
      return file;
    }
  }
  const scoped_lock guard(the_reactor.lock);
  std::exchange(self, nullptr)->is_published_ = true;
  return file;
}

// --- What happens to it ---

// First the verdict, which nobody can take back; then what wakes those who wait. Whatever the
// record can't say for want of room, the verdict has said. Where label and verdict say everything
// there is no record: those who watch for edges see one. True: the holders' end keeps ours, which
// is a part of the record there, and nobody needs this object any more.
bool exported::tell() noexcept {
  // In a child of fork(), which has no exporting end.
  if (!end_) return false;
  const int end = end_.get();
  const sync_verdict verdict{.status = file_.f->status(), .timestamp_ns = file_.f->timestamp_ns()};
  const bool has_verdict = !bind_socket(end, write_verdict(verdict, secret_));
  // relaxed, both: only a count
  is_counted_ = kept_when_signaled.fetch_add(1, mo::relaxed) < kept_when_signaled_max;
  if (!is_counted_) kept_when_signaled.fetch_sub(1, mo::relaxed);
  if (has_verdict && has_whole_label_ && is_counted_) {
    end_sending(end);
    return false;
  }
  const std::span record = room().first(write_record(room(), file_.name.data(), file_.f));
  bool is_left = !is_counted_ && !send_large_message(end, record, {{end}});
  std::error_code failed;
  if (!is_left) failed = send_large_message(end, record);
  if (failed == errno_code(EMSGSIZE)) {
    std::array<std::byte, short_record_size_max> less;
    const std::size_t size = write_short_record(less, file_.name.data(), file_.f);
    is_left = !is_counted_ && !send_message(end, std::span(less).first(size), {{end}});
    if (!is_left) static_cast<void>(send_message(end, std::span(less).first(size)));
  }
  end_sending(end);
  return is_left;
}

// Its end is left to the holders. False: its maker is still at it, or somebody else handles it just
// now, and frees it.
bool exported::try_leave(bool is_its_maker) noexcept {
  {
    const scoped_lock guard(the_reactor.lock);
    if (!is_published_ && !is_its_maker) return false;
    if (state != watched_state::watched && state != watched_state::doubtful) return false;
    the_reactor.remove(*this);
  }
  close_end();
  destroy();
  return true;
}

void exported::close_end() noexcept {
  if (has_unread(end_.get())) close_aside(std::move(end_));
  end_.reset();
}

void exported::on_signaled(callback& node, fence&) noexcept {
  auto& self = static_cast<exported&>(node);
  if (self.tell()) static_cast<void>(self.try_leave(false));
}

// All holders have closed their end; or one of them has shut it down, which can't end it for the
// others.
bool exported::is_gone(watched& w) noexcept {
  auto& self = static_cast<exported&>(w);
  const int end = self.end_.get();
  socket_address label;
  {
    const scoped_lock guard(the_reactor.lock);
    if (!self.is_published_) return false;
  }
  if (!find_peer(end, label)) return false;
  // Once it is closed everywhere the label is free for our end. Otherwise somebody has it: a
  // holder, or a stranger who took it since.
  const std::error_code bound = bind_socket(end, label);
  if (!bound) return true;
  // Our end has its verdict: all that holders need was told, whether they have closed it or not.
  if (bound == errno_code(EINVAL)) return true;
  return state_of_other_end(end) == peer_state::closed;
}

void exported::close(watched& w) noexcept {
  auto& self = static_cast<exported&>(w);
  // It never waits for a callback that runs here: its own waits for nobody.
  UFENCE_CHECK(self.file_.f->remove_callback(self).has_value());
  self.close_end();
}

void exported::on_fork(watched& w) noexcept { static_cast<exported&>(w).end_.reset(); }
void exported::on_loss(watched& w) noexcept {
  static_cast<void>(static_cast<exported&>(w).end_.release());
}

}  // namespace

result<unique_fd> export_fence(const fence_ref& f, std::string_view name) noexcept {
  check_not_signalling("a thread makes a descriptor on the signalling path");
  exported* self = exported::create(f, name);
  if (self == nullptr) return failure(errno);
  result<unique_fd> file = exported::publish(self);
  if (self != nullptr) self->destroy();
  return file;
}

bool find_exported(int fd, exported_file& file) noexcept {
  const result<std::uint64_t> cookie = socket_cookie(fd);
  if (!cookie) return false;
  const scoped_lock guard(the_reactor.lock);
  const exported* self = exported::find(*cookie);
  if (self == nullptr) return false;
  file = self->file();
  return true;
}

bool is_export(const callback& node, callback_function function, sync_name& name,
               int& end) noexcept {
  if (function != exported::function_of_all()) return false;
  name = static_cast<const exported&>(node).file().name;
  end = static_cast<const exported&>(node).end();
  return true;
}

// Both compilers tell where members of classes with base classes lie.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
export_layout exported::layout() noexcept {
  auto* const some = reinterpret_cast<exported*>(std::uintptr_t{1} << 20);  // nobody looks there
  const std::uintptr_t before = reinterpret_cast<std::uintptr_t>(static_cast<callback*>(some)) -
                                reinterpret_cast<std::uintptr_t>(some);
  return {.function = function_of_all(),
          .name = static_cast<std::uint32_t>(offsetof(exported, file_) + offsetof(exported_file, name) - before),
          .end = static_cast<std::uint32_t>(offsetof(exported, end_) - before)};
}
#pragma GCC diagnostic pop

export_layout layout_of_exports() noexcept { return exported::layout(); }

std::uint64_t label_number_of(std::uint64_t context) noexcept { return mix_secretly(context); }

bool is_exported(std::uint64_t cookie) noexcept {
  const scoped_lock guard(the_reactor.lock);
  return exported::find(cookie) != nullptr;
}

}  // namespace ufence::detail

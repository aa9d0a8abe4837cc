#include "ufence/sync/exported.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/fence/legacy.h"
#include "ufence/fence/signalling.h"
#include "ufence/io/socket.h"
#include "ufence/sync/reactor.h"

namespace ufence::detail {
namespace {

// What the table and the fence's callback know of an export. Destroyed by who handles its hang-up.
class exported final : public watched, public callback {
 public:
  static exported* create(const fence_ref& f, std::string_view file_name) noexcept;
  static result<unique_fd> publish(exported*& self) noexcept;
  void destroy() noexcept;

  static exported* find(watched_table& table, std::uint64_t key) noexcept {
    return static_cast<exported*>(table.find(key, kind_of_exports));
  }
  [[nodiscard]] const exported_file& file() const noexcept { return file_; }

 private:
  exported(const fence_ref& f, std::string_view file_name, std::size_t room) noexcept;
  static result<unique_fd> make_ends(exported& self) noexcept;
  [[nodiscard]] std::span<std::byte> room() noexcept;
  void send_record() noexcept;

  static void on_signaled(callback& node, fence& f) noexcept;
  static bool is_gone(watched& w) noexcept;
  static void close(watched& w) noexcept;
  static void end(watched& w) noexcept { static_cast<exported&>(w).destroy(); }
  static void on_fork(watched& w) noexcept;
  static const watched_kind kind_of_exports;

  exported_file file_;           // constant
  const std::size_t room_size_;  // of the record, behind the object
  unique_fd end_;                // the exporting end: set before publish
  atomic<bool> is_published_{false};
};

const watched_kind exported::kind_of_exports{.waits_for = watched_kind::event::hung_up,
                                             .is_gone = &exported::is_gone,
                                             .close = &exported::close,
                                             .end = &exported::end,
                                             .on_fork = &exported::on_fork};

// --- Birth and death ---

// As much of it as there is room for before the last zero.
void write_default_name(std::span<char> to, const fence& f) noexcept {
  std::size_t used = 0;
  const auto put = [&used, to](std::string_view part) {
    const std::size_t n = std::min(part.size(), to.size() - 1 - used);
    std::copy_n(part.data(), n, to.data() + used);
    used += n;
  };
  const auto put_number = [&put](auto number) {
    std::array<char, 24> digits;
    const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    put({digits.data(), static_cast<std::size_t>(end - digits.data())});
  };
  const fence_names names = names_of(f);
  put(names.driver_name());
  put("-");
  put(names.timeline_name());
  put_number(f.context());
  put("-");
  put_number(static_cast<std::int64_t>(f.seqno()));
}

exported::exported(const fence_ref& f, std::string_view file_name, std::size_t room) noexcept
    : callback(&exported::on_signaled), file_{.f = f}, room_size_(room) {
  kind = &kind_of_exports;
  if (file_name.empty()) {
    write_default_name(file_.name, *f);
  } else {
    std::copy_n(file_name.data(), std::min(file_name.size(), sync_name_max), file_.name.data());
  }
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
  this->~exported();
  deallocate(this);
}

std::span<std::byte> exported::room() noexcept {
  return {reinterpret_cast<std::byte*>(this + 1), room_size_};
}

// One step under the table's lock: a fork() of another thread finds the exporting end in the table,
// or does not copy it at all.
result<unique_fd> exported::make_ends(exported& self) noexcept {
  const fence& f = *self.file_.f;
  const fence_names names = names_of(f);  // may ask its issuer: without the table's lock
  watched_table table;
  const std::uint64_t number = table.exporter_number();
  if (number == 0) return failure(EAGAIN);
  result<socket_pair> ends = make_socket_pair();
  if (!ends) return failure(ends.error().value());
  const result<std::uint64_t> cookie = socket_cookie(ends->first.get());
  if (!cookie) return failure(cookie.error().value());
  const socket_address address = write_address({.exporter = number,
                                                .serial = *cookie,
                                                .context = f.context(),
                                                .seqno = f.seqno(),
                                                .driver_name = names.driver_name(),
                                                .timeline_name = names.timeline_name()});
  if (const std::error_code failed = bind_socket(ends->first.get(), address)) {
    return std::unexpected(failed);
  }
  self.key = *cookie;
  if (const std::error_code failed = table.add(self, ends->second.get())) {
    return std::unexpected(failed);
  }
  self.end_ = std::move(ends->second);
  return std::move(ends->first);
}

result<unique_fd> exported::publish(exported*& self) noexcept {
  result<unique_fd> file = with_room([self] { return make_ends(*self); });
  if (!file) return file;
  if (const std::error_code failed = self->file_.f->add_callback(*self)) {
    if (failed != errno_code(ENOENT)) {
      watched_table().remove(*self);
      return std::unexpected(failed);
    }
    self->send_record();
  }
  // [EXPORT.1] release: this thread is done with it; pairs with [EXPORT.2]
  self->is_published_.store(true, mo::release);
  self = nullptr;
  return file;
}

// --- What happens to it ---

void exported::send_record() noexcept {
  // In a child of fork(), which has no exporting end.
  if (!end_) return;
  const std::size_t size = write_record(room(), file_.name.data(), file_.f);
  // Without the record holders ask for it.
  static_cast<void>(send_message(end_.get(), room().first(size)));
  end_sending(end_.get());
}

void exported::on_signaled(callback& node, fence&) noexcept {
  static_cast<exported&>(node).send_record();
}

// All holders have closed their end; or one of them has shut it down, who can't end it for the
// others. The address of their end is free for ours once it is closed everywhere.
bool exported::is_gone(watched& w) noexcept {
  auto& self = static_cast<exported&>(w);
  socket_address address;
  // [EXPORT.2] acquire: its maker is done with it; pairs with [EXPORT.1]
  return self.is_published_.load(mo::acquire) && find_peer(self.end_.get(), address) &&
         !bind_socket(self.end_.get(), address);
}

void exported::close(watched& w) noexcept {
  auto& self = static_cast<exported&>(w);
  // It never waits for a callback that runs here: its own waits for nobody.
  UFENCE_CHECK(self.file_.f->remove_callback(self).has_value());
  self.end_.reset();
}

void exported::on_fork(watched& w) noexcept { static_cast<exported&>(w).end_.reset(); }

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
  watched_table table;
  const exported* self = exported::find(table, *cookie);
  if (self == nullptr) return false;
  file = self->file();
  return true;
}

}  // namespace ufence::detail

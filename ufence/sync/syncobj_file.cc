#include "ufence/sync/syncobj_file.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdio>
#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/io/socket.h"
#include "ufence/sync/reactor.h"
#include "ufence/sync/wire.h"

namespace ufence {

using namespace detail;

namespace {

class exported_syncobj : public watched {
 public:
  static result<unique_fd> export_object(const syncobj_ref& object) noexcept;
  static exported_syncobj* find(watched_table& table, std::uint64_t key) noexcept {
    return static_cast<exported_syncobj*>(table.find(key, kind_of_syncobjs));
  }
  [[nodiscard]] const syncobj_ref& object() const noexcept { return object_; }

 private:
  explicit exported_syncobj(syncobj_ref object) noexcept : object_(std::move(object)) {
    kind = &kind_of_syncobjs;
  }
  [[nodiscard]] result<unique_fd> make_ends() noexcept;
  void destroy() noexcept {
    this->~exported_syncobj();
    deallocate(this);
  }
  static bool is_gone(watched& w) noexcept;
  static void close(watched& w) noexcept { static_cast<exported_syncobj&>(w).end_.reset(); }
  static void end(watched& w) noexcept { static_cast<exported_syncobj&>(w).destroy(); }
  static const watched_kind kind_of_syncobjs;

  const syncobj_ref object_;
  unique_fd end_;  // ours: set before it is found
};

const watched_kind exported_syncobj::kind_of_syncobjs{.waits_for = watched_kind::event::hung_up,
                                                      .is_gone = &exported_syncobj::is_gone,
                                                      .close = &exported_syncobj::close,
                                                      .end = &exported_syncobj::end,
                                                      .on_fork = &exported_syncobj::close};

// A name of its own in the abstract namespace: who still has the holders' end is bound to it.
socket_address address_of(std::uint64_t process, std::uint64_t serial) noexcept {
  socket_address address;
  address.name.sun_family = AF_UNIX;
  const int length = std::snprintf(
      address.name.sun_path + 1, sizeof address.name.sun_path - 1, "ufence-syncobj-%016llx-%llu",
      static_cast<unsigned long long>(process), static_cast<unsigned long long>(serial));
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 +
                                        static_cast<std::size_t>(length));
  return address;
}

// One step under the table's lock: a fork() of another thread finds our end in the table, or does
// not copy it at all.
result<unique_fd> exported_syncobj::make_ends() noexcept {
  watched_table table;
  const std::uint64_t number = table.exporter_number();
  if (number == 0) return failure(EAGAIN);
  result<socket_pair> ends = make_socket_pair();
  if (!ends) return std::unexpected(ends.error());
  const result<std::uint64_t> cookie = socket_cookie(ends->first.get());
  if (!cookie) return std::unexpected(cookie.error());
  const socket_address address = address_of(number, *cookie);
  if (const std::error_code failed = bind_socket(ends->first.get(), address)) {
    return std::unexpected(failed);
  }
  key = *cookie;
  if (const std::error_code failed = table.add(*this, ends->second.get())) {
    return std::unexpected(failed);
  }
  end_ = std::move(ends->second);
  return std::move(ends->first);
}

result<unique_fd> exported_syncobj::export_object(const syncobj_ref& object) noexcept {
  void* memory = allocate(sizeof(exported_syncobj));
  if (memory == nullptr) return failure(ENOMEM);
  auto* self = ::new (memory) exported_syncobj(object);
  result<unique_fd> file = with_room([self] { return self->make_ends(); });
  if (!file) self->destroy();
  return file;
}

// All holders have closed their end; or one of them has shut it down, who can't end it for the
// others. The address of their end is free for ours once it is closed everywhere.
bool exported_syncobj::is_gone(watched& w) noexcept {
  const std::uint64_t number = watched_table().exporter_number();
  return !bind_socket(w.fd, address_of(number, w.key));
}

}  // namespace

result<unique_fd> syncobj_export(const syncobj_ref& object) noexcept {
  if (!object) return failure(EINVAL);
  if (object->is_inherited()) return failure(EOWNERDEAD);
  return exported_syncobj::export_object(object);
}

result<syncobj_ref> syncobj_import(int fd) noexcept {
  const result<std::uint64_t> cookie = socket_cookie(fd);
  if (!cookie) return failure(EINVAL);
  watched_table table;
  const exported_syncobj* found = exported_syncobj::find(table, *cookie);
  if (found == nullptr) return failure(EINVAL);
  return found->object();
}

}  // namespace ufence

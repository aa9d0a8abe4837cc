#include "ufence/sync/syncobj_file.h"

#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/io/peer.h"
#include "ufence/io/reactor.h"
#include "ufence/io/side_work.h"
#include "ufence/io/socket.h"
#include "ufence/sync/label.h"

namespace ufence {

using namespace detail;

namespace {

class exported_syncobj : public watched {
 public:
  static result<unique_fd> export_object(const syncobj_ref& object) noexcept;
  static exported_syncobj* find(std::uint64_t key) noexcept UFENCE_REQUIRES(the_reactor.lock) {
    return static_cast<exported_syncobj*>(the_reactor.find(key, kind_of_syncobjs));
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
  static void close(watched& w) noexcept;
  static void on_fork(watched& w) noexcept { static_cast<exported_syncobj&>(w).end_.reset(); }
  static void on_loss(watched& w) noexcept {
    static_cast<void>(static_cast<exported_syncobj&>(w).end_.release());
  }
  static void free(watched& w) noexcept { static_cast<exported_syncobj&>(w).destroy(); }
  static const watched_kind kind_of_syncobjs;

  const syncobj_ref object_;
  unique_fd end_;  // ours: set before it is found
};

const watched_kind exported_syncobj::kind_of_syncobjs{.waits_for = watched_kind::event::peer_closed,
                                                      .is_gone = &exported_syncobj::is_gone,
                                                      .close = &exported_syncobj::close,
                                                      .free = &exported_syncobj::free,
                                                      .on_fork = &exported_syncobj::on_fork,
                                                      .on_loss = &exported_syncobj::on_loss};

// One step under the reactor's lock: a fork() of another thread finds our end in the table, or does
// not copy it at all.
result<unique_fd> exported_syncobj::make_ends() noexcept {
  const result<label_secret> numbers = label_secret::make();
  if (!numbers) return std::unexpected(numbers.error());
  const scoped_lock guard(the_reactor.lock);
  result<socket_pair> ends = make_socket_pair();
  if (!ends) return std::unexpected(ends.error());
  const result<std::uint64_t> cookie = socket_cookie(ends->first.get());
  if (!cookie) return std::unexpected(cookie.error());
  // A label of its own: a process that still has the holders' end is bound to it.
  const socket_address label = write_plain_label("ufence-syncobj/", numbers->of_label);
  if (const std::error_code failed = bind_socket(ends->first.get(), label)) {
    return std::unexpected(failed);
  }
  key = *cookie;
  if (const std::error_code failed = the_reactor.add(*this, ends->second.get())) {
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

// All holders have closed their end; or one of them has shut it down, which can't end it for the
// others. The label of their end is free for ours once it is closed everywhere, unless a stranger
// has taken it since.
bool exported_syncobj::is_gone(watched& w) noexcept {
  socket_address label;
  if (!find_peer(w.fd, label)) return false;
  const std::error_code bound = bind_socket(w.fd, label);
  return !bound || state_of_other_end(w.fd) == peer_state::closed;
}

void exported_syncobj::close(watched& w) noexcept {
  auto& self = static_cast<exported_syncobj&>(w);
  if (has_unread(self.end_.get())) close_aside(std::move(self.end_));
  self.end_.reset();
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
  const scoped_lock guard(the_reactor.lock);
  const exported_syncobj* found = exported_syncobj::find(*cookie);
  if (found == nullptr) return failure(EINVAL);
  return found->object();
}

}  // namespace ufence

#include "ufence/sync/imported.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <optional>

#include "ufence/base/alloc.h"
#include "ufence/fence/embedded_fence.h"
#include "ufence/io/random.h"
#include "ufence/io/socket.h"
#include "ufence/rcu/rcu.h"
#include "ufence/sync/ask.h"
#include "ufence/sync/kernel_file.h"
#include "ufence/sync/reactor.h"
#include "ufence/sync/wire.h"

namespace ufence::detail {
namespace {

// Where a proxy comes from, and what it is called.
struct origin {
  bool is_kernels = false;
  std::uint64_t key = 0;  // of the table
  std::uint64_t context = 0;
  std::uint64_t seqno = 0;
  std::array<char, sync_name_max + 1> driver_name{};
  std::array<char, sync_name_max + 1> timeline_name{};
};

class imported final : public embedded_fence,
                       private backend,
                       private rcu::deferred,
                       private watched {
 public:
  static result<fence_ref> create(const origin& from, int file) noexcept;
  static fence_ref find(watched_table& table, std::uint64_t key) noexcept;

 private:
  // The connection on which the exporter was asked. The table's lock guards it.
  struct question : watched {
    imported* of = nullptr;
    unique_fd connection;
  };

  explicit imported(const origin& from) noexcept;
  void stop() noexcept;
  // 0 pending; 1 or a negative errno: over. Inside the gate: file_ is open.
  int look() noexcept;
  int look_at_kernels() noexcept;
  int ask_exporter() noexcept;
  std::optional<int> look_at_answer() noexcept;
  // The reference of a proxy that is found in the table, unless it is the last one's end.
  fence_ref try_get() noexcept { return fence::get_rcu(self_); }

  static void release(embedded_fence& f) noexcept;
  static int poll(backend* data) noexcept;
  static void hint(backend* data, std::int64_t deadline_ns) noexcept;
  static void retire(backend* data, retired_by who) noexcept;
  static void on_ready(std::uint64_t key) noexcept;
  static void on_answer(std::uint64_t key) noexcept;
  static void on_fork(watched& w) noexcept;
  static void on_fork_of_question(watched& w) noexcept;

  static const backend_ops ops_of_imports;
  static const watched_kind kind_of_imports;
  static const watched_kind kind_of_questions;

  const origin from_;
  const embedded_type own_type_;
  atomic<fence*> self_;
  unique_fd file_;           // until retire or release
  bool is_watched_ = false;  // the table's lock
  question question_;
};

const backend_ops imported::ops_of_imports{.enable_signaling = &imported::poll,
                                           .poll = &imported::poll,
                                           .set_deadline = &imported::hint,
                                           .retire = &imported::retire};
const watched_kind imported::kind_of_imports{.waits_for = watched_kind::event::ready,
                                             .on_event = &imported::on_ready,
                                             .on_fork = &imported::on_fork};
const watched_kind imported::kind_of_questions{.waits_for = watched_kind::event::ready,
                                               .on_event = &imported::on_answer,
                                               .on_fork = &imported::on_fork_of_question};

// --- Birth and death ---

imported::imported(const origin& from) noexcept
    : embedded_fence(own_type_),
      backend{&ops_of_imports},
      from_(from),
      own_type_{.driver_name = from_.driver_name.data(),
                .timeline_name = from_.timeline_name.data(),
                .release = &imported::release},
      self_(this) {
  watched::kind = &kind_of_imports;
  key = from.key;
  question_.kind = &kind_of_questions;
  question_.of = this;
}

result<fence_ref> imported::create(const origin& from, int file) noexcept {
  rcu::reclaim();
  unique_fd own(::fcntl(file, F_DUPFD_CLOEXEC, 3));
  if (!own) return failure(errno);
  void* memory = allocate_aligned(alignof(imported), sizeof(imported));
  if (memory == nullptr) return failure(ENOMEM);
  auto* const made = ::new (memory) imported(from);
  made->init(from.context, from.seqno, made);
  made->file_ = std::move(own);
  fence_ref mine = fence_ref::adopt(made);
  // What is over already is born so, and needs no thread.
  if (made->fence::poll()) return mine;
  fence_ref others;
  {
    watched_table table;
    if (!from.is_kernels) others = find(table, from.key);
    if (!others) {
      if (const std::error_code failed = table.add(*made, made->file_.get())) {
        return std::unexpected(failed);
      }
      made->is_watched_ = true;
    }
  }
  return others ? std::move(others) : std::move(mine);
}

fence_ref imported::find(watched_table& table, std::uint64_t key) noexcept {
  watched* const w = table.find(key, kind_of_imports);
  return w == nullptr ? nullptr : static_cast<imported*>(w)->try_get();
}

// Nobody looks at the descriptor any more.
void imported::stop() noexcept {
  unique_fd file;
  unique_fd connection;
  watched_table table;
  if (is_watched_) table.remove(*this);
  is_watched_ = false;
  if (question_.connection) table.remove(question_);
  file = std::move(file_);
  connection = std::move(question_.connection);
}

void imported::release(embedded_fence& f) noexcept {
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

int imported::look() noexcept {
  if (from_.is_kernels) return look_at_kernels();
  record_buffer buffer;
  const result<record_view> record = buffer.peek(file_.get());
  if (record) return record->status();
  switch (record.error().value()) {
    case ENODATA: return ask_exporter();
    case EPROTO: return -EPROTO;
    default: break;
  }
  watched_table table;
  if (is_watched_) {
    if (record.error() == errno_code(EAGAIN)) {
      table.rearm(*this);
    } else {
      table.doubt(*this);
    }
  }
  return 0;
}

int imported::look_at_kernels() noexcept {
  const int status = kernel_file_status(file_.get());
  if (status == 0) {
    watched_table table;
    if (is_watched_) table.rearm(*this);
  }
  return status;
}

// Readable, and no record: the exporter is gone, or somebody wants us to think so.
int imported::ask_exporter() noexcept {
  if (const std::optional<int> status = look_at_answer()) return *status;
  watched_table table;
  if (question_.connection) return 0;
  result<unique_fd> connection = ask(file_.get(), {});
  if (!connection && connection.error() == errno_code(ECONNREFUSED)) return -EOWNERDEAD;
  if (is_watched_) table.doubt(*this);
  if (!connection) return 0;
  const result<std::uint64_t> cookie = socket_cookie(connection->get());
  if (!cookie) return 0;
  question_.key = *cookie;
  if (table.add(question_, connection->get())) return 0;
  question_.connection = std::move(*connection);
  return 0;
}

// Nothing if it was not asked.
std::optional<int> imported::look_at_answer() noexcept {
  unique_fd connection;
  watched_table table;
  if (!question_.connection) return std::nullopt;
  record_buffer buffer;
  const result<record_view> record = buffer.take(question_.connection.get());
  if (!record && record.error() == errno_code(EAGAIN)) {
    table.rearm(question_);
    return 0;
  }
  table.remove(question_);
  connection = std::move(question_.connection);
  if (record && record->status() != 0) return record->status();
  if (!record && record.error() == errno_code(EPROTO)) return -EPROTO;
  // Pending, or no answer: again after a while.
  if (is_watched_) table.doubt(*this);
  return 0;
}

void imported::on_ready(std::uint64_t key) noexcept {
  fence_ref f;
  {
    watched_table table;
    f = find(table, key);
  }
  if (f) f->poll();
}

void imported::on_answer(std::uint64_t key) noexcept {
  fence_ref f;
  {
    watched_table table;
    watched* const w = table.find(key, kind_of_questions);
    if (w != nullptr) f = static_cast<question*>(w)->of->try_get();
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

void imported::on_fork_of_question(watched& w) noexcept {
  static_cast<question&>(w).connection.reset();
}

// --- Where it comes from ---

template <std::size_t Size>
void copy_name(std::array<char, Size>& to, std::string_view name) noexcept {
  std::copy_n(name.data(), std::min(name.size(), Size - 1), to.data());
}

// A secret of this process: who exports can't choose whose context its own looks like.
std::uint64_t secret() noexcept {
  static const std::uint64_t secret_number = [] {
    std::uint64_t random = 0;
    static_cast<void>(fill_random(&random, sizeof random));
    return random;
  }();
  return secret_number;
}

std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
  a = (a ^ b ^ secret()) * 0xBF58476D1CE4E5B9;
  a = (a ^ (a >> 31)) * 0x94D049BB133111EB;
  return a ^ (a >> 29);
}

// The same timeline of the same exporter is the same context here, so that merging keeps its latest
// fence alone. Contexts of this process are below 2^63.
std::uint64_t context_here(int file, const sync_address& address) noexcept {
  ucred exporter{};
  socklen_t size = sizeof exporter;
  if (::getsockopt(file, SOL_SOCKET, SO_PEERCRED, &exporter, &size) != 0 || exporter.pid == 0) {
    return fence::allocate_contexts(1);  // of a process that can't be told from others
  }
  const std::uint64_t who =
      std::uint64_t{exporter.uid} << 32 | static_cast<std::uint32_t>(exporter.pid);
  return mix(mix(who, address.exporter), address.context) | std::uint64_t{1} << 63;
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
  const result<socket_address> address = address_of(file);
  if (!address) {
    if (address.error() == errno_code(EINVAL)) return origin_of_kernels(file);
    return std::unexpected(address.error());
  }
  const result<std::uint64_t> cookie = socket_cookie(file);
  if (!cookie) return std::unexpected(cookie.error());
  const std::optional<sync_address> told = parse_address(*address);
  origin from{.key = *cookie, .context = context_here(file, *told), .seqno = told->seqno};
  copy_name(from.driver_name, told->driver_name);
  copy_name(from.timeline_name, told->timeline_name);
  return from;
}

}  // namespace

result<fence_ref> import_fence(int file) noexcept {
  const result<origin> from = origin_of(file);
  if (!from) return std::unexpected(from.error());
  if (!from->is_kernels) {
    watched_table table;
    if (fence_ref known = imported::find(table, from->key)) return known;
  }
  return with_room([&] { return imported::create(*from, file); });
}

}  // namespace ufence::detail

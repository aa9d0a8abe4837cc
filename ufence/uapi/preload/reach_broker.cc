#include "ufence/uapi/preload/reach_broker.h"

#include <link.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include <cstdint>
#include <string_view>

#include "ufence/base/passed_fds.h"
#include "ufence/uapi/preload/call_descriptors.h"
#include "ufence/uapi/preload/start_broker.h"
#include "ufence/uapi/preload/system.h"
#include "ufence/uapi/protocol.h"

namespace ufence::uapi {
namespace {

// So often a call is tried again with a broker that is just starting, or just ending.
constexpr int attempts_max = 1000;
// So many brokers are started that end at once.
constexpr int starts_max = 10;
// Names that are tried one after the other where strangers have taken some.
constexpr unsigned names_max = 8;
// So long a full queue of connections is waited for; then it may be a stranger's.
constexpr timeval queue_patience{.tv_sec = 2, .tv_usec = 0};

// --- Names ---

// The parts of the names, from when the library was loaded: a program may change its
// environment, and what it is.
struct name_parts {
  broker_address named;     // by the environment; no size: it names none
  std::uint64_t build = 0;  // of this library
  ino_t users = 0;          // the namespace of users: numbers of users mean something in one alone
  ino_t processes = 0;      // the namespace of processes: the broker ends with it
  uid_t user = 0;
};
constinit name_parts known{};

void put(broker_address& to, std::string_view text) noexcept {
  for (const char c : text) {
    if (to.size == sizeof to.name) return;
    reinterpret_cast<char*>(&to.name)[to.size++] = c;
  }
}
void put_number(broker_address& to, std::uint64_t number) noexcept {
  char digits[16];
  std::size_t first = sizeof digits;
  do {
    digits[--first] = "0123456789abcdef"[number % 16];
    number /= 16;
  } while (number != 0);
  put(to, {"/", 1});
  put(to, {digits + first, sizeof digits - first});
}
void begin(broker_address& to, std::string_view text) noexcept {
  to.name.sun_family = AF_UNIX;
  to.size = offsetof(sockaddr_un, sun_path);
  put(to, {"", 1});
  put(to, text);
}

ino_t inode_of(const char* path) noexcept {
  struct statx s {};
  const long failed = ::syscall(SYS_statx, AT_FDCWD, path, 0, STATX_INO, &s);
  return failed != 0 ? 0 : s.stx_ino;
}

// The linker's number for this very file, folded.
int find_build(dl_phdr_info* object, std::size_t, void*) noexcept {
  const auto here = reinterpret_cast<std::uintptr_t>(&find_build);
  bool is_this = false;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const auto& h = object->dlpi_phdr[i];
    const std::uintptr_t from = object->dlpi_addr + h.p_vaddr;
    is_this = is_this || (h.p_type == PT_LOAD && here >= from && here < from + h.p_memsz);
  }
  for (int i = 0; is_this && i < object->dlpi_phnum; ++i) {
    const auto& h = object->dlpi_phdr[i];
    if (h.p_type != PT_NOTE) continue;
    const auto* const bytes = reinterpret_cast<const char*>(object->dlpi_addr + h.p_vaddr);
    for (std::size_t at = 0; at + sizeof(ElfW(Nhdr)) <= h.p_memsz;) {
      ElfW(Nhdr) note;
      std::memcpy(&note, bytes + at, sizeof note);
      const std::size_t text = at + sizeof note + (note.n_namesz + 3) / 4 * 4;
      const std::size_t next = text + (note.n_descsz + 3) / 4 * 4;
      if (next > h.p_memsz) break;
      if (note.n_type == NT_GNU_BUILD_ID) {
        for (std::size_t n = 0; n < note.n_descsz; ++n) {
          known.build = known.build * 31 + static_cast<unsigned char>(bytes[text + n]);
        }
        return 1;
      }
      at = next;
    }
  }
  return is_this ? 1 : 0;
}

[[gnu::constructor]] void look_around() noexcept {
  const char* const named = ::getenv(broker_variable);
  if (named != nullptr && *named != '\0') {
    begin(known.named, named);
    return;
  }
  ::dl_iterate_phdr(&find_build, nullptr);
  known.users = inode_of("/proc/self/ns/user");
  known.processes = inode_of("/proc/self/ns/pid");
  known.user = ::geteuid();
}

unsigned name_count() noexcept { return known.named.size != 0 ? 1 : names_max; }

broker_address name_of(unsigned which) noexcept {
  if (known.named.size != 0) return known.named;
  broker_address name;
  begin(name, "ufence-uapi-broker");
  for (const std::uint64_t part :
       {known.build, std::uint64_t{known.users}, std::uint64_t{known.processes},
        std::uint64_t{known.user}, std::uint64_t{which}}) {
    put_number(name, part);
  }
  return name;
}

// --- Who is there ---

// Newer than the headers of some systems.
constexpr int so_peerpidfd = 77;
// The kernel shows this number for users who have none in this namespace.
constexpr uid_t overflow_uid = 65534;

// Did a process of this user, or root, make the other end? A user without a number here is known by
// being allowed to send signals, which the kernel decides by what numbers stand for.
bool is_ours(int socket) noexcept {
  ucred maker{};
  socklen_t size = sizeof maker;
  if (::syscall(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &maker, &size) != 0) return false;
  if (maker.uid != overflow_uid) return maker.uid == ::geteuid() || maker.uid == 0;
  int process = -1;
  size = sizeof process;
  opening now;
  if (::syscall(SYS_getsockopt, socket, SOL_SOCKET, so_peerpidfd, &process, &size) != 0) {
    return errno == ENOPROTOOPT && maker.pid > 0 && ::syscall(SYS_kill, maker.pid, 0) == 0;
  }
  const bool may_signal = ::syscall(SYS_pidfd_send_signal, process, 0, nullptr, 0) == 0;
  system::close(process);
  return may_signal;
}

enum class found : unsigned char { ours, nobody, another_user, error };

// `connection`: of ours. error: errno says which.
found look_at(const broker_address& name, bool is_interruptible, int& connection) noexcept {
  connection = open_noted_socket(SOCK_SEQPACKET | SOCK_CLOEXEC);
  if (connection < 0) return found::error;
  ::syscall(SYS_setsockopt, connection, SOL_SOCKET, SO_SNDTIMEO, &queue_patience,
            sizeof queue_patience);
  int failed = 0;
  do {
    failed = system::connect(connection, &name.name, name.size) == 0 ? 0 : errno;
  } while (failed == EINTR && !is_interruptible);
  if (failed == 0 && is_ours(connection)) return found::ours;
  close_noted(connection);
  errno = failed;
  switch (failed) {
    case ECONNREFUSED: return found::nobody;
    case 0:
    case EAGAIN:      // its queue is full, and stays so
    case EPROTOTYPE:  // no broker
    case ECONNRESET: return found::another_user;
    case EPERM:
    case EACCES: errno = ENODEV; [[fallthrough]];
    default: return found::error;
  }
}

}  // namespace

void pause_shortly() noexcept {
  const timespec time{.tv_sec = 0, .tv_nsec = 1'000'000};
  ::syscall(SYS_nanosleep, &time, nullptr);
}

int connect_to_broker(bool starts, bool is_interruptible) noexcept {
  unsigned taken = 0;  // a bit for each name that a stranger has, or somebody who never listens
  int started = 0;
  for (int attempt = 0; attempt < attempts_max && started < starts_max; ++attempt) {
    unsigned free = names_max;
    for (unsigned which = 0; which < name_count(); ++which) {
      if ((taken >> which & 1) != 0) continue;
      int connection = -1;
      const found who = look_at(name_of(which), is_interruptible, connection);
      if (who == found::ours) return connection;
      if (who == found::error) return -1;
      if (who == found::another_user) taken |= 1U << which;
      if (who == found::nobody && free == names_max) free = which;
    }
    if (!starts || free == names_max) {
      errno = starts ? EACCES : ENODEV;
      return -1;
    }
    if (start_broker(name_of(free))) {
      ++started;
      continue;
    }
    if (errno != EADDRINUSE) return -1;
    pause_shortly();  // another one is about to listen, or to end
    if (attempt % 100 == 99) taken |= 1U << free;
  }
  errno = ENODEV;
  return -1;
}

int connect_over_device(int device, bool is_interruptible) noexcept {
  if (!is_ours(device)) {
    errno = EACCES;
    return -1;
  }
  int ends[2];
  if (!open_noted_pair(ends)) return -1;
  char byte = 0;
  iovec data{.iov_base = &byte, .iov_len = 1};
  fd_room<1> room;
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  put_fds(message, room, {&ends[1], 1});
  int failed = 0;
  do {
    failed = system::send(device, message) < 0 ? errno : 0;
    if (failed == EAGAIN) {
      pollfd writable{.fd = device, .events = POLLOUT, .revents = 0};
      if (::syscall(SYS_ppoll, &writable, 1UL, nullptr, nullptr, 0UL) < 0) failed = errno;
    }
  } while (failed == EAGAIN || (failed == EINTR && !is_interruptible));
  close_noted(ends[1]);
  if (failed == 0) return ends[0];
  close_noted(ends[0]);
  errno = failed == EPIPE || failed == ECONNRESET ? ENODEV : failed;
  return -1;
}

}  // namespace ufence::uapi

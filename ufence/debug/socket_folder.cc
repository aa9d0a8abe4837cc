#include "ufence/debug/socket_folder.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace ufence::debug {

namespace {

std::string path_of_folder() {
  // Not that of a user who has started a program with rights that the user has not.
  const char* const runtime = ::secure_getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') return std::string(runtime) + "/ufence";
  return "/tmp/ufence-" + std::to_string(::geteuid());
}

// Others may have made it before us, or put a link in its place.
result<unique_fd> open_folder(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return failure(errno);
  unique_fd folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!folder) return failure(errno == ELOOP || errno == ENOTDIR ? EPERM : errno);
  struct stat found {};
  if (::fstat(folder.get(), &found) != 0) return failure(errno);
  if (found.st_uid != ::geteuid() || (found.st_mode & 077) != 0) return failure(EPERM);
  return folder;
}

}  // namespace

result<listening_socket> listen_in_folder() {
  const std::string path = path_of_folder();
  const result<unique_fd> folder = open_folder(path);
  if (!folder) return std::unexpected(folder.error());
  const std::string name = std::to_string(::getpid());
  listening_socket made{.socket = unique_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
                        .path = path + "/" + name};
  if (!made.socket) return failure(errno);
  // Of an earlier process with this number.
  ::unlinkat(folder->get(), name.c_str(), 0);
  // By the open folder: nobody can put another one in its place meanwhile, and its path may be long.
  const std::string short_path = "/proc/self/fd/" + std::to_string(folder->get()) + "/" + name;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (short_path.size() >= sizeof address.sun_path) return failure(ENAMETOOLONG);
  std::memcpy(address.sun_path, short_path.data(), short_path.size());
  if (::bind(made.socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(made.socket.get(), 8) != 0) {
    return failure(errno);
  }
  return made;
}

bool is_of_same_user(int connection) noexcept {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == ::geteuid() || peer.uid == 0);
}

}  // namespace ufence::debug

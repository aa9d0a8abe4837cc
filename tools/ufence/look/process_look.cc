#include "tools/ufence/look/process_look.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "ufence/base/fd.h"

namespace ufence::tool {

namespace {

// The process looks, and tells, within that time unless it is stopped.
constexpr timeval patience{.tv_sec = 10, .tv_usec = 0};

std::string text_of(int error) { return std::generic_category().message(error); }

// Where processes of a user have their sockets.
std::vector<std::string> folders_of(uid_t user) {
  const std::string number = std::to_string(user);
  std::vector<std::string> folders;
  const char* const runtime = ::secure_getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && runtime[0] == '/') folders.push_back(std::string(runtime) + "/ufence");
  folders.push_back("/run/user/" + number + "/ufence");
  folders.push_back("/tmp/ufence-" + number);
  return folders;
}

// Others could have made a folder of that name, and answer in the process's place.
bool is_users_alone(const std::string& folder, uid_t user) {
  struct stat found {};
  return ::lstat(folder.c_str(), &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == user &&
         (found.st_mode & 077) == 0;
}

// 0, or the errno.
int connect_to(const std::string& folder, std::int64_t process, unique_fd& connection) {
  const unique_fd open_folder(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!open_folder) return errno;
  connection = unique_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connection) return errno;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(open_folder.get()) + "/" +
                           std::to_string(process);
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    ::setsockopt(connection.get(), SOL_SOCKET, option, &patience, sizeof patience);
  }
  return ::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0
             ? 0
             : errno;
}

std::variant<debug::snapshot, std::string> ask(int connection, bool all) {
  const std::string_view request = all ? "look all\n" : "look\n";
  if (::send(connection, request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    return "it hangs up: " + text_of(errno);
  }
  std::string answer;
  std::array<char, 65536> part;
  for (;;) {
    const ssize_t size = ::recv(connection, part.data(), part.size(), 0);
    if (size == 0) break;
    if (size < 0) {
      return errno == EAGAIN ? std::string("it does not answer: is it stopped?") : text_of(errno);
    }
    answer.append(part.data(), static_cast<std::size_t>(size));
  }
  if (answer.empty()) return "it refuses to answer";
  return parse_snapshot(answer);
}

}  // namespace

std::variant<debug::snapshot, std::string> look_into(std::int64_t process, bool all) {
  const std::string number = std::to_string(process);
  struct stat owner {};
  if (::stat(("/proc/" + number).c_str(), &owner) != 0) return "there is no such process";
  std::string why = "it has no debug socket: start it with UFENCE_DEBUG=1, or let it call debug_listen()";
  for (const std::string& folder : folders_of(owner.st_uid)) {
    if (!is_users_alone(folder, owner.st_uid)) {
      if (errno == EACCES || ::access(folder.c_str(), F_OK) == 0) {
        why = folder + " is not that user's alone, or not to be entered by this one";
      }
      continue;
    }
    unique_fd connection;
    const int failed = connect_to(folder, process, connection);
    if (failed == EACCES || failed == EPERM) why = "it belongs to another user";
    if (failed != 0) continue;
    return ask(connection.get(), all);
  }
  return why;
}

std::vector<std::int64_t> processes_with_socket() {
  std::vector<std::int64_t> found;
  for (const std::string& folder : folders_of(::geteuid())) {
    if (!is_users_alone(folder, ::geteuid())) continue;
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
      const std::string name = entry.path().filename();
      std::int64_t process = 0;
      const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), process);
      if (error != std::errc() || end != name.data() + name.size()) continue;
      if (process == ::getpid()) continue;  // this program was started with UFENCE_DEBUG=1 as well
      unique_fd connection;
      if (connect_to(folder, process, connection) == 0) found.push_back(process);
    }
  }
  std::ranges::sort(found);
  const auto rest = std::ranges::unique(found);
  found.erase(rest.begin(), rest.end());
  return found;
}

}  // namespace ufence::tool

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
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

#include "tools/ufence/look/holders.h"
#include "tools/ufence/look/outside.h"
#include "tools/ufence/look/symbols.h"
#include "tools/ufence/look/target.h"
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
  const unique_fd open_folder(
      ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!open_folder) return errno;
  connection = unique_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connection) return errno;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path =
      "/proc/self/fd/" + std::to_string(open_folder.get()) + "/" + std::to_string(process);
  std::memcpy(address.sun_path, path.data(), std::min(path.size(), sizeof address.sun_path - 1));
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    ::setsockopt(connection.get(), SOL_SOCKET, option, &patience, sizeof patience);
  }
  return ::connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
                 0
             ? 0
             : errno;
}

std::variant<debug::snapshot, std::string> ask(int connection, bool all) {
  const std::string_view request = all ? "look all\n" : "look\n";
  if (::send(connection, request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    return "it closed the connection: " + text_of(errno);
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

namespace {

// The socket of a process, or the errno of why there is none: ENOENT, it has none.
int connect_to_process(std::int64_t process, uid_t owner, unique_fd& connection) {
  int why = ENOENT;
  for (const std::string& folder : folders_of(owner)) {
    if (!is_users_alone(folder, owner)) continue;
    const int failed = connect_to(folder, process, connection);
    if (failed == 0) return 0;
    if (failed == EACCES || failed == EPERM) why = failed;
  }
  return why;
}

std::variant<debug::snapshot, std::string> look_into_process(std::int64_t process, const look_request& request) {
  struct stat owner {};
  if (::stat(("/proc/" + std::to_string(process)).c_str(), &owner) != 0) return "there is no such process";
  unique_fd connection;
  if (!request.from_outside && connect_to_process(process, owner.st_uid, connection) == 0) {
    auto answer = ask(connection.get(), request.all);
    if (std::holds_alternative<debug::snapshot>(answer)) return answer;
  }
  opened_target opened = open_process(process);
  if (std::string* const why = std::get_if<std::string>(&opened)) {
    return *why + "; nor does it answer by a debug socket (UFENCE_DEBUG=1, debug_listen())";
  }
  return look_from_outside(*std::get<std::unique_ptr<target>>(opened), request.all);
}

}  // namespace

std::variant<unique_fd, std::string> connect_to_process(std::int64_t process) {
  struct stat owner {};
  if (::stat(("/proc/" + std::to_string(process)).c_str(), &owner) != 0) return "there is no such process";
  unique_fd connection;
  const int failed = connect_to_process(process, owner.st_uid, connection);
  if (failed == 0) return {std::move(connection)};
  if (failed != ENOENT) return "it belongs to another user";
  return "it has no debug socket: start it with UFENCE_DEBUG=1, or let it call debug_listen()";
}

namespace {

// Reads the text that `--json` has printed.
std::optional<std::string> dump_in(const std::string& path) {
  std::ifstream file(path);
  char first = 0;
  if (!(file >> first) || (first != '{' && first != '[')) return {};
  file.seekg(0);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace

std::variant<debug::snapshot, std::string> look_into(const look_request& request) {
  std::int64_t process = 0;
  const char* const end = request.at.data() + request.at.size();
  const auto [rest, error] = std::from_chars(request.at.data(), end, process);
  std::variant<debug::snapshot, std::string> found;
  if (error == std::errc() && rest == end) {
    found = look_into_process(process, request);
    if (auto* const seen = std::get_if<debug::snapshot>(&found)) find_holders(*seen);
  } else if (const std::optional<std::string> dump = dump_in(request.at)) {
    return parse_snapshot(*dump);
  } else {
    opened_target opened = open_core(request.at);
    if (std::string* const why = std::get_if<std::string>(&opened)) return std::move(*why);
    found = look_from_outside(*std::get<std::unique_ptr<target>>(opened), request.all);
  }
  if (auto* const seen = std::get_if<debug::snapshot>(&found)) find_symbols(*seen);
  return found;
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

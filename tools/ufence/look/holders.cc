#include "tools/ufence/look/holders.h"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "ufence/base/fd.h"

namespace ufence::tool {
namespace {

using inode = std::uint32_t;

// Of "socket:[4711]"; 0: it is another file, or not to be read.
inode socket_at(const std::filesystem::path& link) {
  std::error_code failed;
  const std::string text = std::filesystem::read_symlink(link, failed);
  constexpr std::string_view begin = "socket:[";
  inode number = 0;
  if (!failed && text.starts_with(begin)) {
    std::from_chars(text.data() + begin.size(), text.data() + text.size(), number);
  }
  return number;
}

// The other end of each Unix socket of this network namespace.
class socket_peers {
 public:
  socket_peers() {
    const unique_fd kernel(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    struct {
      nlmsghdr head;
      unix_diag_req what;
    } request{};
    request.head.nlmsg_len = sizeof request;
    request.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
    request.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    request.what.sdiag_family = AF_UNIX;
    request.what.udiag_states = UINT32_MAX;
    request.what.udiag_show = UDIAG_SHOW_PEER;
    if (!kernel || ::send(kernel.get(), &request, sizeof request, 0) < 0) return;
    alignas(nlmsghdr) std::array<char, 32'768> part;
    for (bool goes_on = true; goes_on;) {
      const ssize_t size = ::recv(kernel.get(), part.data(), part.size(), 0);
      goes_on = size > 0 && read(std::span(part).first(static_cast<std::size_t>(size)));
    }
  }
  // 0: it has none.
  [[nodiscard]] inode of(inode socket) const {
    const auto at = peers_.find(socket);
    return at != peers_.end() ? at->second : 0;
  }

 private:
  // False: that was the last part.
  bool read(std::span<const char> part) {
    while (part.size() >= sizeof(nlmsghdr)) {
      nlmsghdr head;
      std::memcpy(&head, part.data(), sizeof head);
      if (head.nlmsg_type == NLMSG_DONE || head.nlmsg_type == NLMSG_ERROR) return false;
      if (head.nlmsg_len < sizeof head + sizeof(unix_diag_msg) || head.nlmsg_len > part.size()) return false;
      add(part.subspan(sizeof head, head.nlmsg_len - sizeof head));
      part = part.subspan(std::min<std::size_t>(NLMSG_ALIGN(head.nlmsg_len), part.size()));
    }
    return true;
  }
  void add(std::span<const char> message) {
    unix_diag_msg socket;
    std::memcpy(&socket, message.data(), sizeof socket);
    message = message.subspan(sizeof socket);
    while (message.size() >= sizeof(nlattr)) {
      nlattr head;
      std::memcpy(&head, message.data(), sizeof head);
      if (head.nla_len < sizeof head || head.nla_len > message.size()) return;
      inode peer = 0;
      if (head.nla_type == UNIX_DIAG_PEER && head.nla_len >= sizeof head + sizeof peer) {
        std::memcpy(&peer, message.data() + sizeof head, sizeof peer);
        peers_[socket.udiag_ino] = peer;
      }
      message = message.subspan(std::min<std::size_t>(NLA_ALIGN(head.nla_len), message.size()));
    }
  }

  std::map<inode, inode> peers_;
};

// The processes that have one of these sockets open, by socket.
std::map<inode, std::set<std::int64_t>> holders_of(const std::set<inode>& wanted) {
  std::map<inode, std::set<std::int64_t>> found;
  std::error_code failed;
  for (const auto& process : std::filesystem::directory_iterator("/proc", failed)) {
    const std::string name = process.path().filename();
    std::int64_t id = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), id).ptr != name.data() + name.size()) continue;
    std::error_code hidden;
    for (const auto& fd : std::filesystem::directory_iterator(process.path() / "fd", hidden)) {
      const inode socket = socket_at(fd.path());
      if (socket != 0 && wanted.contains(socket)) found[socket].insert(id);
    }
  }
  return found;
}

std::string name_of(std::int64_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/comm");
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

void find_holders(debug::snapshot& of) {
  std::map<std::uint32_t, std::set<inode>> files_of;  // by node: the holders' ends
  std::set<inode> all;
  const bool has_any = std::ranges::any_of(of.nodes, [](const debug::node& n) { return !n.export_fds.empty(); });
  if (!has_any) return;
  const socket_peers peers;
  const std::filesystem::path own = "/proc/" + std::to_string(of.process) + "/fd";
  for (std::uint32_t n = 0; n < of.nodes.size(); ++n) {
    for (const int fd : of.nodes[n].export_fds) {
      const inode end = peers.of(socket_at(own / std::to_string(fd)));
      if (end != 0) files_of[n].insert(end);
      if (end != 0) all.insert(end);
    }
  }
  const auto holders = holders_of(all);
  for (const auto& [n, files] : files_of) {
    std::set<std::int64_t> processes;
    for (const inode file : files) {
      if (const auto at = holders.find(file); at != holders.end()) processes.insert(at->second.begin(), at->second.end());
    }
    std::string text;
    for (const std::int64_t p : processes) {
      text += (text.empty() ? "its sync file is held by process " : ", ") + std::to_string(p) + " \"" + name_of(p) + "\"";
    }
    if (text.empty()) text = "its sync file is held by nobody that can be seen";
    std::string& note = of.nodes[n].note;
    note += (note.empty() ? "" : "; ") + text;
  }
}

}  // namespace ufence::tool

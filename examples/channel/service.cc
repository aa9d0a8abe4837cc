// A service in another process. Each request is a parcel with a fence: the work begins when it is signaled. The
// answer is a fence too, and comes before the work is done. A third request is never done: the service is killed.
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "ufence/sync/channel.h"

namespace {

constexpr std::uint64_t never = 3;  // the request that the service is killed with

int serve(int socket) {
  auto line = ufence::channel::adopt(ufence::unique_fd(socket));
  if (!line) return 1;
  for (;;) {
    auto request = line->receive(ufence::no_deadline);
    if (!request) return request.error() == std::errc::broken_pipe ? 0 : 1;
    auto work = ufence::fence::create(ufence::fence::allocate_contexts(1), request->tag);
    if (!work || request->items.size() != 1) return 1;
    if (line->send({.tag = request->tag, .items = {{.fence = work->fence}}}, ufence::no_deadline)) return 1;
    if (request->tag == never) ::pause();
    // The work: as long as what it waits for, and with the same result.
    const std::error_code failed = request->items[0].fence->wait_result();
    work->signal.signal(-failed.value());
  }
}

// The fence of the answer, or none.
ufence::fence_ref ask(ufence::channel& line, std::uint64_t tag, const ufence::fence_ref& begin) {
  if (line.send({.tag = tag, .items = {{.fence = begin}}}, ufence::no_deadline)) return {};
  auto answer = line.receive(ufence::no_deadline);
  return answer && answer->tag == tag && answer->items.size() == 1 ? answer->items[0].fence : ufence::fence_ref();
}

std::string how(const ufence::fence_ref& done) {
  const std::error_code failed = done->wait_result();
  return failed ? failed.message() : "done";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) return serve(std::atoi(argv[1]));
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) return 1;
  std::string number = std::to_string(ends[1]);
  char* const arguments[] = {argv[0], number.data(), nullptr};
  pid_t service = 0;
  if (::posix_spawn(&service, "/proc/self/exe", nullptr, nullptr, arguments, environ) != 0) return 1;
  ::close(ends[1]);
  auto line = ufence::channel::adopt(ufence::unique_fd(ends[0]));
  if (!line) return 1;

  std::string answers[3];
  for (std::uint64_t tag = 1; tag <= 3; ++tag) {
    auto begin = ufence::fence::create(ufence::fence::allocate_contexts(1), tag);
    if (!begin) return 1;
    const ufence::fence_ref done = ask(*line, tag, begin->fence);
    if (!done || done->is_signaled()) return 1;
    begin->signal.signal(tag == 2 ? -ENODATA : 0);
    if (tag == never) ::kill(service, SIGKILL);
    answers[tag - 1] = how(done);
    std::printf("request %u: %s\n", static_cast<unsigned>(tag), answers[tag - 1].c_str());
  }
  int status = 0;
  if (::waitpid(service, &status, 0) != service || !WIFSIGNALED(status)) return 1;
  return answers[0] == "done" && answers[1] == "No data available" && answers[2] == "Owner died" ? 0 : 1;
}

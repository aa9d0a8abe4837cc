#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>

#include "tools/ufence/cli/commands.h"
#include "tools/ufence/reader/reader.h"
#include "tools/ufence/reader/reader_wire.h"
#include "ufence/trace/record.h"

namespace ufence::tool {
namespace {

// Started by a run, with its socket.
int read_for_run() {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(reader_socket_fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      type != SOCK_SEQPACKET) {
    static_cast<void>(std::fputs("ufence: reader: only `ufence run` can start it\n", stderr));
    return usage_error;
  }
  const int code = run_reader(unique_fd(reader_socket_fd));
  // The run may not have closed all of its sync files yet: their fences end with the process.
  static_cast<void>(record_stop());  // what was recorded, if it was
  ::_exit(code);
}

}  // namespace

void add_reader_command(CLI::App& app, command& chosen) {
  CLI::App* const reader_app = app.add_subcommand("reader", "Reads for `ufence run --via`");
  reader_app->group("");  // not listed: it is not for people
  reader_app->callback([&chosen] { chosen = &read_for_run; });
}

}  // namespace ufence::tool

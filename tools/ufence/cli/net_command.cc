#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tools/ufence/cli/commands.h"

namespace ufence::tool {
namespace {

// A program of its own: this one works where libufence-net is not installed. Its exit status is
// ours.
int run_net(std::vector<std::string> arguments) {
  std::string program = program_beside("ufence-net");
  std::vector<char*> argv{program.data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  static_cast<void>(
      std::fprintf(stderr,
                   "ufence: cannot run %s: %s; install the package ufence-net, or build with "
                   "libnats-dev\n",
                   program.c_str(), std::strerror(errno)));
  return 1;
}

}  // namespace

void add_net_command(CLI::App& app, command& chosen) {
  CLI::App* const net = app.add_subcommand(
      "net",
      "Fences across hosts: a server to try them with, and what timelines there are\n"
      "`ufence net --help` has the rest.");
  // All of the command line is the program's.
  net->prefix_command();
  net->set_help_flag();
  net->callback(
      [net, &chosen] { chosen = [arguments = net->remaining()] { return run_net(arguments); }; });
}

}  // namespace ufence::tool

#include "tools/ufence/cli/commands.h"

namespace ufence::tool {

namespace {

// A program of its own: this one works where libufence-net is not installed.
int run_net(std::vector<std::string> arguments) {
  return become("ufence-net", std::move(arguments),
                "install the package ufence-net, or build with libnats-dev", 1);
}

}  // namespace

void add_net_command(CLI::App& app, command& chosen) {
  add_program_command(
      app, chosen, "net",
      "Fences across hosts: a server to try them with, and what timelines there are\n"
      "`ufence net --help` has the rest.",
      &run_net);
  add_program_command(app, chosen, "worker",
                      "Hashes files for `ufence run --hosts` of the same namespace\n"
                      "`ufence worker --help` has the rest.",
                      [](std::vector<std::string> arguments) {
                        arguments.insert(arguments.begin(), "worker");
                        return run_net(std::move(arguments));
                      });
}

}  // namespace ufence::tool

// The program ufence-net, which `ufence net`, `ufence worker` and `ufence run --hosts` run.
#include <string_view>

#include "tools/command_line/command_line.h"
#include "tools/net/commands.h"

int main(int argc, char** argv) {
  using namespace ufence::tool;
  const std::string_view first = argc > 1 ? argv[1] : "";
  CLI::App app(
      "Fences across hosts: runs a server to try them with, and shows what timelines there are\n"
      "They need the package nats-server, on one host that the others reach.",
      first == "worker" || first == "run" ? "ufence" : "ufence net");
  app.set_version_flag("--version", "ufence " UFENCE_VERSION);
  app.require_subcommand(1);
  set_up_help(app);
  add_describe_option(app);
  command chosen;
  add_serve_command(app, chosen);
  add_status_command(app, chosen);
  add_worker_command(app, chosen);
  add_run_command(app, chosen);
  return run_main(app, argc, argv, 1, [&chosen] { return chosen(); });
}

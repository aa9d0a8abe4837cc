// The command `ufence`.
#include <cstdio>
#include <exception>

#include "tools/command_line/command_line.h"
#include "tools/ufence/cli/commands.h"

namespace ufence::tool {
namespace {

// CLI11 does not say which word it did not know.
bool is_known_command(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return true;
  const auto has_that_name = [argv](const CLI::App* one) { return one->check_name(argv[1]); };
  if (!app.get_subcommands(has_that_name).empty()) return true;
  static_cast<void>(std::fprintf(
      stderr, "ufence: there is no command \"%s\"; `ufence --help` lists them\n", argv[1]));
  return false;
}

}  // namespace
}  // namespace ufence::tool

int main(int argc, char** argv) {
  using namespace ufence::tool;
  CLI::App app("Tools for completion fences that outlive the module that issued them", "ufence");
  app.set_version_flag("--version", "ufence " UFENCE_VERSION);
  app.require_subcommand(1);
  set_up_help(app);
  command chosen;
  add_run_command(app, chosen);
  add_sum_command(app, chosen);
  add_modules_command(app, chosen);
  add_lab_command(app, chosen);
  add_net_command(app, chosen);
  add_reader_command(app, chosen);
  add_uapi_command(app, chosen);
  add_look_commands(app, chosen);
  add_top_command(app, chosen);
  add_record_command(app, chosen);
  add_describe_command(app, chosen);
  if (!is_known_command(app, argc, argv)) return usage_error;
  return run_main(app, argc, argv, 1, [&chosen] { return chosen(); });
}

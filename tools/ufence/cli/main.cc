// The command `ufence`.
#include <cstdio>
#include <exception>

#include "tools/ufence/cli/commands.h"

int main(int argc, char** argv) {
  using namespace ufence::tool;
  CLI::App app("Completion fences that outlive the module that issued them: tools.", "ufence");
  app.set_version_flag("--version", "ufence " UFENCE_VERSION);
  app.require_subcommand(1);
  command chosen;
  add_run_command(app, chosen);
  add_modules_command(app, chosen);
  add_lab_command(app, chosen);
  add_reader_command(app, chosen);
  add_uapi_command(app, chosen);
  add_look_commands(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : usage_error;
  }
  try {
    return chosen();
  } catch (const std::exception& error) {
    static_cast<void>(std::fprintf(stderr, "ufence: %s\n", error.what()));
    return 1;
  }
}

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tools/ufence/cli/commands.h"

namespace ufence::tool {
namespace {

// A program of its own: it is built from the library's sources over the lab's doubles, and must not
// be in one process with libufence. Its exit status is ours.
int run_lab(std::vector<std::string> arguments) {
  std::error_code failed;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failed);
  std::string program = (self.parent_path() / "ufence-lab").string();
  std::vector<char*> argv{program.data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (!failed) ::execv(program.c_str(), argv.data());
  static_cast<void>(std::fprintf(stderr,
                                 "ufence: cannot run %s: %s; build the target ufence_lab_program "
                                 "(there is none under sanitizers)\n",
                                 program.c_str(), std::strerror(errno)));
  return lab_failed;
}

}  // namespace

void add_lab_command(CLI::App& app, command& chosen) {
  CLI::App* const lab = app.add_subcommand(
      "lab",
      "Explores the hazards of fence designs under a weak memory model: the kernel's, those "
      "that were\nproposed, and this library's own. `ufence lab --help` has the rest.");
  // All of the command line is the program's.
  lab->prefix_command();
  lab->set_help_flag();
  lab->callback(
      [lab, &chosen] { chosen = [arguments = lab->remaining()] { return run_lab(arguments); }; });
}

}  // namespace ufence::tool

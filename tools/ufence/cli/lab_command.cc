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

// Programs of their own: they are built from the library's sources over the lab's doubles, and must
// not be in one process with libufence. Their exit status is ours.
int run_lab(std::vector<std::string> arguments) {
  const std::string first = arguments.empty() ? "" : arguments.front();
  std::string name = "ufence-lab";
  if (first == "check") name = "ufence-lab-check";
  if (first == "kernel") name = "ufence-lab-source";
  if (name != "ufence-lab") arguments.erase(arguments.begin());
  std::string program = program_beside(name);
  std::vector<char*> argv{program.data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  static_cast<void>(
      std::fprintf(stderr,
                   "ufence: cannot run %s: %s; build the targets ufence_lab_program, "
                   "ufence_lab_check_program and ufence_lab_source_program (there are "
                   "none under sanitizers)\n",
                   program.c_str(), std::strerror(errno)));
  return lab_failed;
}

}  // namespace

std::string program_beside(const std::string& name) {
  std::error_code failed;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failed);
  return (self.parent_path() / name).string();
}

void add_lab_command(CLI::App& app, command& chosen) {
  CLI::App* const lab = app.add_subcommand("lab",
                                           "Explores fence designs, kernel trees, or your program "
                                           "with threads, under a weak memory model\n"
                                           "`ufence lab --help`, `ufence lab kernel --help` and "
                                           "`ufence lab check --help` have the rest.");
  // All of the command line is the program's.
  lab->prefix_command();
  lab->set_help_flag();
  lab->callback(
      [lab, &chosen] { chosen = [arguments = lab->remaining()] { return run_lab(arguments); }; });
}

}  // namespace ufence::tool

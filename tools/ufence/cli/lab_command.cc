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
  const bool checks = !arguments.empty() && arguments.front() == "check";
  const std::string name = checks ? "ufence-lab-check" : "ufence-lab";
  if (checks) arguments.erase(arguments.begin());
  std::error_code failed;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failed);
  std::string program = (self.parent_path() / name).string();
  std::vector<char*> argv{program.data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (!failed) ::execv(program.c_str(), argv.data());
  static_cast<void>(std::fprintf(stderr,
                                 "ufence: cannot run %s: %s; build the targets ufence_lab_program "
                                 "and ufence_lab_check_program (there are none under sanitizers)\n",
                                 program.c_str(), std::strerror(errno)));
  return lab_failed;
}

}  // namespace

void add_lab_command(CLI::App& app, command& chosen) {
  CLI::App* const lab = app.add_subcommand(
      "lab",
      "Explores the hazards of fence designs under a weak memory model: the kernel's, those "
      "that were\nproposed, and this library's own. `ufence lab --help` has the rest.\n"
      "`ufence lab check FILE...` explores any small program with threads, in C or C++.");
  // All of the command line is the program's.
  lab->prefix_command();
  lab->set_help_flag();
  lab->callback(
      [lab, &chosen] { chosen = [arguments = lab->remaining()] { return run_lab(arguments); }; });
}

}  // namespace ufence::tool

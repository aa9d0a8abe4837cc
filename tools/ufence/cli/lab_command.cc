#include "tools/ufence/cli/commands.h"

namespace ufence::tool {
namespace {

// Programs of their own: they are built from the library's sources over the lab's doubles, and must
// not be in one process with libufence.
int run_lab(std::vector<std::string> arguments) {
  const std::string first = arguments.empty() ? "" : arguments.front();
  std::string name = "ufence-lab";
  if (first == "check") name = "ufence-lab-check";
  if (first == "kernel") name = "ufence-lab-source";
  if (name != "ufence-lab") arguments.erase(arguments.begin());
  return become(name, std::move(arguments),
                "build the targets ufence_lab_program, ufence_lab_check_program and "
                "ufence_lab_source_program (there are none under sanitizers)",
                lab_failed);
}

}  // namespace

void add_lab_command(CLI::App& app, command& chosen) {
  add_program_command(app, chosen, "lab",
                      "Explores fence designs, kernel trees, or your program "
                      "with threads, under a weak memory model\n"
                      "`ufence lab --help`, `ufence lab kernel --help` and "
                      "`ufence lab check --help` have the rest.",
                      &run_lab);
}

}  // namespace ufence::tool

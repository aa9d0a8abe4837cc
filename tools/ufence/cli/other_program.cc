// Commands that are programs of their own.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "tools/ufence/cli/commands.h"

namespace ufence::tool {

std::string program_beside(const std::string& name) {
  std::error_code failed;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", failed);
  return (self.parent_path() / name).string();
}

int become(const std::string& name, std::vector<std::string> arguments, const char* remedy, int failed) {
  std::string program = program_beside(name);
  std::vector<char*> argv{program.data()};
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  static_cast<void>(std::fprintf(stderr, "ufence: cannot run %s: %s; %s\n", program.c_str(),
                                 std::strerror(errno), remedy));
  return failed;
}

void add_program_command(CLI::App& app, command& chosen, const char* name, const char* description,
                         int (*run)(std::vector<std::string> arguments)) {
  CLI::App* const added = app.add_subcommand(name, description);
  // All of the command line is the program's.
  added->prefix_command();
  added->set_help_flag();
  added->callback([added, run, &chosen] {
    chosen = [run, arguments = added->remaining()] { return run(arguments); };
  });
}

}  // namespace ufence::tool

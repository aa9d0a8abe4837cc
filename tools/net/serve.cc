#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tools/net/commands.h"

namespace ufence::tool {
namespace {

struct serve_options {
  std::string address = "127.0.0.1";
  int port = 4222;
  std::string folder;
  std::string config;
};

std::string default_folder() {
  const char* const state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return std::string(state) + "/ufence/net";
  const char* const home = std::getenv("HOME");
  return std::string(home != nullptr ? home : "/tmp") + "/.local/state/ufence/net";
}

int serve(const serve_options& o) {
  const std::string folder = o.folder.empty() ? default_folder() : o.folder;
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) {
    static_cast<void>(
        std::fprintf(stderr, "ufence: %s: %s\n", folder.c_str(), failed.message().c_str()));
    return 1;
  }
  std::vector<std::string> words{"nats-server", "-js",     "-sd", folder,
                                 "-a",          o.address, "-p",  std::to_string(o.port)};
  if (!o.config.empty()) words.insert(words.end(), {"-c", o.config});
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  // Debian has it where the path of users does not look.
  ::execvp(argv[0], argv.data());
  ::execv("/usr/sbin/nats-server", argv.data());
  static_cast<void>(
      std::fprintf(stderr, "ufence: cannot run nats-server: %s; install the package nats-server\n",
                   std::strerror(errno)));
  return 1;
}

}  // namespace

void add_serve_command(CLI::App& app, command& chosen) {
  CLI::App* const sub =
      app.add_subcommand("serve",
                         "Runs a nats-server with JetStream, until it is interrupted\n"
                         "Without --config everybody who reaches it may do everything: it listens "
                         "on this host alone.");
  auto options = std::make_shared<serve_options>();
  sub->add_option("--address", options->address, "Listens there")->capture_default_str();
  sub->add_option("--port", options->port, "Listens at that port")
      ->capture_default_str()
      ->check(CLI::Range(1, 65535));
  sub->add_option("--folder", options->folder,
                  "Keeps the last values there (default: ~/.local/state/ufence/net)");
  sub->add_option("--config", options->config,
                  "A configuration of nats-server: who may do what (examples/net/nats.conf)");
  sub->callback([options, &chosen] { chosen = [options] { return serve(*options); }; });
}

}  // namespace ufence::tool

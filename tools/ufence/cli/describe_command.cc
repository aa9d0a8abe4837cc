// `ufence describe`: every command line as JSON, those of the lab's programs and of ufence-net too.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>

#include "tools/command_line/command_line.h"
#include "tools/ufence/cli/commands.h"

namespace ufence::tool {
namespace {

using json = nlohmann::ordered_json;

// The program's description of itself, or null if there is none: sanitizers have no lab.
json ask(const std::string& program) {
  const std::string command = "'" + program + "' --describe 2>/dev/null";
  const std::unique_ptr<std::FILE, decltype(&::pclose)> answer(::popen(command.c_str(), "re"),
                                                               &::pclose);
  std::string text;
  for (int c; answer && (c = std::fgetc(answer.get())) != EOF;) text += static_cast<char>(c);
  return text.empty() ? json() : json::parse(text);
}

// `ufence worker` is a command of ufence-net, and none of `ufence net`.
json take_worker(json& net) {
  json worker;
  json others = json::array();
  if (net.is_null()) return worker;
  for (json& one : net["subcommands"]) {
    if (one["name"] == "worker") {
      worker = std::move(one);
    } else {
      others.push_back(std::move(one));
    }
  }
  net["subcommands"] = std::move(others);
  return worker;
}

int describe(const CLI::App& app) {
  json all = described(app);
  json lab = ask(program_beside("ufence-lab"));
  json check = ask(program_beside("ufence-lab-check"));
  json kernel = ask(program_beside("ufence-lab-source"));
  json net = ask(program_beside("ufence-net"));
  json worker = take_worker(net);
  for (json& one : all["subcommands"]) {
    if (one["name"] == "net" && !net.is_null()) {
      net["name"] = "net";
      one = std::move(net);
      continue;
    }
    if (one["name"] == "worker" && !worker.is_null()) {
      one = std::move(worker);
      continue;
    }
    if (one["name"] != "lab" || lab.is_null() || check.is_null() || kernel.is_null()) continue;
    lab["name"] = "lab";
    check["name"] = "check";
    kernel["name"] = "kernel";
    lab["subcommands"].push_back(std::move(check));
    lab["subcommands"].push_back(std::move(kernel));
    one = std::move(lab);
  }
  fmt::print("{}\n", all.dump(2));
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace

void add_describe_command(CLI::App& app, command& chosen) {
  CLI::App* const describe_app =
      app.add_subcommand("describe", "Describes the command lines as JSON");
  describe_app->group("");  // for scripts
  describe_app->callback([&app, &chosen] { chosen = [&app] { return describe(app); }; });
}

}  // namespace ufence::tool

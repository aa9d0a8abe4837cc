#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "tools/ufence/commands.h"
#include "tools/ufence/sum_line.h"
#include "tools/ufence/units.h"
#include "ufence/module/inspect.h"

namespace ufence::tool {
namespace {

std::string_view to_string(unmapping u) {
  switch (u) {
    case unmapping::immediate: return "immediate";
    case unmapping::deferred: return "deferred";
    case unmapping::never: return "never";
  }
  return "never";
}

std::string_view explain(unmapping u) {
  switch (u) {
    case unmapping::immediate: return "yes, with the unload";
    case unmapping::deferred:
      return "later, once the threads that used its thread_local objects have ended";
    case unmapping::never: return "no";
  }
  return "no";
}

void print_for_people(const module_info& info) {
  fmt::print("{}\n", printable(info.path));
  if (info.is_loadable()) {
    fmt::print("  driver module, ABI version {}: valid\n", info.abi_version);
  } else {
    fmt::print("  not loadable: {}\n", std::generic_category().message(info.error));
  }
  for (const std::string& problem : info.problems) fmt::print("  problem: {}\n", problem);
  for (const std::string& warning : info.warnings) fmt::print("  warning: {}\n", warning);
  if (info.memory_size == 0) return;  // not an object that could be mapped
  fmt::print("  will unmap: {}\n", explain(info.unmaps));
  fmt::print("  {} in the file, {} in memory", byte_size(static_cast<double>(info.file_size)),
             byte_size(static_cast<double>(info.memory_size)));
  if (!info.build_id.empty()) fmt::print(", build {}", info.build_id);
  fmt::print("\n");
  if (!info.needed.empty()) fmt::print("  needs {}\n", fmt::join(info.needed, ", "));
}

nlohmann::ordered_json to_json(const module_info& info) {
  return {{"path", info.path},
          {"valid", info.is_loadable()},
          {"error", info.error},
          {"problems", info.problems},
          {"warnings", info.warnings},
          {"abi_version", info.abi_version},
          {"unmaps", to_string(info.unmaps)},
          {"soname", info.soname},
          {"build_id", info.build_id},
          {"needed", info.needed},
          {"file_size", info.file_size},
          {"memory_size", info.memory_size}};
}

int tell_modules(const std::vector<std::string>& paths, bool json) {
  bool all_loadable = true;
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const std::string& path : paths) {
    const module_info info = inspect(path);
    all_loadable = all_loadable && info.is_loadable();
    if (json) {
      all.push_back(to_json(info));
    } else {
      print_for_people(info);
    }
  }
  // Names and strings of files need not be UTF-8.
  if (json) fmt::print("{}\n", all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  return std::fflush(stdout) == 0 && all_loadable ? 0 : 1;
}

}  // namespace

void add_modules_command(CLI::App& app, command& chosen) {
  CLI::App* const modules_app = app.add_subcommand(
      "modules",
      "Tells what module files are without loading them: whether they are valid, whether "
      "they will unmap, and if not why.");
  modules_app->footer("Exit status: 0 if all can be loaded, else 1; 2 for a wrong command line.");
  auto paths = std::make_shared<std::vector<std::string>>();
  auto json = std::make_shared<bool>(false);
  modules_app->add_option("files", *paths, "Module files")->type_name("FILE...")->required();
  modules_app->add_flag("--json", *json, "Print a JSON array, one object for each file");
  modules_app->callback(
      [paths, json, &chosen] { chosen = [paths, json] { return tell_modules(*paths, *json); }; });
}

}  // namespace ufence::tool

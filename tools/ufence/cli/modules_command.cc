#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tools/ufence/cli/commands.h"
#include "tools/ufence/cli/units.h"
#include "tools/ufence/hash/sum_line.h"
#include "ufence/issuer/host.h"
#include "ufence/module/inspect.h"

namespace ufence::tool {
namespace {

using nlohmann::ordered_json;

// The facts that became known by loading and unloading it.
struct trial {
  std::string problem;  // why it could not be loaded; then the rest says nothing
  std::string driver, timeline, description;
  std::string interface_name;
  std::uint32_t interface_version = 0;
  std::vector<driver_option> options;
  std::string features;  // by their names
  unload_state state = unload_state::pinned;
  std::vector<std::string> pins;
  std::vector<std::string> kept;  // libraries that came along and stay

  [[nodiscard]] bool is_good() const { return problem.empty() && state == unload_state::unmapped; }
};

trial try_out(const std::string& path) {
  trial t;
  host modules;
  const result<device_ref> loaded = modules.load(path, &t.problem);
  if (!loaded) {
    if (t.problem.empty()) t.problem = loaded.error().message();
    return t;
  }
  const device& d = **loaded;
  t.driver = d.driver_name();
  t.timeline = d.timeline_name();
  t.description = d.description();
  t.interface_name = d.interface_name();
  t.interface_version = d.interface_version();
  t.options.assign(d.options().begin(), d.options().end());
  t.features = features_to_string(d.features());
  const result<unload_report> unloaded = modules.unload(*loaded);
  if (unloaded) {
    t.state = unloaded->state;
    t.pins = unloaded->pins;
    t.kept = unloaded->kept;
  } else {
    t.pins = {unloaded.error().message()};
  }
  return t;
}

// The fate of its mapping, as load() and unload() have it: a module that is refused is not mapped at all.
enum class fate : std::uint8_t { immediate, deferred, never, not_loaded };

fate fate_of(const module_info& info, const std::optional<trial>& tried) {
  if (info.unmaps == unmapping::never) return fate::never;
  if (!info.is_loadable() || (tried && !tried->problem.empty())) return fate::not_loaded;
  return info.unmaps == unmapping::deferred ? fate::deferred : fate::immediate;
}

std::string_view to_string(fate f) {
  switch (f) {
    case fate::immediate: return "immediate";
    case fate::deferred: return "deferred";
    case fate::never: return "never";
    case fate::not_loaded: break;
  }
  return "not loaded";
}

std::string_view explain(fate f) {
  switch (f) {
    case fate::immediate: return "yes, with the unload";
    case fate::deferred: return "later, once the threads that used its thread_local objects have ended";
    case fate::never: return "no: see its problems";
    case fate::not_loaded: break;
  }
  return "it is not loaded";
}

void print(const module_info& info, const std::optional<trial>& tried) {
  fmt::print("{}\n", printable(info.path));
  const std::string why = std::generic_category().message(info.error);
  if (info.is_loadable()) {
    fmt::print("  driver module, ABI version {}: its file is valid\n", info.abi_version);
  } else {
    fmt::print("  not loadable: {}\n", why);
  }
  for (const std::string& problem : info.problems) {
    if (problem != why) fmt::print("  problem: {}\n", problem);
  }
  for (const std::string& warning : info.warnings) fmt::print("  warning: {}\n", warning);
  if (info.memory_size == 0) return;  // not an object that could be mapped
  fmt::print("  will unmap: {}\n", explain(fate_of(info, tried)));
  fmt::print("  {} in the file, {} in memory", byte_size(static_cast<double>(info.file_size)),
             byte_size(static_cast<double>(info.memory_size)));
  if (!info.build_id.empty()) fmt::print(", build {}", info.build_id);
  fmt::print("\n");
  if (!info.needed.empty()) fmt::print("  needs {}\n", fmt::join(info.needed, ", "));
  if (info.static_tls_size != 0) {
    fmt::print("  static thread-local storage: {} bytes\n", info.static_tls_size);
  }
  for (const library_info& library : info.libraries) {
    fmt::print("  brings {} ({}), {}", printable(library.name), printable(library.path),
               byte_size(static_cast<double>(library.memory_size)));
    if (library.static_tls_size != 0) {
      fmt::print(", static thread-local storage: {} bytes", library.static_tls_size);
    }
    fmt::print("\n");
    if (!library.kept.empty()) fmt::print("    which stays mapped: {}\n", library.kept);
  }
}

void print(const trial& t) {
  if (!t.problem.empty()) return fmt::print("  loading failed: {}\n", t.problem);
  fmt::print("  loaded: driver {}, timeline {}", t.driver, t.timeline);
  if (!t.features.empty()) fmt::print(", with {}", t.features);
  fmt::print("\n  unloaded: {}\n", to_string(t.state));
  if (!t.description.empty()) fmt::print("  says of itself: {}\n", t.description);
  if (!t.interface_name.empty()) fmt::print("  interface: {} {}\n", t.interface_name, t.interface_version);
  for (const driver_option& o : t.options) {
    fmt::print("  option {}={}{}{}\n", o.name, printable(o.value), o.description.empty() ? "" : ": ",
               o.description);
  }
  for (const std::string& pin : t.pins) fmt::print("  pinned by {}\n", pin);
  for (const std::string& kept : t.kept) fmt::print("  kept: {}\n", kept);
}

ordered_json to_json(const std::vector<library_info>& libraries) {
  ordered_json all = ordered_json::array();
  for (const library_info& library : libraries) {
    all.push_back({{"name", library.name},
                   {"path", library.path},
                   {"kept", library.kept},
                   {"memory_size", library.memory_size},
                   {"static_tls_size", library.static_tls_size}});
  }
  return all;
}

// "a, b" as a list.
ordered_json split(const std::string& names) {
  ordered_json all = ordered_json::array();
  for (std::size_t at = 0; at < names.size();) {
    const std::size_t end = std::min(names.find(", ", at), names.size());
    all.push_back(names.substr(at, end - at));
    at = end + 2;
  }
  return all;
}

ordered_json to_json(const std::vector<driver_option>& options) {
  ordered_json all = ordered_json::array();
  for (const driver_option& o : options) {
    all.push_back({{"name", o.name}, {"value", o.value}, {"description", o.description}});
  }
  return all;
}

ordered_json to_json(const module_info& info, const std::optional<trial>& tried) {
  ordered_json object{{"path", info.path},
                      {"valid", info.is_loadable()},
                      {"error", info.error},
                      {"problems", info.problems},
                      {"warnings", info.warnings},
                      {"abi_version", info.abi_version},
                      {"unmaps", to_string(fate_of(info, tried))},
                      {"soname", info.soname},
                      {"build_id", info.build_id},
                      {"needed", info.needed},
                      {"libraries", to_json(info.libraries)},
                      {"static_tls_size", info.static_tls_size},
                      {"file_size", info.file_size},
                      {"memory_size", info.memory_size}};
  if (!tried) return object;
  ordered_json& trial_json = object["trial"];
  if (!tried->problem.empty()) {
    trial_json = {{"loaded", false}, {"problem", tried->problem}};
  } else {
    trial_json = {{"loaded", true},
                  {"driver", tried->driver},
                  {"timeline", tried->timeline},
                  {"description", tried->description},
                  {"features", split(tried->features)},
                  {"interface", tried->interface_name},
                  {"interface_version", tried->interface_version},
                  {"options", to_json(tried->options)},
                  {"unload_state", to_string(tried->state)},
                  {"pins", tried->pins},
                  {"kept", tried->kept}};
  }
  return object;
}

struct modules_options {
  std::vector<std::string> paths;
  bool loads = false;
  bool json = false;
};

int tell_modules(const modules_options& options) {
  bool all_good = true;
  ordered_json all = ordered_json::array();
  for (const std::string& path : options.paths) {
    const module_info info = inspect(path);
    std::optional<trial> tried;
    if (options.loads && info.is_loadable()) tried = try_out(path);
    all_good = all_good && info.is_loadable() && (!tried || tried->is_good());
    if (options.json) {
      all.push_back(to_json(info, tried));
    } else {
      print(info, tried);
      if (tried) print(*tried);
    }
  }
  // Names and strings of files need not be UTF-8.
  if (options.json)
    fmt::print("{}\n", all.dump(2, ' ', false, ordered_json::error_handler_t::replace));
  if (std::fflush(stdout) != 0) {
    static_cast<void>(std::fprintf(stderr, "ufence: standard output: %s\n", std::strerror(errno)));
    return 1;
  }
  return all_good ? 0 : 1;
}

}  // namespace

void add_modules_command(CLI::App& app, command& chosen) {
  CLI::App* const modules_app =
      app.add_subcommand("modules",
                         "Tells what module files are: whether they are valid, will unmap, and if not why\n"
                         "It looks at the files alone, unless --load is given.");
  modules_app->footer(
      "Exit status: 0 if all are valid (and, with --load, were unmapped), else 1; 2 for a wrong "
      "command line.");
  auto options = std::make_shared<modules_options>();
  modules_app->add_option("files", options->paths, "Module files")
      ->type_name("FILE...")
      ->required();
  modules_app->add_flag(
      "--load", options->loads,
      "Load each valid one as well, which runs its code, and unload it: tells its "
      "driver's name and features, what its tables lack, and what pins it");
  modules_app->add_flag("--json", options->json, "Print a JSON array, one object for each file");
  modules_app->callback(
      [options, &chosen] { chosen = [options] { return tell_modules(*options); }; });
}

}  // namespace ufence::tool

#include "tools/command_line/command_line.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ufence::tool {
namespace {

using json = nlohmann::ordered_json;

constexpr std::size_t line_columns = 80;
constexpr std::size_t text_column = 26;  // of options and subcommands

// The text in lines that begin with `indent` spaces, of which the first has `used` columns already.
std::string wrapped(std::string_view text, std::size_t indent, std::size_t used) {
  std::string lines;
  std::size_t column = used;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '\n') {
      lines += '\n';
      column = 0;
      ++at;
      continue;
    }
    const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
    const std::string_view word = text.substr(at, end - at);
    if (column > indent && column + 1 + word.size() > line_columns) {
      lines += '\n';
      column = 0;
    }
    if (column < indent) {
      lines.append(indent - column, ' ');
      column = indent;
    } else if (column > indent) {
      lines += ' ';
      ++column;
    }
    lines += word;
    column += word.size();
    at = end < text.size() && text[end] == ' ' ? end + 1 : end;
  }
  return lines + "\n";
}

std::string entry(const std::string& name, std::string_view text) {
  std::string line = "  " + name;
  if (line.size() + 2 > text_column) return line + "\n" + wrapped(text, text_column, 0);
  line.append(text_column - line.size(), ' ');
  return line + wrapped(text, text_column, text_column);
}

std::string text_of(const json& option) {
  std::string text = option["text"];
  if (option.contains("range")) text += " (" + std::string(option["range"]) + ")";
  if (option.contains("default")) text += " (default: " + std::string(option["default"]) + ")";
  return text;
}

std::string usage_of(const json& command, const std::string& name) {
  std::string words = name + " [OPTIONS]";
  for (const json& option : command["options"]) {
    if (!option["positional"]) continue;
    const std::string word = option["argument"];
    words += option["required"] ? " " + word : " [" + word + "]";
  }
  if (!command["subcommands"].empty()) words += " COMMAND";
  return "Usage: " + words + "\n";
}

class formatter final : public CLI::FormatterBase {
 public:
  std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode) const override {
    const json command = described(*app);
    const std::string whole_name = app->get_parent() == nullptr ? app->get_name() : std::move(name);
    std::string help = wrapped(std::string(command["text"]), 0, 0);
    help += "\n" + usage_of(command, whole_name);
    for (const bool positional : {true, false}) {
      std::string entries;
      for (const json& option : command["options"]) {
        if (option["positional"] != positional) continue;
        std::string names;
        for (const json& one : option["names"]) {
          names += (names.empty() ? "" : ", ") + std::string(one);
        }
        if (!names.empty() && option.contains("argument")) names += " ";
        if (option.contains("argument")) names += option["argument"];
        entries += entry(names, text_of(option));
      }
      if (!entries.empty()) help += (positional ? "\nArguments:\n" : "\nOptions:\n") + entries;
    }
    if (!command["subcommands"].empty()) help += "\nCommands:\n";
    for (const json& subcommand : command["subcommands"]) {
      const std::string text = subcommand["text"];
      help += entry(subcommand["name"], text.substr(0, text.find('\n')));
    }
    const std::string footer = command["footer"];
    if (!footer.empty()) help += "\n" + wrapped(footer, 0, 0);
    return help;
  }
};

// CLI11 has a type's name with what its validators say: "N:UINT in [1 - 64]".
void describe_argument(json& option, const CLI::Option& of) {
  if (of.get_items_expected_max() == 0) return;
  const std::string type = of.get_type_name();
  option["argument"] = type.substr(0, type.find(':'));
  const std::size_t begin = type.rfind(" in [");
  const std::size_t dash = type.find(" - ", begin);
  if (begin != std::string::npos && dash != std::string::npos) {
    const std::size_t number = begin + 5;
    option["range"] = type.substr(number, dash - number) + " to " +
                      type.substr(dash + 3, type.find(']', dash) - dash - 3);
  }
  std::string value = of.get_default_str();
  if (value.size() > 1 && value.front() == '[') value = value.substr(1, value.size() - 2);
  if (!value.empty()) option["default"] = value;
}

json described_option(const CLI::Option& option) {
  json d;
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames()) names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) names.push_back("--" + name);
  d["name"] = names.empty() ? option.get_name(true) : names.back();
  d["names"] = names;
  d["text"] = option.get_description();
  d["positional"] = names.empty();
  d["required"] = option.get_required();
  d["many"] = option.get_items_expected_max() > 1;
  describe_argument(d, option);
  return d;
}

// The innermost subcommand that the command line named.
const CLI::App& named(const CLI::App& app) {
  const std::vector<CLI::App*> parsed = app.get_subcommands();
  return parsed.empty() ? app : named(*parsed.back());
}

std::string whole_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name()
                                     : whole_name(*app.get_parent()) + " " + app.get_name();
}

}  // namespace

void set_up_help(CLI::App& app) {
  app.formatter(std::make_shared<formatter>());
  app.set_help_flag("-h,--help", "Print this help and exit");
}

void add_describe_option(CLI::App& app) {
  app.add_flag_callback("--describe",
                        [&app] { throw CLI::CallForVersion(described(app).dump(), 0); })
      ->group("");
}

json described(const CLI::App& app) {
  json d;
  d["name"] = app.get_name();
  d["text"] = app.get_description();
  d["footer"] = app.get_footer();
  d["options"] = json::array();
  for (const CLI::Option* const option : app.get_options()) {
    if (!option->get_group().empty()) d["options"].push_back(described_option(*option));
  }
  d["subcommands"] = json::array();
  const auto is_listed = [](const CLI::App* a) { return !a->get_group().empty(); };
  for (const CLI::App* const subcommand : app.get_subcommands(is_listed)) {
    d["subcommands"].push_back(described(*subcommand));
  }
  return d;
}

int tell_parse_error(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);
  static_cast<void>(std::fprintf(stderr, "ufence: %s; see `%s --help`\n", error.what(),
                                 whole_name(named(app)).c_str()));
  return 2;
}

namespace {

bool parent_ignored_children = false;

}  // namespace

void ignore_children_as_parent() noexcept {
  if (parent_ignored_children) std::signal(SIGCHLD, SIG_IGN);
}

int run_main(CLI::App& app, int argc, char** argv, int failed, const std::function<int()>& act) {
  parent_ignored_children = std::signal(SIGCHLD, SIG_DFL) == SIG_IGN;
  try {
    app.parse(argc, argv);
    return act();
  } catch (const CLI::ParseError& error) {
    return tell_parse_error(app, error);
  } catch (const std::exception& error) {
    static_cast<void>(std::fprintf(stderr, "ufence: %s\n", error.what()));
    return failed;
  }
}

}  // namespace ufence::tool

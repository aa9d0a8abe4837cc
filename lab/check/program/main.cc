// The program `ufence-lab-check`, which `ufence lab check` runs.
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "lab/check/program/build.h"
#include "lab/check/program/names.h"
#include "lab/check/runtime/runtime.h"
#include "lab/engine/columns.h"
#include "lab/engine/explore.h"
#include "lab/engine/html.h"
#include "lab/engine/shares.h"
#include "lab/engine/trace.h"
#include "tools/command_line/command_line.h"
#include "tools/command_line/output_file.h"

namespace ufence::lab::check {
namespace {

// The meanings of the exit status.
enum status : int { nothing_found = 0, goes_wrong = 1, usage = 2, not_explorable = 3 };

struct options {
  build_options build;
  std::string flags;
  std::string replay;
  std::string html_file;
  double seconds = 20;
  std::uint64_t random = 0;
  unsigned jobs = 1;
  std::uint64_t seed = 1;
  int preemptions = -1;
  bool allow_leaks = false;
  bool json = false;
  bool is_quiet = false;
};

bool has_progress(const options& o) { return !o.is_quiet && ::isatty(STDERR_FILENO) != 0; }

// A line that is written again and again. What it keeps is not in static data, which is put back.
std::function<void(std::uint64_t)> progress_on_terminal() {
  return [told = std::make_shared<std::uint64_t>(0)](std::uint64_t executions) {
    constexpr std::uint64_t often = 512;
    if (executions / often == *told / often) return;
    *told = executions;
    fmt::print(stderr, "\rufence lab: {} executions ", executions);
  };
}

settings settings_of(const options& o, const object_names& names) {
  settings with;
  with.is_program = true;
  with.seconds = o.seconds;
  with.seed = o.seed;
  with.replay = o.replay;
  with.allow_leaks = o.allow_leaks;
  with.jobs = o.jobs;
  if (has_progress(o)) with.progress = progress_on_terminal();
  if (o.random != 0) {
    with.how = search::random;
    with.random_executions = o.random;
  } else if (o.preemptions >= 0) {
    with.how = search::bounded;
    with.preemptions = static_cast<unsigned>(o.preemptions);
  }
  with.prelude = [] { load_program(); };
  with.may_read_unwritten = [](const std::source_location& where) {
    return is_library_code(where);
  };
  with.static_name = [&names](std::uintptr_t address) {
    return names.name_of(address, program().base);
  };
  return with;
}

std::string words(const report& r) {
  if (r.is_exhaustive()) {
    return fmt::format("nothing goes wrong in all {} executions {}", r.executions,
                       counts().limits_surprises
                           ? "in which a thread's waits end for no reason, or by their deadline, "
                             "once at most"
                           : "there are");
  }
  if (r.how == search::bounded && r.complete) {
    return fmt::format("nothing goes wrong in all {} executions with so few preemptions",
                       r.executions);
  }
  return fmt::format("nothing goes wrong in {} executions, which are not all ({} search{})",
                     r.executions, to_string(r.how), r.complete ? "" : ", stopped by its time");
}

std::string repeat_command(const options& o, const std::string& trace) {
  std::string command = "ufence lab check";
  if (o.build.compiler != build_options().compiler) command += " --compiler " + o.build.compiler;
  if (!o.flags.empty()) command += " --flags '" + o.flags + "'";
  for (const std::string& file : o.build.files) command += " " + file;
  return command + " --replay " + trace;
}

std::string steps_text(const std::vector<step>& steps) {
  const bool has_others = std::ranges::any_of(steps, [](const step& s) { return s.thread != 0; });
  return has_others ? text_columns(view_of(steps)) : interleaving_of(steps);
}

// Puts names where the steps and what is found have places of code.
void explain(report& r) {
  name_places();
  // Accesses of a library to its own plain data explain nothing.
  std::erase_if(r.steps, [](const step& s) {
    return is_inside_library(s.place) &&
           (s.what.find(" plain data ") != std::string::npos || s.what.starts_with("frees ") ||
            s.what.starts_with("allocates "));
  });
  for (step& s : r.steps) {
    s.function = function_in(s.place);
    s.source = source_in(s.place);
    s.place = with_places(s.place);
    s.what = with_places(s.what);
  }
  r.found.text = with_places(r.found.text);
}

std::string json_text(const report& r) {
  nlohmann::ordered_json steps = nlohmann::ordered_json::array();
  for (const step& s : r.steps) {
    steps.push_back({{"thread", s.thread},
                     {"name", s.thread_name},
                     {"place", s.place},
                     {"function", s.function},
                     {"what", s.what},
                     {"source", s.source}});
  }
  const nlohmann::ordered_json all{{"verdict", r.is_safe() ? "safe" : to_string(r.found.kind)},
                                   {"text", r.found.text},
                                   {"search", to_string(r.how)},
                                   {"executions", r.executions},
                                   {"exhaustive", r.is_exhaustive()},
                                   {"trace", r.trace},
                                   {"steps", std::move(steps)}};
  return all.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string page_of(const report& r, const std::string& again) {
  const std::string found = fmt::format("{}: {}", to_string(r.found.kind), r.found.text);
  return html_head("ufence lab check", {}) + "<h1>" + html_escaped(found) + "</h1>\n" +
         html_columns(view_of(r.steps)) + "<p>Repeat it: <code>" + html_escaped(again) +
         "</code></p>\n</body>\n</html>\n";
}

bool write_page(const options& o, tool::output_file& page, const std::string& text) {
  const std::error_code failed = page.write_and_commit(text);
  if (failed) fmt::print(stderr, "ufence: {}: {}\n", o.html_file, failed.message());
  return !failed;
}

status tell_failure(const options& o, tool::output_file& page, const report& r) {
  const bool is_unknown =
      r.found.kind == failure::not_explorable || r.found.kind == failure::not_repeatable;
  if (is_unknown) {
    fmt::print(stderr, "{}: {}\n", to_string(r.found.kind), r.found.text);
    return not_explorable;
  }
  const std::string again = repeat_command(o, r.trace);
  if (!o.json) {
    fmt::print("{}: {}\n\n{}", to_string(r.found.kind), r.found.text, steps_text(r.steps));
    if (o.replay.empty()) fmt::print("\nrepeat it: {}\n", again);
  }
  if (!o.html_file.empty() && !write_page(o, page, page_of(r, again))) return not_explorable;
  return goes_wrong;
}

status tell(const options& o, tool::output_file& page, report r) {
  if (has_progress(o)) fmt::print(stderr, "\r{:40}\r", "");
  if (!r.is_safe()) explain(r);
  if (o.json) fmt::print("{}\n", json_text(r));
  if (!r.is_safe()) return tell_failure(o, page, r);
  if (!o.json) {
    fmt::print("{}; {:.2f} s\n", o.replay.empty() ? words(r) : "nothing goes wrong in this one",
               r.seconds);
  }
  return nothing_found;
}

// In a process of its own: a program that crashes takes it along.
status explore_in_child(const options& o, tool::output_file& page, const std::string& library) {
  const object_names names(library);
  const pid_t child = fork_worker();
  if (child == 0) {
    prepare_program(library);
    const status s = tell(o, page, explore([] { run_program(); }, settings_of(o, names)));
    static_cast<void>(std::fflush(nullptr));
    std::_Exit(s);
  }
  int result = 0;
  if (child < 0 || ::waitpid(child, &result, 0) != child) {
    fmt::print(stderr, "ufence: {}\n", std::strerror(errno));
    return not_explorable;
  }
  if (WIFEXITED(result)) return static_cast<status>(WEXITSTATUS(result));
  fmt::print("crash: the program ends by signal {} ({})\n", WTERMSIG(result),
             strsignal(WTERMSIG(result)));
  return goes_wrong;
}

std::vector<std::string> split(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> all;
  for (std::string word; in >> word;) all.push_back(word);
  return all;
}

status run(options& o) {
  o.build.flags = split(o.flags);
  for (const std::string& file : o.build.files) {
    if (!std::ifstream(file)) throw CLI::ValidationError("cannot read " + file);
  }
  tool::output_file page;
  if (!o.html_file.empty()) page.open_or_throw(o.html_file);
  const scratch_folder folder;
  const std::string library = build(o.build, folder);
  if (library.empty()) {
    fmt::print(stderr, "ufence: the program could not be built\n");
    return not_explorable;
  }
  return explore_in_child(o, page, library);
}

int main_of(int argc, char** argv) {
  CLI::App app(
      "Explores what the threads of a small program may do to each other under the C++ memory "
      "model.",
      "ufence lab check");
  app.footer(
      "The files are C (.c) or C++ and have a main(). Found: data races, use after free, double "
      "frees, leaks, deadlocks, lost wakeups, livelocks, failed assertions, reads of memory that "
      "nobody has written, main() that does not return 0.\n\n"
      "Exit status: 0 nothing goes wrong; 1 something does; 2 a wrong command line; 3 the program "
      "cannot be built, or does what the lab does not know.");
  tool::set_up_help(app);
  tool::add_describe_option(app);
  options o;
  app.add_option("files", o.build.files, "Its sources")->type_name("FILE...")->required();
  app.add_option("--compiler", o.build.compiler, "g++ or clang++")
      ->type_name("COMMAND")
      ->capture_default_str();
  app.add_option("--flags", o.flags, "More flags for the compiler, with spaces between them")
      ->type_name("FLAGS");
  app.add_option("--replay", o.replay, "Repeat the execution of this trace")->type_name("TRACE");
  app.add_option("--random", o.random, "So many random executions, and no others")
      ->type_name("N")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 40));
  app.add_option("--seed", o.seed, "Of random executions")->type_name("N")->capture_default_str();
  app.add_option("--preemptions", o.preemptions, "All executions with at most so many preemptions")
      ->type_name("N")
      ->check(CLI::Range(0, 1000))
      ->excludes("--random");
  app.add_option("--seconds", o.seconds,
                 "Processor time for each search: all executions and, if that does not end, those "
                 "with few preemptions, and random ones")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  app.add_flag("--json", o.json,
               "Print JSON: {verdict, text, search, executions, exhaustive, trace, steps}");
  app.add_flag("--quiet", o.is_quiet, "No progress on stderr");
  app.add_option("--html", o.html_file, "Also write what goes wrong as an HTML page")
      ->type_name("FILE");
  app.add_option("--jobs", o.jobs,
                 "Processes that share the search of all executions, if it is long")
      ->check(CLI::Range(1U, 1024U))
      ->capture_default_str();
  app.add_flag("--allow-leaks", o.allow_leaks, "Memory that is never freed is no failure");
  return tool::run_main(app, argc, argv, not_explorable, [&o] { return run(o); });
}

}  // namespace
}  // namespace ufence::lab::check

int main(int argc, char** argv) { return ufence::lab::check::main_of(argc, argv); }

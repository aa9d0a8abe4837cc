// The program `ufence-lab`, which `ufence lab` runs.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "lab/designs/program/html.h"
#include "lab/designs/program/matrix.h"
#include "lab/designs/program/print.h"
#include "tools/command_line/command_line.h"

namespace ufence::lab {
namespace {

// What the exit status says.
enum status : int { all_good = 0, goes_wrong_somewhere = 1, usage = 2, lab_failed = 3 };

struct options {
  std::vector<std::string> hazards;
  std::vector<std::string> designs;
  std::string html_file;
  std::string replay;
  double seconds = 15;
  unsigned jobs = 0;
  bool json = false;
  bool markdown = false;
  bool is_quiet = false;
};

void list() {
  fmt::print("hazards\n");
  for (const hazard& h : all_hazards()) {
    fmt::print("  {:<4} {}\n       {}\n", h.id, h.title, h.story);
  }
  fmt::print("\ndesigns\n");
  for (const design* d : all_designs()) {
    fmt::print("  {:<20} {}\n", d->name, d->summary);
    if (d->barriers != 0) {
      fmt::print("  {:<20} a barrier left out: {}-B1 to {}-B{}\n", "", d->name, d->name,
                 d->barriers);
    }
  }
}

// What is asked for; throws CLI::ValidationError for what does not exist.
selection selected(const options& o) {
  selection s = all_of_it();
  if (!o.hazards.empty()) s.hazards.clear();
  for (const std::string& id : o.hazards) {
    const hazard* h = find_hazard(id);
    if (h == nullptr) {
      throw CLI::ValidationError("no hazard \"" + id + "\"; `ufence lab list` names them all");
    }
    s.hazards.push_back(h);
  }
  if (o.designs.empty()) return s;
  s.designs.clear();
  s.leaves_out_barriers = false;
  for (const std::string& name : o.designs) {
    const candidate c = find_candidate(name);
    if (c.of == nullptr) {
      throw CLI::ValidationError("no design \"" + name + "\"; `ufence lab list` names them all");
    }
    s.designs.push_back(c);
  }
  return s;
}

// Who names designs wants them judged; the whole matrix has designs that are known to fail.
int judge(const options& o, const std::vector<answer>& answers) {
  int result = all_good;
  for (const answer& a : answers) {
    if (a.result == verdict::broken) {
      fmt::print(stderr, "ufence: no verdict on {} of {}: {}\n", a.hazard, a.design, a.text);
      return lab_failed;
    }
    if (!a.is_good() && !o.designs.empty()) result = goes_wrong_somewhere;
  }
  return result;
}

int run(const options& o) {
  const selection what = selected(o);
  settings with;
  with.seconds = o.seconds;
  with.replay = o.replay;
  const bool is_one = what.hazards.size() == 1 && what.designs.size() == 1;
  if (!o.replay.empty() && !is_one) {
    throw CLI::ValidationError("--replay needs one hazard and one --design");
  }
  const unsigned jobs = o.jobs != 0 ? o.jobs : processors();
  const std::vector<answer> answers = explore_all(what, with, jobs, o.is_quiet);
  if (o.json) {
    print_json(answers);
  } else if (o.markdown) {
    fmt::print("{}", markdown_table(what, answers));
  } else if (is_one) {
    print_one(*what.hazards[0], answers[0],
              fmt::format("ufence lab {} --design {}", answers[0].hazard, answers[0].design));
  } else {
    fmt::print("{}", text_table(what, answers));
  }
  bool written = std::fflush(stdout) == 0;
  if (!o.html_file.empty()) written = write_file(o.html_file, html_page(what, answers)) && written;
  return written ? judge(o, answers) : lab_failed;
}

int main_of(int argc, char** argv) {
  CLI::App app(
      "Explores the hazards of completion fences under a weak memory model, for competing designs.",
      "ufence lab");
  app.footer(
      "Without arguments: all hazards of all designs, as a table.\n"
      "With one hazard and one design: what happens, step by step, a thread in each column.\n\n"
      "Exit status: 0 each cell has its verdict, and the designs named by --design are safe; 1 "
      "something goes wrong in a design that was named; 2 a wrong command line; 3 the lab failed.");
  tool::set_up_help(app);
  tool::add_describe_option(app);
  options o;
  app.add_option("hazards", o.hazards, "Hazards, as R3 or Q6; or `list`")->type_name("HAZARD...");
  app.add_option("--design", o.designs, "These designs only; may be given again")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_flag("--json", o.json,
               "Print a JSON array of {hazard, design, verdict, executions, exhaustive, cost}");
  app.add_flag("--markdown", o.markdown, "Print the table in Markdown")->excludes("--json");
  app.add_option("--html", o.html_file, "Also write the table, with all traces, as one HTML page")
      ->type_name("FILE");
  app.add_option("--replay", o.replay, "Repeat this execution of one hazard of one design")
      ->type_name("TRACE")
      ->check([](const std::string& trace) { return trace.empty() ? "the trace is empty" : ""; });
  app.add_option(
         "--seconds", o.seconds,
         "Processor time for each search of a cell: the exhaustive one and, if that does not "
         "end, a bounded and a random one")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.001, 86400.0))
      ->capture_default_str();
  app.add_option("--jobs", o.jobs, "Cells that are explored at once; default: the processors")
      ->type_name("N")
      ->check(CLI::Range(1U, 1024U));
  app.add_flag("--quiet", o.is_quiet, "No progress on stderr");
  try {
    app.parse(argc, argv);
    if (o.hazards.size() == 1 && o.hazards[0] == "list") {
      if (argc > 2) throw CLI::ValidationError("`list` takes no options");
      list();
      return std::fflush(stdout) == 0 ? all_good : lab_failed;
    }
    if (std::isnan(o.seconds)) throw CLI::ValidationError("--seconds: that is no number");
    return run(o);
  } catch (const CLI::ParseError& error) {
    return tool::tell_parse_error(app, error) == 0 ? all_good : usage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "ufence: {}\n", error.what());
    return lab_failed;
  }
}

}  // namespace
}  // namespace ufence::lab

int main(int argc, char** argv) { return ufence::lab::main_of(argc, argv); }

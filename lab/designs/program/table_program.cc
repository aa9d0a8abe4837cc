#include "lab/designs/program/table_program.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdio>

#include "lab/designs/program/html.h"
#include "lab/designs/program/print.h"

namespace ufence::lab {
namespace {

bool is_one_cell(const selection& what) {
  return what.hazards.size() == 1 && what.designs.size() == 1;
}

}  // namespace

void add_table_options(CLI::App& app, table_options& o, const std::string& column) {
  app.add_flag("--json", o.json,
               "Print a JSON array of {hazard, design, verdict, executions, exhaustive, cost}");
  app.add_flag("--markdown", o.markdown, "Print the table in Markdown")->excludes("--json");
  app.add_option("--html", o.html_file, "Also write the table, with all traces, as one HTML page")
      ->type_name("FILE");
  app.add_option("--replay", o.replay, "Repeat this execution of one hazard of one " + column)
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
}

std::vector<const hazard*> asked_hazards(const table_options& o) {
  std::vector<const hazard*> all;
  for (const std::string& id : o.hazards) {
    const hazard* h = find_hazard(id);
    if (h == nullptr) {
      throw CLI::ValidationError("no hazard \"" + id + "\"; `ufence lab list` names them all");
    }
    all.push_back(h);
  }
  return o.hazards.empty() ? all_of_it().hazards : all;
}

candidate asked_design(const std::string& name) {
  const candidate c = find_candidate(name);
  if (c.of == nullptr) {
    throw CLI::ValidationError("no design \"" + name + "\"; `ufence lab list` names them all");
  }
  return c;
}

settings settings_of(const table_options& o, const selection& what, const std::string& one_cell) {
  if (std::isnan(o.seconds)) throw CLI::ValidationError("--seconds: that is no number");
  if (!o.replay.empty() && !is_one_cell(what)) {
    throw CLI::ValidationError("--replay needs " + one_cell);
  }
  settings with;
  with.seconds = o.seconds;
  with.replay = o.replay;
  return with;
}

std::vector<answer> explore_asked(const table_options& o, const selection& what,
                                  const settings& with) {
  return explore_all(what, with, o.jobs != 0 ? o.jobs : processors(), o.is_quiet);
}

void print_answers(const table_options& o, const selection& what, const std::vector<answer>& answers,
                   const std::function<std::string(const answer&)>& command_of) {
  if (o.json) {
    print_json(answers);
  } else if (o.markdown) {
    fmt::print("{}", markdown_table(what, answers));
  } else if (is_one_cell(what)) {
    print_one(*what.hazards[0], answers[0], command_of(answers[0]));
  } else {
    fmt::print("{}", text_table(what, answers));
  }
}

void open_page(const table_options& o, tool::output_file& page) {
  if (!o.html_file.empty()) page.open_or_throw(o.html_file);
}

bool finish_output(const table_options& o, tool::output_file& page, const selection& what,
                   const std::vector<answer>& answers) {
  const bool written = std::fflush(stdout) == 0;
  return (o.html_file.empty() || write_page(page, o.html_file, html_page(what, answers))) && written;
}

bool have_verdicts(const std::vector<answer>& answers) {
  for (const answer& a : answers) {
    if (a.result != verdict::broken) continue;
    fmt::print(stderr, "ufence: no verdict on {} of {}: {}\n", a.hazard, a.design, a.text);
    return false;
  }
  return true;
}

}  // namespace ufence::lab

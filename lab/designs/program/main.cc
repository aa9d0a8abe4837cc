// The program `ufence-lab`, which `ufence lab` runs.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "lab/designs/program/table_program.h"
#include "tools/command_line/command_line.h"

namespace ufence::lab {
namespace {

struct options : table_options {
  std::vector<std::string> designs;
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

// The designs and hazards that are asked for; throws CLI::ValidationError for names that do not exist.
selection selected(const options& o) {
  selection s = all_of_it();
  s.hazards = asked_hazards(o);
  if (o.designs.empty()) return s;
  s.designs.clear();
  s.leaves_out_barriers = false;
  for (const std::string& name : o.designs) s.designs.push_back(asked_design(name));
  return s;
}

// A user who names designs wants them judged; the whole matrix has designs that are known to fail.
int judge(const options& o, const std::vector<answer>& answers) {
  if (!have_verdicts(answers)) return lab_failed;
  const bool is_judged = !o.designs.empty();
  return is_judged && !std::ranges::all_of(answers, &answer::is_good) ? goes_wrong_somewhere : all_good;
}

int run(const options& o) {
  const selection what = selected(o);
  const settings with = settings_of(o, what, "one hazard and one --design");
  tool::output_file page;
  open_page(o, page);
  const std::vector<answer> answers = explore_asked(o, what, with);
  print_answers(o, what, answers, [](const answer& a) {
    return fmt::format("ufence lab {} --design {}", a.hazard, a.design);
  });
  return finish_output(o, page, what, answers) ? judge(o, answers) : lab_failed;
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
  add_table_options(app, o, "design");
  return tool::run_main(app, argc, argv, lab_failed, [&o, argc] {
    if (o.hazards.size() != 1 || o.hazards[0] != "list") return run(o);
    if (argc > 2) throw CLI::ValidationError("`list` takes no options");
    list();
    return std::fflush(stdout) == 0 ? int{all_good} : int{lab_failed};
  });
}

}  // namespace
}  // namespace ufence::lab

int main(int argc, char** argv) { return ufence::lab::main_of(argc, argv); }

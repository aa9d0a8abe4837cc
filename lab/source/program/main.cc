// The program `ufence-lab-source`, which `ufence lab kernel` runs.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "lab/designs/program/table_program.h"
#include "lab/source/adapter/source_design.h"
#include "lab/source/program/tree.h"
#include "tools/command_line/command_line.h"

namespace ufence::lab::kernel_source {
namespace {

struct options : table_options {
  std::vector<std::string> sources;
  std::vector<std::string> patches;
  std::vector<std::string> models{"kernel-7.0", "kernel-7.1", "kernel-7.1-fixed"};
  std::string compiler = "gcc";
  bool has_no_models = false;
  bool weakens = false;
};

struct built_tree {
  kernel_tree tree;
  std::vector<barrier> barriers;
  std::unique_ptr<source_design> column;
};

std::unique_ptr<built_tree> build(const options& o, const std::string& source) {
  std::unique_ptr<built_tree> b(new built_tree{
      kernel_tree({.source = source, .patches = o.patches, .compiler = o.compiler}), {}, nullptr});
  std::vector<std::string> libraries{b->tree.build()};
  if (o.weakens) {
    b->barriers = b->tree.barriers(libraries[0]);
    for (const barrier& left_out : b->barriers) {
      libraries.push_back(b->tree.build_without(left_out));
    }
  }
  b->column = std::make_unique<source_design>(b->tree.name(), std::move(libraries));
  return b;
}

selection asked(const options& o, const std::vector<std::unique_ptr<built_tree>>& trees) {
  selection s;
  s.hazards = asked_hazards(o);
  if (!o.has_no_models) {
    for (const std::string& name : o.models) s.designs.push_back(asked_design(name));
  }
  for (const auto& t : trees) s.designs.push_back({t->column.get(), 0});
  return s;
}

// Which hazards have another verdict without a barrier than in the whole tree: "R22 data-race";
// where the whole tree goes wrong too, "R3 null-call (else use-after-free)".
std::string noticed_by(const answer_table& all, const selection& what, const std::string& whole,
                       const std::string& weaker) {
  std::string text;
  for (const hazard* h : what.hazards) {
    const answer* before = all.find(h->id, whole);
    const answer* after = all.find(h->id, weaker);
    if (before == nullptr || after == nullptr || before->result == after->result) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", h->id, to_string(after->result));
    if (!before->is_good()) text += fmt::format(" (else {})", to_string(before->result));
  }
  return text.empty() ? "none of ours" : text;
}

void print_needed(const options& o, const settings& with, const built_tree& t, selection what,
                  std::vector<answer> answers) {
  what.designs.clear();
  for (unsigned n = 1; n <= t.barriers.size(); ++n) what.designs.push_back({t.column.get(), n});
  const std::vector<answer> weaker = explore_asked(o, what, with);
  answers.insert(answers.end(), weaker.begin(), weaker.end());
  const answer_table all(answers);
  fmt::print("\n{} without                     which hazard notices\n", t.tree.name());
  for (const candidate& c : what.designs) {
    fmt::print("  {}: {}\n", t.barriers[c.without - 1].what,
               noticed_by(all, what, t.tree.name(), c.name()));
  }
}

int judge(const std::vector<answer>& answers,
          const std::vector<std::unique_ptr<built_tree>>& trees) {
  if (!have_verdicts(answers)) return lab_failed;
  int result = all_good;
  for (const answer& a : answers) {
    for (const auto& t : trees) {
      if (a.design == t->tree.name() && !a.is_good()) result = goes_wrong_somewhere;
    }
  }
  return result;
}

std::string command_of(const options& o, const answer& a) {
  std::string command = "ufence lab kernel --no-models --source " + o.sources[0];
  for (const std::string& p : o.patches) command += " --patch " + p;
  return command + " " + a.hazard;
}

int run(options& o) {
  static_cast<void>(asked_hazards(o));
  tool::output_file page;
  open_page(o, page);
  std::vector<std::unique_ptr<built_tree>> trees;
  for (const std::string& source : o.sources) trees.push_back(build(o, source));
  const selection what = asked(o, trees);
  const settings with = settings_of(o, what, "one hazard, one --source and --no-models");
  const std::vector<answer> answers = explore_asked(o, what, with);
  print_answers(o, what, answers, [&o](const answer& one) { return command_of(o, one); });
  if (o.weakens) {
    for (const auto& t : trees) print_needed(o, with, *t, what, answers);
  }
  return finish_output(o, page, what, answers) ? judge(answers, trees) : lab_failed;
}

void add_options(CLI::App& app, options& o) {
  app.add_option("hazards", o.hazards, "Hazards, as R3 or Q6; all, if none is named")
      ->type_name("HAZARD...");
  app.add_option("--source", o.sources, "A kernel tree; may be given again")
      ->type_name("TREE")
      ->required()
      ->allow_extra_args(false);
  app.add_option("--patch", o.patches, "Applied to the trees, with -p1; may be given again")
      ->type_name("FILE")
      ->allow_extra_args(false);
  app.add_option("--design", o.models, "Models beside them; default: the kernel's")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_flag("--no-models", o.has_no_models, "The trees alone");
  app.add_flag("--weaken", o.weakens,
               "Leave out each barrier, lock and read section of the tree's dma-fence.c, one at a "
               "time, and say\nwhich hazard notices");
  app.add_option("--compiler", o.compiler, "gcc or clang")->type_name("CC")->capture_default_str();
  add_table_options(app, o, "tree");
}

int main_of(int argc, char** argv) {
  CLI::App app(
      "Explores the hazards of completion fences in the sources of a kernel tree, as they are.",
      "ufence lab kernel");
  app.footer(
      "With one hazard, one tree and --no-models: what happens, step by step, with the tree's "
      "lines.\n\n"
      "Exit status: 0 the trees are safe in these hazards; 1 something goes wrong in one; 2 a "
      "wrong\n"
      "command line; 3 a tree cannot be built, or the lab failed.");
  tool::set_up_help(app);
  tool::add_describe_option(app);
  options o;
  add_options(app, o);
  return tool::run_main(app, argc, argv, lab_failed, [&o] { return run(o); });
}

}  // namespace
}  // namespace ufence::lab::kernel_source

int main(int argc, char** argv) { return ufence::lab::kernel_source::main_of(argc, argv); }

// The parts that the programs that explore cells of the table have in common: what a command line asks of them, and
// how they tell their answers.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <string>
#include <vector>

#include "lab/designs/program/matrix.h"
#include "tools/command_line/output_file.h"

namespace ufence::lab {

/// The meanings of the exit status.
enum status : int { all_good = 0, goes_wrong_somewhere = 1, usage = 2, lab_failed = 3 };

struct table_options {
  std::vector<std::string> hazards;
  std::string html_file;
  std::string replay;
  double seconds = 15;
  unsigned jobs = 0;  // 0: the processors
  bool json = false;
  bool markdown = false;
  bool is_quiet = false;
};

/// Adds all of them but the hazards.
/// @param column  what --replay wants one of: "design", "tree"
void add_table_options(CLI::App& app, table_options& o, const std::string& column);

/// Those that are asked for, or all. Throws CLI::ValidationError for what does not exist.
[[nodiscard]] std::vector<const hazard*> asked_hazards(const table_options& o);
/// Throws CLI::ValidationError if there is no such design.
[[nodiscard]] candidate asked_design(const std::string& name);

/// How cells are explored.
/// @param one_cell  how to ask for one cell; CLI::ValidationError says that --replay needs it
[[nodiscard]] settings settings_of(const table_options& o, const selection& what,
                                   const std::string& one_cell);
/// explore_all(), as many at a time as is asked for.
[[nodiscard]] std::vector<answer> explore_asked(const table_options& o, const selection& what,
                                                const settings& with);
/// On stdout, in the form that is asked for.
/// @param command_of  asks for the cell of an answer alone
void print_answers(const table_options& o, const selection& what, const std::vector<answer>& answers,
                   const std::function<std::string(const answer&)>& command_of);
/// The page, if one is asked for: opened before anything is explored.
void open_page(const table_options& o, tool::output_file& page);
/// The end of stdout, and of the page if one is asked for.
/// @return  false: not written
[[nodiscard]] bool finish_output(const table_options& o, tool::output_file& page, const selection& what,
                                 const std::vector<answer>& answers);
/// False: one has no verdict, and stderr says which and why.
[[nodiscard]] bool have_verdicts(const std::vector<answer>& answers);

}  // namespace ufence::lab

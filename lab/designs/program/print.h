// The parts that the programs of the lab have in common when they tell their answers.
#pragma once

#include <string>
#include <vector>

#include "lab/designs/program/cell.h"
#include "tools/command_line/output_file.h"

namespace ufence::lab {

/// How many of them the process may use.
[[nodiscard]] unsigned processors();
/// On stdout, as a JSON array.
void print_json(const std::vector<answer>& answers);
/// On stdout, with what happened step by step.
/// @param command  asks for this cell alone; what repeats the execution goes behind it
void print_one(const hazard& h, const answer& a, const std::string& command);
/// @return  false: not written, and said so on stderr
[[nodiscard]] bool write_page(tool::output_file& page, const std::string& path, const std::string& text);

}  // namespace ufence::lab

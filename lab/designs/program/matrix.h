// Which hazards of which designs are looked at, and all their answers as tables.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lab/designs/program/cell.h"

namespace ufence::lab {

/// Rows and columns, and of the designs with barriers each with one left out.
struct selection {
  std::vector<const hazard*> hazards;
  std::vector<candidate> designs;
  bool leaves_out_barriers = false;
};

/// Everything.
[[nodiscard]] selection all_of_it();
/// @param jobs      processes at a time
/// @param is_quiet  no progress on stderr
[[nodiscard]] std::vector<answer> explore_all(const selection& what, const settings& with,
                                              unsigned jobs, bool is_quiet);

/// Answers by hazard and design.
class answer_table {
 public:
  explicit answer_table(const std::vector<answer>& answers);
  [[nodiscard]] const answer* find(std::string_view hazard, std::string_view design) const;

 private:
  std::map<std::pair<std::string, std::string>, const answer*, std::less<>> by_name_;
};

/// "safe 120", "safe 10,112*" if not exhaustive, "use-after-free", "-"; then letters for costs.
[[nodiscard]] std::string cell_text(const answer& a, bool has_count = true);
[[nodiscard]] std::string cost_letters(costs paid);
[[nodiscard]] std::vector<std::string> cost_names(costs paid);
/// A line for each letter that occurs, and what the star means.
[[nodiscard]] std::vector<std::string> legend(const std::vector<answer>& answers,
                                              bool has_count = true);
/// For each barrier the hazards that show it: "R3 use-after-free, Q6 wrong-result".
[[nodiscard]] std::string shown_by(const answer_table& table, const selection& what,
                                   const candidate& without);

/// As text: a row for each hazard, a column for each design.
[[nodiscard]] std::string text_table(const selection& what, const std::vector<answer>& answers);
/// The same in Markdown, without the counts, which change with each change of the code.
[[nodiscard]] std::string markdown_table(const selection& what, const std::vector<answer>& answers);

}  // namespace ufence::lab

#include "lab/designs/program/matrix.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace ufence::lab {
namespace {

// A capital letter for each cost, in the order of the enumeration.
constexpr std::string_view letters = "GWLCAD";
static_assert(letters.size() == cost_count);

std::string grouped(std::uint64_t n) {
  std::string digits = std::to_string(n);
  for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

std::vector<candidate> without_each_barrier(const candidate& c) {
  std::vector<candidate> all;
  if (c.without != 0) return all;
  for (unsigned b = 1; b <= c.of->barriers; ++b) all.push_back({c.of, b});
  return all;
}

void tell_progress(std::size_t done, std::size_t all, bool is_terminal, std::size_t& told) {
  const std::size_t percent = done * 100 / all;
  if (is_terminal) {
    fmt::print(stderr, "\rufence: {} of {} explored{}", done, all, done == all ? "\n" : "");
  } else if (percent / 10 != told / 10) {
    fmt::print(stderr, "ufence: {} of {} explored\n", done, all);
  }
  told = percent;
}

}  // namespace

selection all_of_it() {
  selection s;
  for (const hazard& h : all_hazards()) s.hazards.push_back(&h);
  for (const design* d : all_designs()) s.designs.push_back({d, 0});
  s.leaves_out_barriers = true;
  return s;
}

std::vector<answer> explore_all(const selection& what, const settings& with, unsigned jobs,
                                bool is_quiet) {
  const bool is_terminal = ::isatty(STDERR_FILENO) != 0;
  std::vector<question> questions;
  const auto ask = [&](const candidate& c) {
    for (const hazard* h : what.hazards) questions.push_back({h, c});
  };
  for (const candidate& c : what.designs) {
    ask(c);
    if (!what.leaves_out_barriers) continue;
    for (const candidate& w : without_each_barrier(c)) ask(w);
  }
  std::size_t told = 0;
  return answer_all(questions, with, jobs, [&](std::size_t done) {
    if (!is_quiet && questions.size() > 1) {
      tell_progress(done, questions.size(), is_terminal, told);
    }
  });
}

answer_table::answer_table(const std::vector<answer>& answers) {
  for (const answer& a : answers) by_name_[{a.hazard, a.design}] = &a;
}

const answer* answer_table::find(std::string_view hazard, std::string_view design) const {
  const auto found = by_name_.find(std::pair(std::string(hazard), std::string(design)));
  return found == by_name_.end() ? nullptr : found->second;
}

std::string cost_letters(costs paid) {
  std::string text;
  for (unsigned i = 0; i < cost_count; ++i) {
    if ((paid >> i & 1) != 0) text += letters[i];
  }
  return text;
}

std::vector<std::string> cost_names(costs paid) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < cost_count; ++i) {
    if ((paid >> i & 1) != 0) names.emplace_back(to_string(static_cast<cost>(i)));
  }
  return names;
}

std::string cell_text(const answer& a, bool has_count) {
  if (a.result == verdict::not_applicable) return "-";
  std::string text{to_string(a.result)};
  if (a.result == verdict::safe) {
    if (has_count) text += " " + grouped(a.executions);
    if (!a.is_exhaustive) text += "*";
  }
  const std::string paid = cost_letters(a.paid);
  return paid.empty() ? text : text + " " + paid;
}

std::vector<std::string> legend(const std::vector<answer>& answers, bool has_count) {
  std::vector<std::string> lines;
  costs paid = 0;
  bool has_safe = false;
  bool has_star = false;
  bool has_none = false;
  for (const answer& a : answers) {
    paid |= a.paid;
    has_safe = has_safe || a.result == verdict::safe;
    has_star = has_star || (a.result == verdict::safe && !a.is_exhaustive);
    has_none = has_none || a.result == verdict::not_applicable;
  }
  const std::string n = has_count ? " n" : "";
  if (has_safe)
    lines.push_back("safe" + n + ": nothing goes wrong in any of all" + n + " executions");
  if (has_star) {
    lines.push_back("safe" + n + "*: not all were explored; nothing goes wrong in those that were");
  }
  if (has_none) lines.emplace_back("-: not applicable, the design has no such thing");
  for (unsigned i = 0; i < cost_count; ++i) {
    if ((paid >> i & 1) != 0) {
      lines.push_back(fmt::format("{}: {}", letters[i], to_string(static_cast<cost>(i))));
    }
  }
  return lines;
}

std::string shown_by(const answer_table& table, const selection& what, const candidate& without) {
  std::string text;
  for (const hazard* h : what.hazards) {
    const answer* whole = table.find(h->id, without.of->name);
    const answer* weaker = table.find(h->id, without.name());
    if (whole == nullptr || weaker == nullptr || !whole->is_good() || weaker->is_good()) continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", h->id, to_string(weaker->result));
  }
  return text.empty() ? "nothing here" : text;
}

std::string text_table(const selection& what, const std::vector<answer>& answers) {
  const answer_table table(answers);
  std::vector<std::vector<std::string>> rows(1, {"hazard", ""});
  for (const candidate& c : what.designs) rows[0].push_back(c.name());
  for (const hazard* h : what.hazards) {
    std::vector<std::string> row{std::string(h->id), std::string(h->title)};
    for (const candidate& c : what.designs) {
      const answer* a = table.find(h->id, c.name());
      row.push_back(a == nullptr ? "" : cell_text(*a));
    }
    rows.push_back(std::move(row));
  }
  std::vector<std::size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  text += "\n";
  for (const std::string& line : legend(answers)) text += line + "\n";
  if (!what.leaves_out_barriers) return text;
  for (const candidate& c : what.designs) {
    for (const candidate& w : without_each_barrier(c)) {
      text += fmt::format("{}{} without B{}: {}\n", w.without == 1 ? "\n" : "", c.name(), w.without,
                          shown_by(table, what, w));
    }
  }
  return text;
}

std::string markdown_table(const selection& what, const std::vector<answer>& answers) {
  const answer_table table(answers);
  std::string text = "| hazard |";
  std::string rule = "|---|";
  for (const candidate& c : what.designs) {
    text += " " + c.name() + " |";
    rule += "---|";
  }
  text += "\n" + rule + "\n";
  for (const hazard* h : what.hazards) {
    text += fmt::format("| {} {} |", h->id, h->title);
    for (const candidate& c : what.designs) {
      const answer* a = table.find(h->id, c.name());
      const std::string shown = a == nullptr ? "" : cell_text(*a, false);
      text += " " + (a != nullptr && a->is_good() ? shown : "**" + shown + "**") + " |";
    }
    text += "\n";
  }
  text += "\n";
  for (const std::string& line : legend(answers, false)) text += "- " + line + "\n";
  if (!what.leaves_out_barriers) return text;
  for (const candidate& c : what.designs) {
    if (c.of->barriers == 0) continue;
    text += fmt::format("\n| {} without | what shows it |\n|---|---|\n", c.name());
    for (const candidate& w : without_each_barrier(c)) {
      text += fmt::format("| B{} | {} |\n", w.without, shown_by(table, what, w));
    }
  }
  return text;
}

}  // namespace ufence::lab

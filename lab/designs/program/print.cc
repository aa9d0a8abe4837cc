#include "lab/designs/program/print.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "lab/designs/program/matrix.h"
#include "lab/engine/columns.h"

namespace ufence::lab {

unsigned processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const bool known = sched_getaffinity(0, sizeof set, &set) == 0;
  return known ? static_cast<unsigned>(std::max(CPU_COUNT(&set), 1)) : 1;
}

void print_json(const std::vector<answer>& answers) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const answer& a : answers) {
    all.push_back({{"hazard", a.hazard},
                   {"design", a.design},
                   {"verdict", to_string(a.result)},
                   {"executions", a.executions},
                   {"exhaustive", a.is_exhaustive},
                   {"cost", cost_names(a.paid)}});
  }
  fmt::print("{}\n", all.dump(2));
}

void print_one(const hazard& h, const answer& a, const std::string& command) {
  fmt::print("{} {}, {}: {}\n{}.\n", h.id, h.title, a.design, to_string(a.result), h.story);
  for (const std::string& name : cost_names(a.paid)) fmt::print("it pays: {}\n", name);
  if (a.how == to_string(search::replay)) {
    fmt::print("one execution was repeated\n");
  } else if (a.result == verdict::safe) {
    fmt::print("{} search{}: {} executions, {:.2f} s\n", a.how,
               a.is_exhaustive ? ", all there are" : "", a.executions, a.seconds);
  }
  if (!a.steps.empty()) fmt::print("\n{}\n", text_columns(view_of(a.steps)));
  if (!a.text.empty()) fmt::print("{}\n", a.text);
  if (!a.trace.empty() && a.how != to_string(search::replay)) {
    fmt::print("\nrepeat it: {} --replay {}\n", command, a.trace);
  }
}

bool write_page(tool::output_file& page, const std::string& path, const std::string& text) {
  const std::error_code failed = page.write_and_commit(text);
  if (failed) fmt::print(stderr, "ufence: {}: {}\n", path, failed.message());
  return !failed;
}

}  // namespace ufence::lab

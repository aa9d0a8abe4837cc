#include "lab/models/testing/harness.h"

#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

namespace ufence::lab {
namespace {

// file:first-last:order
std::optional<weakening> weakening_of_environment() {
  const char* text = std::getenv("UFENCE_LAB_WEAKEN");
  if (text == nullptr) return {};
  const std::string all = text;
  const std::size_t order_at = all.rfind(':');
  const std::size_t lines_at = all.rfind(':', order_at - 1);
  const std::size_t dash = all.find('-', lines_at);
  weakening w;
  w.file = all.substr(0, lines_at);
  w.first_line = static_cast<unsigned>(std::stoul(all.substr(lines_at + 1)));
  w.last_line = static_cast<unsigned>(std::stoul(all.substr(dash + 1)));
  const std::string order = all.substr(order_at + 1);
  if (order == "acquire") w.to = mo::acquire;
  if (order == "release") w.to = mo::release;
  if (order == "acq_rel") w.to = mo::acq_rel;
  return w;
}

report search_for_failures(const std::function<void()>& body, settings with) {
  if (!with.prelude) with.prelude = warm_up;
  const std::optional<weakening> weaker = weakening_of_environment();
  if (weaker) with.weakenings.push_back(*weaker);
  if (const char* trace = std::getenv("UFENCE_LAB_REPLAY")) with.replay = trace;
  report r = explore(body, with);
  if (weaker && r.weakening_was_used) std::cout << "[  WEAKER  ] the weaker order was used\n";
  EXPECT_TRUE(r.is_safe()) << r;
  if (r.is_safe()) std::cout << "[ EXPLORED ] " << r << "\n";
  if (r.is_safe() && !weaker) {
    EXPECT_GT(r.executions, 0U) << "none came to its end";
  }
  if (!with.replay.empty()) std::cout << r.interleaving << "\n";
  return r;
}

double seconds_of_environment(double otherwise) {
  const char* text = std::getenv("UFENCE_LAB_SECONDS");
  return text != nullptr ? std::strtod(text, nullptr) : otherwise;
}

}  // namespace

void expect_safe(const std::function<void()>& body, settings with) {
  // Much more than it takes: a limit for the case that something is wrong.
  constexpr double far_too_long_seconds = 100;
  const bool is_weaker = weakening_of_environment().has_value();
  if (!is_weaker) with.how = search::exhaustive;
  with.seconds = is_weaker ? seconds_of_environment(far_too_long_seconds) : far_too_long_seconds;
  const report r = search_for_failures(body, with);
  if (r.is_safe() && r.how != search::replay && !is_weaker) {
    EXPECT_TRUE(r.is_exhaustive()) << r;
  }
}

void expect_safe_so_far(const std::function<void()>& body, settings with) {
  constexpr double quick_seconds = 2;
  with.seconds = seconds_of_environment(quick_seconds);
  search_for_failures(body, with);
}

}  // namespace ufence::lab

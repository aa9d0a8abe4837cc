#include "lab/designs/model/verdict.h"

#include <array>

#include "lab/engine/scenario.h"

namespace ufence::lab {
namespace {

constexpr std::array<std::string_view, 10> verdict_names{
    "safe",      "use-after-free", "null-call",  "deadlock",       "lost-wakeup",
    "data-race", "wrong-result",   "double-run", "not-applicable", "broken"};

constexpr std::array<std::string_view, cost_count> cost_names{
    "waits a grace period", "waits for ops inside",        "lock over driver code",
    "lock over callbacks",  "readers announce themselves", "defers cleanup to the last op"};

constinit costs* collected = nullptr;

}  // namespace

std::string_view to_string(verdict v) noexcept {
  return verdict_names[static_cast<std::size_t>(v)];
}

std::string_view to_string(cost c) noexcept { return cost_names[static_cast<std::size_t>(c)]; }

verdict verdict_of(const problem& found) noexcept {
  switch (found.kind) {
    case failure::none: return verdict::safe;
    case failure::check_failed:
      for (std::size_t i = 0; i < verdict_names.size(); ++i) {
        const std::size_t at = found.text.find(std::string(verdict_names[i]) + ": ");
        if (at != std::string::npos) return static_cast<verdict>(i);
      }
      return verdict::wrong_result;  // a check of the product's own
    case failure::data_race: return verdict::data_race;
    case failure::use_after_free: return verdict::use_after_free;
    case failure::double_free: return verdict::double_run;
    case failure::deadlock: return verdict::deadlock;
    case failure::livelock: return verdict::deadlock;
    case failure::lost_wakeup: return verdict::lost_wakeup;
    case failure::leak: return verdict::wrong_result;
    case failure::bad_access:
      return found.text.find("null pointer") != std::string::npos ? verdict::null_call
                                                                  : verdict::broken;
    case failure::bad_free:
    case failure::uninitialised:
    case failure::misuse:
    case failure::not_explorable:
    case failure::not_repeatable: break;
  }
  return verdict::broken;
}

void goes_wrong(const char* text, std::source_location where) { detail::check_failed(text, where); }

void pay(cost c) noexcept {
  if (collected != nullptr) *collected |= costs{1} << static_cast<unsigned>(c);
}

void collect_costs(costs* to) noexcept { collected = to; }

}  // namespace ufence::lab

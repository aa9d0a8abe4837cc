#include "lab/designs/model/run.h"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace ufence::lab {
namespace {

// "R3" before "R12", races before requirements.
bool comes_before(const hazard& a, const hazard& b) {
  if (a.id[0] != b.id[0]) return a.id[0] == 'R';
  return a.id.size() != b.id.size() ? a.id.size() < b.id.size() : a.id < b.id;
}

// Memory that is freed while nothing orders a use before is a use after free in any order of the
// two. The one with the use last is the one to show: a few other seeds may have it.
void prefer_late_use(const std::function<void()>& body, settings with, report& found) {
  constexpr std::uint64_t seeds = 40;
  const auto is_late = [](const report& r) {
    return r.found.text.find("after it was freed") != std::string::npos;
  };
  if (found.found.kind != failure::use_after_free || is_late(found) || !with.replay.empty()) return;
  with.how = search::random;
  with.random_executions = 100;
  for (with.seed = 2; with.seed < seeds; ++with.seed) {
    report other = explore(body, with);
    found.executions += other.executions;
    if (other.found.kind != failure::use_after_free || !is_late(other)) continue;
    other.executions = found.executions;
    found = std::move(other);
    return;
  }
}

}  // namespace

const std::vector<hazard>& all_hazards() {
  static const std::vector<hazard> all = [] {
    std::vector<hazard> found;
    for (const auto part :
         {hazards_of_ops, hazards_of_signals, hazards_of_locks, hazards_of_containers}) {
      std::ranges::copy(part(), std::back_inserter(found));
    }
    std::ranges::sort(found, comes_before);
    return found;
  }();
  return all;
}

const hazard* find_hazard(std::string_view id) {
  const auto found = std::ranges::find(all_hazards(), id, &hazard::id);
  return found == all_hazards().end() ? nullptr : &*found;
}

std::string candidate::name() const {
  return std::string(of->name) + (without == 0 ? "" : "-B" + std::to_string(without));
}

candidate find_candidate(std::string_view name) {
  for (const design* d : all_designs()) {
    if (!name.starts_with(d->name)) continue;
    std::string_view rest = name.substr(d->name.size());
    if (rest.empty()) return {d, 0};
    if (!rest.starts_with("-B")) continue;
    rest.remove_prefix(2);
    unsigned without = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), without);
    if (error == std::errc{} && end == rest.data() + rest.size() && without >= 1 &&
        without <= d->barriers) {
      return {d, without};
    }
  }
  return {};
}

finding run_hazard(const hazard& h, const candidate& c, settings with) {
  finding f;
  if (h.applies != nullptr && !h.applies(*c.of)) return f;
  if (c.of->prelude != nullptr) with.prelude = c.of->prelude;
  if (c.of->adjust != nullptr) c.of->adjust(c, with);
  // On memory of its own: static data is put back whenever an execution begins.
  const auto paid = std::make_unique<costs>(0);
  collect_costs(paid.get());
  const std::function<void()> body = [&] { h.body(c); };
  f.explored = explore(body, with);
  prefer_late_use(body, with, f.explored);
  collect_costs(nullptr);
  if (c.of->explain != nullptr) c.of->explain(f.explored);
  f.paid = *paid;
  f.result = verdict_of(f.explored.found);
  return f;
}

}  // namespace ufence::lab

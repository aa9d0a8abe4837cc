#include "lab/engine/trace.h"

#include <cstdio>
#include <map>
#include <string_view>

#include "lab/engine/text.h"

namespace ufence::lab {
namespace {

// The store that stands last among those that a trace has shown so far, by location.
using stores_so_far = std::map<location_id, event_id>;

void note_store(const graph& g, event_id id, stores_so_far& so_far) {
  const event& e = g[id];
  if (e.kind != event_kind::store) return;
  const auto [last, is_first] = so_far.try_emplace(e.location, id);
  if (!is_first && g.rank_of(last->second) < e.rank) last->second = id;
}

std::string describe_source(const graph& g, const event& load, const stores_so_far& so_far) {
  const auto last = so_far.find(load.location);
  const bool is_last = last == so_far.end() || last->second == load.source;
  const std::string_view older = is_last ? "" : ", not the last";
  if (load.source == initial) return " (the first value" + std::string(older) + ")";
  const event& from = g[load.source];
  return " (from " + thread_name(from.thread) + " " + place_name(from.where) + std::string(older) +
         ")";
}

std::string describe(machine& m, event_id id, const stores_so_far& so_far) {
  const graph& g = m.events();
  const event& e = g[id];
  switch (e.kind) {
    case event_kind::begin: return "begins";
    case event_kind::end: return "ends";
    case event_kind::spawn: return "starts " + m.name_of(static_cast<unsigned>(e.value));
    case event_kind::join: return "joins " + m.name_of(static_cast<unsigned>(e.value));
    case event_kind::fence: return "fence " + order_name(e.order);
    case event_kind::choice: return "chooses " + value_name(e.value);
    case event_kind::load:
      return "reads  " + m.location_name(e.location) + " = " + value_name(e.value) + "  " +
             order_name(e.order) + describe_source(g, e, so_far) +
             (e.fails ? " and fails for no reason" : "");
    case event_kind::store:
      return "writes " + m.location_name(e.location) + " = " + value_name(e.value) + "  " +
             order_name(e.order);
  }
  return "?";
}

// A read-modify-write that wrote: both halves in one.
std::string describe_rmw(machine& m, const event& load, const event& store,
                         const stores_so_far& so_far) {
  return "turns  " + m.location_name(load.location) + " = " + value_name(load.value) + " into " +
         value_name(store.value) + "  " + order_name(store.order) +
         describe_source(m.events(), load, so_far);
}

}  // namespace

std::vector<step> steps_of(machine& m) {
  std::vector<step> steps;
  const graph& g = m.events();
  const std::vector<log_entry>& log = m.log();
  stores_so_far so_far;
  for (std::size_t i = 0; i < log.size(); ++i) {
    const log_entry& entry = log[i];
    std::string what;
    if (entry.id == initial) {
      what = entry.note;
    } else if (i + 1 < log.size() && log[i + 1].id == entry.id + 1 && g[entry.id].is_rmw &&
               g[entry.id].kind == event_kind::load) {
      what = describe_rmw(m, g[entry.id], g[log[++i].id], so_far);
      note_store(g, log[i].id, so_far);
    } else {
      what = describe(m, entry.id, so_far);
      note_store(g, entry.id, so_far);
    }
    steps.push_back({entry.thread, m.name_of(entry.thread), place_name(entry.where),
                     function_name(entry.where), std::move(what)});
  }
  return steps;
}

std::string interleaving_of(const std::vector<step>& steps) {
  std::string text;
  std::size_t number = 0;
  for (const step& s : steps) {
    char head[64];
    std::snprintf(head, sizeof head, "%5zu  %-12s ", ++number, s.thread_name.c_str());
    std::string place = s.place + " " + s.function;
    place.resize(place.size() < 44 ? 44 : place.size() + 1, ' ');
    text += head + place + s.what + "\n";
  }
  return text;
}

}  // namespace ufence::lab

#include "ufence/debug/sightings.h"

#include <algorithm>

namespace ufence::debug {

void sightings::update(snapshot& of) {
  std::map<fence_key, std::int64_t> fences, timelines;
  const auto note = [&of](const auto& before, auto& now, const fence_key& key, std::int64_t& age_ns) {
    const auto known = before.find(key);
    const std::int64_t first_ns =
        std::min(known != before.end() ? known->second : of.time_ns, of.time_ns - age_ns);
    now.emplace(key, first_ns);
    age_ns = of.time_ns - first_ns;
  };
  for (node& n : of.nodes) {
    if (n.kind != node_kind::fence || n.state != "pending") continue;
    note(fences_, fences, {n.context, n.seqno}, n.age_ns);
  }
  for (timeline_info& t : of.timelines) {
    if (t.pending != 0) note(timelines_, timelines, {t.context, t.oldest_pending}, t.age_ns);
  }
  fences_ = std::move(fences);
  timelines_ = std::move(timelines);
}

}  // namespace ufence::debug

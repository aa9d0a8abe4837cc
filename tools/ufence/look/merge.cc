#include "tools/ufence/look/merge.h"

#include <map>
#include <utility>

namespace ufence::tool {

namespace {

using debug::node_kind;

std::int64_t process_of(const debug::snapshot& s, const debug::node& n) {
  return n.process != 0 ? n.process : s.process;
}

// The fences of `s` by process, key and seqno: a look from outside knows contexts alone.
using fence_key = std::pair<std::pair<std::int64_t, std::uint64_t>, std::uint64_t>;

struct exports {
  std::map<fence_key, std::uint32_t> by_key, by_context;

  explicit exports(const debug::snapshot& s) {
    for (std::uint32_t n = 0; n < s.nodes.size(); ++n) {
      const debug::node& f = s.nodes[n];
      if (f.kind != node_kind::fence) continue;
      const std::int64_t process = process_of(s, f);
      if (f.export_key != 0) by_key.emplace(fence_key{{process, f.export_key}, f.seqno}, n);
      by_context.emplace(fence_key{{process, f.context}, f.seqno}, n);
    }
  }
  // The node that `import` stands for in that process; UINT32_MAX: it is not there.
  [[nodiscard]] std::uint32_t find(const debug::node& import, std::int64_t process) const {
    if (const auto at = by_context.find({{process, import.source_context}, import.seqno});
        import.source_context != 0 && at != by_context.end()) {
      return at->second;
    }
    const auto at = by_key.find({{process, import.export_key}, import.seqno});
    return import.export_key != 0 && at != by_key.end() ? at->second : UINT32_MAX;
  }
};

}  // namespace

void merge(debug::snapshot& into, const debug::snapshot& other) {
  const auto first = static_cast<std::uint32_t>(into.nodes.size());
  for (debug::node n : other.nodes) {
    n.process = process_of(other, n);
    into.nodes.push_back(std::move(n));
  }
  for (debug::edge e : other.edges) {
    e.from += first;
    e.to += first;
    into.edges.push_back(std::move(e));
  }
  const exports all(into);
  for (debug::edge& e : into.edges) {
    const debug::node& to = into.nodes[e.to];
    if (to.kind != node_kind::process || to.why != debug::cause::exporter_runs) continue;
    const std::uint32_t found = all.find(into.nodes[e.from], to.id);
    if (found == UINT32_MAX || found == e.from) continue;
    e.to = found;
    e.how = "what it imports";
  }
  find_causes(into);
}

}  // namespace ufence::tool

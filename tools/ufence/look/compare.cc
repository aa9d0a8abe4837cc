#include "tools/ufence/look/compare.h"

#include <fmt/format.h>

#include <cstdint>
#include <map>
#include <tuple>

#include "tools/ufence/hash/sum_line.h"

namespace ufence::tool {

namespace {

// A thread is the same one if it sleeps for the same: since when it does so is seen from outside alone.
using node_key = std::tuple<debug::node_kind, std::int64_t, std::uint64_t, std::uint64_t, std::string>;

std::map<node_key, std::uint32_t> nodes_of(const debug::snapshot& s) {
  std::map<node_key, std::uint32_t> found;
  for (std::uint32_t n = 0; n < s.nodes.size(); ++n) {
    const debug::node& node = s.nodes[n];
    if (node.kind == debug::node_kind::fence && node.state != "pending") continue;
    const bool is_fence = node.kind == debug::node_kind::fence;
    found.emplace(node_key{node.kind, node.id, node.context, node.seqno, is_fence ? "" : node.state}, n);
  }
  return found;
}

// Nodes of `of` that are, or are not, in `other`.
std::string lines_of(const debug::snapshot& of, const std::map<node_key, std::uint32_t>& here,
                     const std::map<node_key, std::uint32_t>& other, bool are_there, const char* title) {
  std::string text;
  for (const auto& [key, n] : here) {
    if (other.contains(key) == are_there) text += fmt::format("  {}\n", printable(line_about(of, n)));
  }
  return text.empty() ? text : fmt::format("{}\n{}", title, text);
}

}  // namespace

std::string changes_between(const debug::snapshot& before, const debug::snapshot& after) {
  const auto then = nodes_of(before), now = nodes_of(after);
  std::string text = lines_of(after, now, then, true, "still there");
  text += lines_of(before, then, now, false, "gone");
  text += lines_of(after, now, then, false, "new");
  std::map<std::uint64_t, const debug::timeline_info*> known;
  for (const debug::timeline_info& t : before.timelines) known.emplace(t.context, &t);
  std::string lines;
  for (const debug::timeline_info& t : after.timelines) {
    const auto at = known.find(t.context);
    const bool is_new = at == known.end();
    if (is_new && t.pending == 0) continue;
    lines += fmt::format("  {} \"{}\" of \"{}\": ", t.context, printable(t.name), printable(t.driver));
    if (is_new) {
      lines += "new";
    } else if (at->second->completed == t.completed && at->second->emitted == t.emitted) {
      lines += fmt::format("stands at {} of {}", t.completed, t.emitted);
    } else {
      lines += fmt::format("from {} of {} to {} of {}", at->second->completed, at->second->emitted, t.completed,
                           t.emitted);
    }
    lines += fmt::format(", {} pending\n", t.pending);
    if (!is_new) known.erase(at);
  }
  for (const auto& [context, t] : known) {
    lines += fmt::format("  {} \"{}\" of \"{}\": gone\n", context, printable(t->name), printable(t->driver));
  }
  if (!lines.empty()) text += "timelines\n" + lines;
  return text;
}

}  // namespace ufence::tool

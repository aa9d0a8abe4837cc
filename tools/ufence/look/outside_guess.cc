// The threads that might signal a fence that waits for nothing that the library knows of: as ufence/debug/guess.cc.
#include <algorithm>
#include <array>
#include <iterator>
#include <span>

#include "tools/ufence/look/outside_look.h"

namespace ufence::tool {

// The wanted nodes whose fence or timeline the memory refers to; `follows`: or memory that it refers to.
std::vector<std::uint32_t> outside_look::referred_to_by(address from, std::size_t size, bool follows) const {
  std::vector<std::uint32_t> found;
  const auto note = [&](address word) {
    const auto at = wanted_.find(word);
    if (at == wanted_.end()) return;
    for (const std::uint32_t n : at->second) {
      if (std::ranges::find(found, n) == found.end()) found.push_back(n);
    }
  };
  std::vector<address> words(size / sizeof(address));
  words.resize(at_.read(from, std::as_writable_bytes(std::span(words))) / sizeof(address));
  for (const address word : words) {
    note(word);
    if (!follows || word % sizeof(address) != 0 || word < 4096 || wanted_.contains(word)) continue;
    if (const auto behind = at_.get<std::array<address, 4>>(word)) {
      for (const address further : *behind) note(further);
    }
  }
  return found;
}

void outside_look::guess_from_callback(const foreign_callback& c) {
  constexpr std::size_t before = 32, after = 64;
  std::vector<std::uint32_t> signals = referred_to_by(c.at - before, before, true);
  std::ranges::copy(referred_to_by(c.at + where_.callback.size, after, true), std::back_inserter(signals));
  for (const std::uint32_t n : signals) {
    if (n != c.on) add_edge(n, c.on, "its callback " + c.text + " refers to the one above", true);
  }
}

// A thread that waits for a fence refers to it as well.
void outside_look::guess_from_stack(const sleeper& s) {
  constexpr std::size_t searched = 8192;
  for (const std::uint32_t wanted : referred_to_by(s.stack, searched, false)) {
    if (std::ranges::find(s.waits_for, fences_[wanted]) != s.waits_for.end()) continue;
    add_edge(wanted, s.node, "the stack of that thread refers to it", true);
  }
}

void outside_look::guess() {
  std::vector<bool> has_edge(found_.nodes.size(), false);
  for (const debug::edge& e : found_.edges) has_edge[e.from] = true;
  for (std::uint32_t n = 0; n < found_.nodes.size(); ++n) {
    if (has_edge[n] || fences_[n] == 0 || found_.nodes[n].why != debug::cause::never_signaled) continue;
    wanted_[fences_[n]].push_back(n);
    const std::optional<copied> f = at_.copy(fences_[n], where_.fence.size);
    if (f && owner_of(*f) != 0) wanted_[owner_of(*f)].push_back(n);
  }
  if (wanted_.empty()) return;
  constexpr std::size_t searched_max = 4'096;  // callbacks and threads
  for (std::size_t i = 0; i < std::min(foreign_.size(), searched_max); ++i) guess_from_callback(foreign_[i]);
  for (std::size_t i = 0; i < std::min(sleepers_.size(), searched_max); ++i) guess_from_stack(sleepers_[i]);
}

}  // namespace ufence::tool

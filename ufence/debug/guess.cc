// The threads that might signal a fence that waits for nothing that the library knows of. A right to signal lies in
// memory of the program: often beside the callback in which it is used, or on the stack of the thread
// that will use it. So that memory is searched for the fence's address, or its timeline's. What is
// found is a guess, and is told as one.
#include <algorithm>
#include <array>
#include <span>

#include "ufence/debug/gatherer.h"

namespace ufence::debug {

// The wanted nodes whose fence or timeline the memory refers to; `follows`: or memory that it refers to.
std::vector<std::uint32_t> gatherer::referred_to_by(const void* from, std::size_t size,
                                                    bool follows) const {
  std::vector<std::uint32_t> found;
  const auto note = [&](std::uintptr_t word) {
    const auto at = wanted_.find(word);
    if (at == wanted_.end()) return;
    for (const std::uint32_t n : at->second) {
      if (std::ranges::find(found, n) == found.end()) found.push_back(n);
    }
  };
  std::vector<std::uintptr_t> words(size / sizeof(std::uintptr_t));
  words.resize(read_own_memory(from, std::as_writable_bytes(std::span(words))) /
               sizeof(std::uintptr_t));
  for (const std::uintptr_t word : words) {
    note(word);
    if (!follows || word % alignof(void*) != 0 || word < 4096 || wanted_.contains(word)) continue;
    std::array<std::uintptr_t, 4> behind{};
    if (!read_own(reinterpret_cast<const void*>(word), behind)) continue;
    for (const std::uintptr_t further : behind) note(further);
  }
  return found;
}

void gatherer::guess_from_callback(const foreign_callback& c) {
  constexpr std::size_t before = 32, after = 64;
  const char* const node_memory = static_cast<const char*>(c.address);
  std::vector<std::uint32_t> signals = referred_to_by(node_memory - before, before, true);
  std::ranges::copy(referred_to_by(node_memory + sizeof(callback), after, true),
                    std::back_inserter(signals));
  for (const std::uint32_t n : signals) {
    if (n != c.on) add_edge(n, c.on, "its callback " + c.text + " refers to the one above", true);
  }
}

// A thread that waits for a fence refers to it as well.
void gatherer::guess_from_stack(const sleeper& s, std::uint32_t n) {
  constexpr std::size_t searched = 8192;
  for (const std::uint32_t wanted : referred_to_by(s.stack, searched, false)) {
    const bool waits_for_it = std::ranges::any_of(
        s.waits_for, [&](const fence_ref& f) { return f.get() == fences_[wanted].get(); });
    if (!waits_for_it) add_edge(wanted, n, "the stack of that thread refers to it", true);
  }
}

void gatherer::guess() {
  std::vector<bool> has_edge(found_.nodes.size(), false);
  for (const edge& e : found_.edges) has_edge[e.from] = true;
  for (std::uint32_t n = 0; n < found_.nodes.size(); ++n) {
    if (has_edge[n] || !fences_[n] || found_.nodes[n].why != cause::never_signaled) continue;
    wanted_[reinterpret_cast<std::uintptr_t>(fences_[n].get())].push_back(n);
    if (const timeline* const line = fences_[n]->owner()) {
      wanted_[reinterpret_cast<std::uintptr_t>(line)].push_back(n);
    }
  }
  if (wanted_.empty()) return;
  constexpr std::size_t searched_max = 4'096;  // callbacks and threads
  for (std::size_t i = 0; i < std::min(foreign_.size(), searched_max); ++i) {
    guess_from_callback(foreign_[i]);
  }
  for (std::size_t i = 0; i < std::min(sleepers_.size(), searched_max); ++i) {
    if (sleeper_nodes_[i] != UINT32_MAX) guess_from_stack(sleepers_[i], sleeper_nodes_[i]);
  }
}

}  // namespace ufence::debug

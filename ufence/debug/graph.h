// The edges of a snapshot, by node. Inside the layer only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ufence/debug/snapshot.h"

namespace ufence::debug {

/// With 0x before it.
[[nodiscard]] std::string hex_text(std::uint64_t value);

class graph {
 public:
  graph(const snapshot& of, bool with_guesses);
  [[nodiscard]] std::uint32_t size() const noexcept {
    return static_cast<std::uint32_t>(out_.size());
  }
  /// The nodes that the node waits for, and the nodes that wait for it.
  [[nodiscard]] const std::vector<edge>& out(std::uint32_t node) const { return out_[node]; }
  [[nodiscard]] const std::vector<edge>& in(std::uint32_t node) const { return in_[node]; }

 private:
  std::vector<std::vector<edge>> out_, in_;
};

}  // namespace ufence::debug

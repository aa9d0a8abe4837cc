// Addresses that a scenario uses, with something noted for each. The same addresses come back in
// each execution: entries stay, and are renewed when a new execution first looks at them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ufence::lab {

/// `Note` is copyable and has a constructor without arguments; renew() makes it fresh.
/// Pointers into the table are valid until the next at().
template <class Note>
class address_table {
 public:
  address_table() : entries_(1024) {}

  /// Forgets what was noted, in all entries at once.
  void next_execution() noexcept { ++execution_; }

  /// The note of this address; fresh if this execution has not seen it.
  [[nodiscard]] Note& at(std::uintptr_t address, bool& is_new) {
    if (used_ * 2 >= entries_.size()) grow();
    entry& e = find(entries_, address);
    if (e.address == 0) {
      e.address = address;
      ++used_;
    }
    is_new = e.execution != execution_;
    if (is_new) {
      e.execution = execution_;
      e.note.renew();
    }
    return e.note;
  }
  /// The note, or nullptr if this execution has not seen the address.
  [[nodiscard]] Note* look(std::uintptr_t address) noexcept {
    entry& e = find(entries_, address);
    return e.address == address && e.execution == execution_ ? &e.note : nullptr;
  }

 private:
  struct entry {
    std::uintptr_t address = 0;
    std::uint64_t execution = 0;
    Note note;
  };
  static entry& find(std::vector<entry>& in, std::uintptr_t address) noexcept {
    const std::size_t mask = in.size() - 1;
    std::size_t i = (address * 0x9E3779B97F4A7C15U >> 32) & mask;
    while (in[i].address != 0 && in[i].address != address) i = (i + 1) & mask;
    return in[i];
  }
  void grow() {
    std::vector<entry> bigger(entries_.size() * 2);
    for (entry& e : entries_) {
      if (e.address != 0) find(bigger, e.address) = e;
    }
    entries_ = std::move(bigger);
  }

  std::vector<entry> entries_;
  std::size_t used_ = 0;
  std::uint64_t execution_ = 1;
};

}  // namespace ufence::lab

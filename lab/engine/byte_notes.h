// Which thread accessed which byte, for programs that access one object in many ways: plainly and
// atomically, as a whole and in parts. An atomic object is a unit: the bytes of its accesses.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <source_location>

#include "lab/engine/address_table.h"
#include "lab/engine/failure.h"
#include "lab/engine/memory.h"

namespace ufence::lab {

/// Threads: one.
class byte_notes {
 public:
  struct unit {
    std::uintptr_t begin = 0;
    unsigned bytes = 0;  // 0: none
  };

  void next_execution() noexcept { words_.next_execution(); }

  /// Plain accesses: is each ordered with the plain ones of others?
  [[nodiscard]] problem read(const actor& who, std::uintptr_t at, std::size_t bytes);
  [[nodiscard]] problem write(const actor& who, std::uintptr_t at, std::size_t bytes);
  /// An atomic access: is it ordered with the plain ones of others? The bytes become a unit, or are
  /// one already; else they are in a unit that is accessed in another way.
  [[nodiscard]] problem access(const actor& who, std::uintptr_t at, unsigned bytes, bool writes);

  /// The first unit that has one of these bytes.
  [[nodiscard]] unit first_unit(std::uintptr_t at, std::uintptr_t end) noexcept;
  /// The bytes of a unit are plain data again.
  void dissolve(const unit& u) noexcept;
  /// Whether no thread has ever written one of these bytes; or none has by a plain access.
  [[nodiscard]] bool is_untouched(std::uintptr_t at, std::size_t bytes) noexcept;
  [[nodiscard]] bool is_plainly_untouched(std::uintptr_t at, std::size_t bytes) noexcept;
  /// As if nobody had: memory that is given out again.
  void forget(std::uintptr_t at, std::size_t bytes) noexcept;

 private:
  struct note {
    std::source_location written;
    std::source_location read;
    std::array<std::uint16_t, max_threads> reads{};  // time of each thread's last read, plus one
    std::uint16_t write_time = 0;
    std::uint8_t writer = 0;
    std::uint8_t unit_bytes = 0;
    std::uint8_t unit_offset = 0;  // of this byte
    bool was_written = false;
    bool was_plainly_written = false;
  };
  // Of eight bytes, which most accesses are within.
  struct word {
    static constexpr std::size_t bytes = 8;
    std::array<note, bytes> of;
    void renew() noexcept { of = {}; }
  };
  // Calls `look` with the note of each byte and its number, until that returns a problem.
  template <class Look>
  [[nodiscard]] problem each(std::uintptr_t at, std::size_t bytes, Look look);
  // The same for what this execution has notes of, until it returns true.
  template <class Look>
  bool any(std::uintptr_t at, std::size_t bytes, Look look) noexcept;
  [[nodiscard]] static bool is_before(const note& written, const actor& who) noexcept {
    return who.follows(written.writer, written.write_time);
  }
  [[nodiscard]] static bool are_before(const note& read, const actor& who) noexcept {
    bool all = true;
    for (unsigned t = 0; t < max_threads; ++t) {
      all = all && (read.reads[t] == 0 || t == who.thread || who.before[t] >= read.reads[t]);
    }
    return all;
  }
  [[nodiscard]] static problem races_with_write(const actor& who, const note& n, const char* does);
  [[nodiscard]] static problem races_with_read(const actor& who, const note& n, const char* does);

  address_table<word> words_;
};

}  // namespace ufence::lab

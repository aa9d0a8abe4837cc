#include "lab/engine/byte_notes.h"

#include <string>

#include "lab/engine/text.h"

namespace ufence::lab {
namespace {

std::string by(unsigned thread, const std::source_location& where) {
  return thread_name(thread) + " at " + place_name(where);
}

}  // namespace

template <class Look>
problem byte_notes::each(std::uintptr_t at, std::size_t bytes, Look look) {
  for (std::size_t i = 0; i < bytes;) {
    bool is_new = false;
    word& w = words_.at((at + i) / word::bytes, is_new);
    for (std::size_t in = (at + i) % word::bytes; in < word::bytes && i < bytes; ++in, ++i) {
      if (problem p = look(w.of[in], i)) return p;
    }
  }
  return {};
}

template <class Look>
bool byte_notes::any(std::uintptr_t at, std::size_t bytes, Look look) noexcept {
  for (std::size_t i = 0; i < bytes;) {
    word* const w = words_.look((at + i) / word::bytes);
    for (std::size_t in = (at + i) % word::bytes; in < word::bytes && i < bytes; ++in, ++i) {
      if (w != nullptr && look(w->of[in], i)) return true;
    }
  }
  return false;
}

problem byte_notes::races_with_write(const actor& who, const note& n, const char* does) {
  return {failure::data_race, by(who.thread, who.where) + " " + does + " what " +
                                  by(n.writer, n.written) + " writes, and nothing orders the two"};
}

problem byte_notes::races_with_read(const actor& who, const note& n, const char* does) {
  unsigned t = 0;
  while (n.reads[t] == 0 || who.follows(t, static_cast<std::uint16_t>(n.reads[t] - 1))) ++t;
  return {failure::data_race, by(who.thread, who.where) + " " + does + " what " + by(t, n.read) +
                                  " reads, and nothing orders the two"};
}

problem byte_notes::read(const actor& who, std::uintptr_t at, std::size_t bytes) {
  return each(at, bytes, [&](note& n, std::size_t) -> problem {
    if (!is_before(n, who)) return races_with_write(who, n, "reads");
    n.reads[who.thread] = static_cast<std::uint16_t>(who.now() + 1);
    n.read = who.where;
    return {};
  });
}

problem byte_notes::write(const actor& who, std::uintptr_t at, std::size_t bytes) {
  return each(at, bytes, [&](note& n, std::size_t) -> problem {
    if (!is_before(n, who)) return races_with_write(who, n, "writes");
    if (!are_before(n, who)) return races_with_read(who, n, "writes");
    n.writer = static_cast<std::uint8_t>(who.thread);
    n.write_time = who.now();
    n.written = who.where;
    n.was_written = n.was_plainly_written = true;
    return {};
  });
}

problem byte_notes::access(const actor& who, std::uintptr_t at, unsigned bytes, bool writes) {
  return each(at, bytes, [&](note& n, std::size_t i) -> problem {
    if (n.unit_bytes == 0) {
      n.unit_bytes = static_cast<std::uint8_t>(bytes);
      n.unit_offset = static_cast<std::uint8_t>(i);
    } else if (n.unit_bytes != bytes || n.unit_offset != i) {
      return {failure::not_explorable,
              by(who.thread, who.where) + " accesses " + std::to_string(bytes) +
                  " bytes atomically of what is also accessed as another atomic object of " +
                  std::to_string(n.unit_bytes) + " bytes"};
    }
    if (!is_before(n, who)) {
      return races_with_write(who, n, writes ? "atomically writes" : "atomically reads");
    }
    if (!writes) return {};
    if (!are_before(n, who)) return races_with_read(who, n, "atomically writes");
    n.was_written = true;
    return {};
  });
}

byte_notes::unit byte_notes::first_unit(std::uintptr_t at, std::uintptr_t end) noexcept {
  unit found;
  any(at, end - at, [&](const note& n, std::size_t i) {
    if (n.unit_bytes != 0) found = {at + i - n.unit_offset, n.unit_bytes};
    return n.unit_bytes != 0;
  });
  return found;
}

void byte_notes::dissolve(const unit& u) noexcept {
  any(u.begin, u.bytes, [](note& n, std::size_t) {
    n.unit_bytes = n.unit_offset = 0;
    return false;
  });
}

bool byte_notes::is_untouched(std::uintptr_t at, std::size_t bytes) noexcept {
  return !any(at, bytes, [](const note& n, std::size_t) { return n.was_written; });
}

bool byte_notes::is_plainly_untouched(std::uintptr_t at, std::size_t bytes) noexcept {
  return !any(at, bytes, [](const note& n, std::size_t) { return n.was_plainly_written; });
}

void byte_notes::forget(std::uintptr_t at, std::size_t bytes) noexcept {
  any(at, bytes, [](note& n, std::size_t) {
    n = {};
    return false;
  });
}

}  // namespace ufence::lab

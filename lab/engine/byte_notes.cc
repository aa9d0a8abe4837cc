#include "lab/engine/byte_notes.h"

#include <string>

#include "lab/engine/text.h"

namespace ufence::lab {
namespace {

std::string by(unsigned thread, const std::source_location& where) {
  return thread_name(thread) + " at " + place_name(where);
}

}  // namespace

problem byte_notes::look_at_write(const actor& who, const note& n, const char* does) {
  if (who.follows(n.writer, n.write_time)) return {};
  return {failure::data_race, by(who.thread, who.where) + " " + does + " what " +
                                  by(n.writer, n.written) + " writes, and nothing orders the two"};
}

problem byte_notes::look_at_reads(const actor& who, const note& n, const char* does) {
  for (unsigned t = 0; t < max_threads; ++t) {
    if (n.reads[t] == 0 || who.follows(t, static_cast<std::uint16_t>(n.reads[t] - 1))) continue;
    return {failure::data_race, by(who.thread, who.where) + " " + does + " what " + by(t, n.read) +
                                    " reads, and nothing orders the two"};
  }
  return {};
}

problem byte_notes::read(const actor& who, std::uintptr_t at, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    bool is_new = false;
    note& n = notes_.at(at + i, is_new);
    if (problem p = look_at_write(who, n, "reads")) return p;
    n.reads[who.thread] = static_cast<std::uint16_t>(who.now() + 1);
    n.read = who.where;
  }
  return {};
}

problem byte_notes::write(const actor& who, std::uintptr_t at, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    bool is_new = false;
    note& n = notes_.at(at + i, is_new);
    if (problem p = look_at_write(who, n, "writes")) return p;
    if (problem p = look_at_reads(who, n, "writes")) return p;
    n.writer = static_cast<std::uint8_t>(who.thread);
    n.write_time = who.now();
    n.written = who.where;
    n.was_written = n.was_plainly_written = true;
  }
  return {};
}

problem byte_notes::access(const actor& who, std::uintptr_t at, unsigned bytes, bool writes) {
  for (unsigned i = 0; i < bytes; ++i) {
    bool is_new = false;
    note& n = notes_.at(at + i, is_new);
    if (n.unit_bytes == 0) {
      n.unit_bytes = static_cast<std::uint8_t>(bytes);
      n.unit_offset = static_cast<std::uint8_t>(i);
    } else if (n.unit_bytes != bytes || n.unit_offset != i) {
      return {failure::not_explorable,
              by(who.thread, who.where) + " accesses " + std::to_string(bytes) +
                  " bytes atomically of what is also accessed as another atomic object of " +
                  std::to_string(n.unit_bytes) + " bytes"};
    }
    if (problem p = look_at_write(who, n, writes ? "atomically writes" : "atomically reads")) {
      return p;
    }
    if (!writes) continue;
    if (problem p = look_at_reads(who, n, "atomically writes")) return p;
    n.was_written = true;
  }
  return {};
}

byte_notes::unit byte_notes::unit_at(std::uintptr_t at) noexcept {
  const note* n = notes_.look(at);
  if (n == nullptr || n->unit_bytes == 0) return {};
  return {at - n->unit_offset, n->unit_bytes};
}

void byte_notes::dissolve(const unit& u) noexcept {
  for (unsigned i = 0; i < u.bytes; ++i) {
    if (note* n = notes_.look(u.begin + i)) n->unit_bytes = n->unit_offset = 0;
  }
}

bool byte_notes::is_untouched(std::uintptr_t at, std::size_t bytes) noexcept {
  for (std::size_t i = 0; i < bytes; ++i) {
    const note* n = notes_.look(at + i);
    if (n != nullptr && n->was_written) return false;
  }
  return true;
}

bool byte_notes::is_plainly_untouched(std::uintptr_t at, std::size_t bytes) noexcept {
  for (std::size_t i = 0; i < bytes; ++i) {
    const note* n = notes_.look(at + i);
    if (n != nullptr && n->was_plainly_written) return false;
  }
  return true;
}

void byte_notes::forget(std::uintptr_t at, std::size_t bytes) noexcept {
  for (std::size_t i = 0; i < bytes; ++i) {
    if (note* n = notes_.look(at + i)) n->renew();
  }
}

}  // namespace ufence::lab

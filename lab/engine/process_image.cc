#include "lab/engine/process_image.h"

#include <cstring>

// Defined by the linker.
extern "C" char __data_start[];
extern "C" char _end[];

namespace ufence::lab {
namespace {

// Never changed during an execution, and so kept here though it is put back.
constinit std::vector<std::span<char>>* more = nullptr;

std::vector<std::span<char>> ranges() {
  std::vector<std::span<char>> all{{__data_start, static_cast<std::size_t>(_end - __data_start)}};
  if (more != nullptr) all.insert(all.end(), more->begin(), more->end());
  return all;
}

}  // namespace

void process_image::add(std::span<char> range) {
  if (more == nullptr) more = new std::vector<std::span<char>>;
  more->push_back(range);
}

std::span<const std::span<char>> process_image::added() noexcept {
  if (more == nullptr) return {};
  return *more;
}

void process_image::save() {
  saved_.clear();
  const std::vector<std::span<char>> all = ranges();
  saved_.reserve(all.size());
  for (const std::span<char> r : all) saved_.push_back({r.data(), {r.begin(), r.end()}});
}

void process_image::append_to(std::vector<char>& all) {
  for (const std::span<char> r : ranges()) all.insert(all.end(), r.begin(), r.end());
}

void process_image::restore() const noexcept {
  for (const saved& s : saved_) std::memcpy(s.begin, s.bytes.data(), s.bytes.size());
}

}  // namespace ufence::lab

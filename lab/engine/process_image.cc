#include "lab/engine/process_image.h"

#include <cstring>

// Defined by the linker.
extern "C" char __data_start[];
extern "C" char _end[];

namespace ufence::lab {
namespace {

std::size_t image_bytes() noexcept { return static_cast<std::size_t>(_end - __data_start); }

}  // namespace

void process_image::save() { saved_.assign(__data_start, __data_start + image_bytes()); }

void process_image::append_to(std::vector<char>& all) {
  all.insert(all.end(), __data_start, __data_start + image_bytes());
}

void process_image::restore() const noexcept {
  std::memcpy(__data_start, saved_.data(), saved_.size());
}

}  // namespace ufence::lab

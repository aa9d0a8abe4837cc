// Handles of C and the C++ objects that they stand for. Inside the layer only.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "ufence/base/clock.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/ufence.h"

namespace ufence::c {

/// An error code as C has it: 0 or a negative errno.
[[nodiscard]] inline int negative(const std::error_code& code) noexcept { return -code.value(); }

// --- Fences: the same object ---

[[nodiscard]] inline fence& of(ufence_fence* f) noexcept { return *reinterpret_cast<fence*>(f); }
[[nodiscard]] inline const fence& of(const ufence_fence* f) noexcept {
  return *reinterpret_cast<const fence*>(f);
}
[[nodiscard]] inline ufence_fence* to_c(fence* f) noexcept {
  return reinterpret_cast<ufence_fence*>(f);
}
/// A reference of its own to a fence that is lent, or null.
[[nodiscard]] inline fence_ref borrowed(ufence_fence* f) noexcept {
  return f != nullptr ? fence_ref::take(of(f)) : fence_ref();
}
/// An array of lent fences, seen as references: nothing is counted. A fence_ref is its pointer.
[[nodiscard]] inline std::span<const fence_ref> lent(ufence_fence* const* fences,
                                                     std::size_t n) noexcept {
  static_assert(sizeof(fence_ref) == sizeof(ufence_fence*));
  return {reinterpret_cast<const fence_ref*>(fences), n};
}
/// Hands a reference over to C. @return 0, or what failed
[[nodiscard]] inline int hand_over(result<fence_ref> made, ufence_fence** to) noexcept {
  if (!made) return negative(made.error());
  *to = to_c(made->release());
  return 0;
}
/// Hands a fence and the right to signal it over to C. Always 0.
/// @param f  may be null
inline int hand_over(new_fence made, ufence_fence** f, ufence_signaler** right) noexcept {
  if (f != nullptr) *f = to_c(made.fence.release());
  *right = reinterpret_cast<ufence_signaler*>(made.signal.give_up());
  return 0;
}
[[nodiscard]] inline int hand_over(result<new_fence> made, ufence_fence** f,
                                   ufence_signaler** right) noexcept {
  return made ? hand_over(std::move(*made), f, right) : negative(made.error());
}
/// The issuer's data: its ops are those of C++, in the same places; those that C does not have are null.
[[nodiscard]] inline backend* of(ufence_backend* data) noexcept {
  return reinterpret_cast<backend*>(data);
}
static_assert(sizeof(backend_ops) <= sizeof(ufence_backend_ops));
static_assert(offsetof(backend_ops, poll) == offsetof(ufence_backend_ops, poll));
static_assert(offsetof(backend_ops, set_deadline) == offsetof(ufence_backend_ops, set_deadline));
static_assert(offsetof(backend_ops, retire) == offsetof(ufence_backend_ops, retire));
/// Hands a descriptor over to C. @return it, or what failed
[[nodiscard]] inline int hand_over(result<unique_fd> made) noexcept {
  return made ? made->release() : negative(made.error());
}

/// As snprintf("%s").
inline std::size_t copy_out(std::string_view text, char* buffer, std::size_t size) noexcept {
  if (size != 0) {
    const std::size_t n = text.size() < size ? text.size() : size - 1;
    std::memcpy(buffer, text.data(), n);
    buffer[n] = 0;
  }
  return text.size();
}
/// Null is empty.
[[nodiscard]] inline std::string_view text_of(const char* text) noexcept {
  return text != nullptr ? std::string_view(text) : std::string_view();
}

/// A struct of options of a program that was built with an older or newer header: what both know of
/// it, the rest 0; null: all 0. False: it is smaller than any header has it, or has something that
/// is not known here.
template <class Options>
[[nodiscard]] bool read_options(const Options* given, Options& options) noexcept {
  options = Options{};
  options.size = sizeof options;
  if (given == nullptr) return true;
  if (given->size < sizeof given->size) return false;
  const std::size_t known = given->size < sizeof options ? given->size : sizeof options;
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = known; i < given->size; ++i) {
    if (bytes[i] != 0) return false;
  }
  std::memcpy(&options, given, known);
  options.size = sizeof options;
  return true;
}

/// A struct that a program wants filled in, as its header has it. False: null, or without a size.
template <class Stats>
[[nodiscard]] bool has_room(const Stats* to) noexcept {
  return to != nullptr && to->size >= sizeof to->size;
}
/// Fills in as much of it as the program's header has; `size` stays.
template <class Stats>
void write_known(const Stats& from, Stats* to) noexcept {
  std::memcpy(to, &from, to->size < sizeof from ? to->size : sizeof from);
}

}  // namespace ufence::c

// Double of ufence/fence/live.h for the lab: nobody looks for what lives there, and its locks would be
// steps of every execution.
#pragma once

#include <cstdint>
#include <span>

#include "ufence/fence/fence.h"

namespace ufence::detail {

inline void list_timeline(timeline&) noexcept {}
inline void unlist_timeline(timeline&) noexcept {}

enum class sleeps_for : std::uint8_t { signaled, settled, quiesced, any, returned, lock };

class sleeping_thread {
 public:
  sleeping_thread(fence&, sleeps_for) noexcept {}
  sleeping_thread(fence&, std::uint32_t) noexcept {}
  explicit sleeping_thread(std::span<const fence_ref>) noexcept {}
  explicit sleeping_thread(const atomic<std::uintptr_t>&) noexcept {}
  ~sleeping_thread() {}
  sleeping_thread(const sleeping_thread&) = delete;
  sleeping_thread& operator=(const sleeping_thread&) = delete;
};

[[nodiscard]] callback_function callback_of_wait_any() noexcept;
[[nodiscard]] callback_function callback_of_pollable() noexcept;

}  // namespace ufence::detail

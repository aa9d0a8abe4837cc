// sw_sync: the kernel's software timeline, which a program moves by hand.
//
// Values have 32 bits and wrap: a value is later than another if it is ahead by less than 2^31. A
// fence is signaled once the timeline's value is not before its own.
#pragma once

#include <cstdint>
#include <string_view>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"

namespace ufence {

namespace detail {
class sw_line;
}

/// The handle of a software timeline. Closing it ends what is pending with -ENOENT; its fences stay
/// valid. In a child of fork() the handle of a parent does nothing. Threads: create_fence,
/// increment, value: any, concurrently. Moving and closing: alone. Source: Linux
/// drivers/dma-buf/sw_sync.c
class UFENCE_API sw_sync {
 public:
  /// A timeline at value 0, with a context of its own.
  /// @param name  the timeline name of its fences, up to 31 characters; empty: the name of the
  /// thread
  /// @return  -ENOMEM
  [[nodiscard]] static result<sw_sync> create(std::string_view name = {}) noexcept;

  sw_sync(sw_sync&& other) noexcept;
  sw_sync& operator=(sw_sync&& other) noexcept;
  ~sw_sync();

  /// The fence of a value: the same one for the same value, while it is pending and somebody has
  /// it. A value that the timeline has passed gives a signaled fence.
  /// @return  -ENOMEM; -EOWNERDEAD the timeline is a parent process's (F18)
  /// Blocks: never. Allocates: the fence.
  /// Source: Linux SW_SYNC_IOC_CREATE_FENCE
  [[nodiscard]] result<fence_ref> create_fence(std::uint32_t value) noexcept;

  /// Adds to the value and signals what it reaches, in the order of values. Callbacks run here.
  /// More than INT_MAX is added in steps, so that nothing is jumped over.
  /// Blocks: never by itself. Allocates: never. Source: Linux SW_SYNC_IOC_INC
  void increment(std::uint32_t by) noexcept;

  [[nodiscard]] std::uint32_t value() const noexcept;
  [[nodiscard]] std::uint64_t context() const noexcept;

 private:
  explicit sw_sync(ref<detail::sw_line> line) noexcept;
  void close() noexcept;

  ref<detail::sw_line> line_;
};

/// The soonest deadline that a fence of a software timeline was told, ns of CLOCK_MONOTONIC.
/// @return  -EINVAL not a fence of a software timeline; -ENOENT it was told none
/// Source: Linux SW_SYNC_GET_DEADLINE
[[nodiscard]] UFENCE_API result<std::int64_t> sw_sync_deadline(const fence_ref& f) noexcept;

}  // namespace ufence

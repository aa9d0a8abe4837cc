// A word that the kernel marks when a thread ends. Inside the layer only.
#pragma once

#include <linux/futex.h>

#include <cstddef>
#include <cstdint>

#include "ufence/base/atomic.h"

namespace ufence::detail {

/// While it lives, the end of this thread marks the word with FUTEX_OWNER_DIED, whatever ends it.
/// The list that the kernel reads is on this thread's stack, where no other process can change it.
class robust_word {
 public:
  explicit robust_word(atomic<std::uint32_t>& word) noexcept;
  ~robust_word();
  robust_word(const robust_word&) = delete;
  robust_word& operator=(const robust_word&) = delete;

 private:
  robust_list_head* before_ = nullptr;  // the C library's
  std::size_t before_bytes_ = sizeof(robust_list_head);
  robust_list entry_{};
  robust_list_head head_{};
};

}  // namespace ufence::detail

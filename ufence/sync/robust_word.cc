#include "ufence/sync/robust_word.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace ufence::detail {

robust_word::robust_word(atomic<std::uint32_t>& word) noexcept {
  ::syscall(SYS_get_robust_list, 0, &before_, &before_bytes_);
  entry_.next = &head_.list;
  head_.list.next = &entry_;
  head_.futex_offset = static_cast<long>(reinterpret_cast<std::uintptr_t>(word.address()) -
                                         reinterpret_cast<std::uintptr_t>(&entry_));
  head_.list_op_pending = nullptr;
  ::syscall(SYS_set_robust_list, &head_, sizeof head_);
  // FUTEX_WAITERS: a process that waits can't write that it does, and is to be woken.
  // relaxed: the kernel's; the page's maker gives it to nobody before
  word.store(static_cast<std::uint32_t>(::gettid()) | FUTEX_WAITERS, mo::relaxed);
}

robust_word::~robust_word() { ::syscall(SYS_set_robust_list, before_, before_bytes_); }

}  // namespace ufence::detail

// Reading memory of the process that others write to, protect or unmap meanwhile.
#pragma once

#include <sys/uio.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace ufence::detail {

/// Copies one piece after the other as the kernel does, which stops where nothing can be read.
/// @return  how many bytes; 0 also if the kernel does not let processes do that
inline std::size_t copy_memory(std::span<const iovec> from, void* to, std::size_t size) noexcept {
  const iovec into{.iov_base = to, .iov_len = size};
  const ssize_t got = ::process_vm_readv(::getpid(), &into, 1, from.data(), from.size(), 0);
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}
inline std::size_t copy_memory(std::uintptr_t from, void* to, std::size_t size) noexcept {
  const iovec at{.iov_base = reinterpret_cast<void*>(from),  // NOLINT(performance-no-int-to-ptr)
                 .iov_len = size};
  return copy_memory(std::span(&at, 1), to, size);
}

/// One thing there; false: not all of it can be read.
template <class T>
[[nodiscard]] bool copy_thing(std::uintptr_t from, T& to) noexcept {
  return copy_memory(from, &to, sizeof to) == sizeof to;
}

}  // namespace ufence::detail

// A call that came to the broker, and what is answered. What is in a call comes from another
// process: sizes are checked (parse_request()), values are not.
#pragma once

#include <sys/ioctl.h>
#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/uapi/protocol.h"
#include "ufence/uapi/shares.h"

namespace ufence::uapi {

/// A request whose sizes agree.
struct request_view {
  operation what{};
  std::uint32_t code = 0;
  bool has_subject = false;
  bool has_other = false;
  std::span<const std::byte> argument;
  std::span<const std::byte> data;
};
/// Nothing if the bytes are no request.
[[nodiscard]] std::optional<request_view> parse_request(std::span<const std::byte> bytes) noexcept;

class device;

struct call : request_view {
  unique_fd subject;        // the descriptor that it is about
  device* about = nullptr;  // the device that the subject is of; null: of none
  unique_fd other;          // the one that the argument names; none: it names none that is open
  client_ref caller;        // who is charged for what it takes
  pid_t pid = 0;            // the caller's; 0: it has none here
  bool is_privileged = false;

  /// The argument as a struct; what it is too short for is 0.
  template <class T>
  [[nodiscard]] T argument_as() const noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    copy_bytes(&value, sizeof value, argument);
    return value;
  }
  /// Part of the data as an array; what is missing there is 0. May throw std::bad_alloc.
  template <class T>
  [[nodiscard]] std::vector<T> data_as(std::size_t from, std::size_t count) const {
    std::vector<T> values(count);
    copy_bytes(values.data(), count * sizeof(T), data.subspan(std::min(from, data.size())));
    return values;
  }

 private:
  static void copy_bytes(void* to, std::size_t size, std::span<const std::byte> from) noexcept {
    const std::size_t n = std::min(size, from.size());
    if (n != 0) std::memcpy(to, from.data(), n);
  }
};

class waiting_call;

struct reply {
  reply() noexcept;
  reply(reply&&) noexcept;
  reply& operator=(reply&&) noexcept;
  ~reply();

  int error = 0;  // errno, or 0
  std::vector<std::byte> argument;
  std::vector<std::byte> data;
  unique_fd descriptor;
  std::int32_t descriptor_at = -1;
  std::uint32_t file_size = 0;          // the data is so much of the descriptor's file
  std::unique_ptr<waiting_call> later;  // set: this is not the answer yet
};

[[nodiscard]] inline reply failed(int error) {
  reply r;
  r.error = error;
  return r;
}
[[nodiscard]] inline reply failed(std::error_code error) { return failed(error.value()); }

/// A call's argument as it came, with `value` over it, as large as its number says; nothing if the
/// number says that nothing comes back.
/// May throw std::bad_alloc.
template <class T>
[[nodiscard]] reply answer(const call& c, const T& value) {
  static_assert(std::is_trivially_copyable_v<T>);
  reply r;
  if ((_IOC_DIR(c.code) & _IOC_READ) == 0) return r;
  r.argument.resize(_IOC_SIZE(c.code));
  const std::size_t came = std::min(r.argument.size(), c.argument.size());
  if (came != 0) std::memcpy(r.argument.data(), c.argument.data(), came);
  const std::size_t size = std::min(r.argument.size(), sizeof value);
  if (size != 0) std::memcpy(r.argument.data(), &value, size);
  return r;
}
/// The same with a descriptor, whose number belongs at an offset.
template <class T>
[[nodiscard]] reply answer(const call& c, const T& value, unique_fd fd, std::size_t at) {
  reply r = answer(c, value);
  r.descriptor = std::move(fd);
  r.descriptor_at = static_cast<std::int32_t>(at);
  return r;
}

}  // namespace ufence::uapi

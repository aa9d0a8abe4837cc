#include "tools/net/job/blocks.h"

#include <algorithm>
#include <cerrno>

#include "tools/net/job/number.h"

namespace ufence::tool {
std::string block_message(std::uint64_t attempt, std::uint64_t offset, std::string_view bytes,
                          int error) {
  std::string message;
  message.reserve(block_head_bytes + bytes.size());
  append_number(message, attempt);
  append_number(message, offset);
  append_number(message, static_cast<std::uint64_t>(-static_cast<std::int64_t>(error)));
  message += bytes;
  return message;
}

result<std::optional<std::size_t>> block_order::take(std::string_view message,
                                                     std::uint64_t attempt,
                                                     std::span<std::byte> to) {
  if (message.size() < block_head_bytes || message.size() - block_head_bytes > to.size()) {
    return failure(EPROTO);
  }
  const std::string_view bytes = message.substr(block_head_bytes);
  const std::uint64_t offset = number_at(message, 8);
  const std::uint64_t error = number_at(message, 16);
  if (error > 4095) return failure(EPROTO);
  if (number_at(message, 0) != attempt) return failure(ESTALE);
  if (error != 0) return failure(static_cast<int>(error));
  if (offset < next_) return std::optional<std::size_t>();
  if (offset > next_) return failure(ESTALE);
  std::ranges::copy(std::as_bytes(std::span(bytes)), to.begin());
  next_ += bytes.size();
  return std::optional(bytes.size());
}

}  // namespace ufence::tool

#include "ufence/uapi/call.h"

#include "ufence/uapi/waiting_call.h"

namespace ufence::uapi {

reply::reply() noexcept = default;
reply::reply(reply&&) noexcept = default;
reply& reply::operator=(reply&&) noexcept = default;
reply::~reply() = default;

std::optional<request_view> parse_request(std::span<const std::byte> bytes) noexcept {
  request_header header;
  if (bytes.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, bytes.data(), sizeof header);
  const std::span<const std::byte> rest = bytes.subspan(sizeof header);
  if (header.version != protocol_version || header.argument_size > argument_size_max ||
      header.data_size > data_size_max || rest.size() != header.argument_size + header.data_size ||
      header.what > static_cast<std::uint32_t>(operation::memory) ||
      header.descriptors > (request_header::has_subject | request_header::has_other)) {
    return std::nullopt;
  }
  request_view request;
  request.what = static_cast<operation>(header.what);
  request.code = header.code;
  request.has_subject = (header.descriptors & request_header::has_subject) != 0;
  request.has_other = (header.descriptors & request_header::has_other) != 0;
  request.argument = rest.first(header.argument_size);
  request.data = rest.subspan(header.argument_size);
  // An argument that goes to the kernel is as large as its ioctl's number says.
  if (request.what == operation::control) {
    const bool is_sent = (_IOC_DIR(header.code) & _IOC_WRITE) != 0;
    if (header.argument_size != (is_sent ? _IOC_SIZE(header.code) : 0U)) return std::nullopt;
    if (_IOC_SIZE(header.code) > argument_size_max) return std::nullopt;
  }
  return request;
}

}  // namespace ufence::uapi

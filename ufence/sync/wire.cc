#include "ufence/sync/wire.h"

#include <algorithm>
#include <cstring>

#include "ufence/container/unwrap.h"
#include "ufence/fence/names.h"

namespace ufence::detail {
namespace {

struct record_header {
  static constexpr std::uint32_t this_version = 0x75720002;
  std::uint32_t version = this_version;
  std::uint32_t size = 0;  // of the whole record
  std::int32_t status = 0;
  std::uint32_t leaf_count = 0;
  std::uint32_t name_size = 0;
  std::uint32_t zero = 0;
  std::int64_t timestamp_ns = 0;
};
struct leaf_header {
  std::int64_t timestamp_ns = 0;
  std::int32_t status = 0;
  std::uint16_t driver_size = 0;
  std::uint16_t timeline_size = 0;
};

bool is_status(std::int32_t status) noexcept { return status >= -4095 && status <= 1; }

// Room for it whenever it is written.
std::size_t leaf_size(const fence& leaf) noexcept {
  if (!fence_names::stay(leaf)) return sizeof(leaf_header) + 2 * sync_name_max;
  return sizeof(leaf_header) + cut_name(leaf.driver_name()).size() +
         cut_name(leaf.timeline_name()).size();
}

void put(std::byte*& to, std::string_view text) noexcept {
  to = std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), to);
}

std::byte* write_leaf(std::byte* to, fence& leaf) noexcept {
  const fence_names names = names_of(leaf);
  const std::string_view driver = cut_name(names.driver_name());
  const std::string_view timeline = cut_name(names.timeline_name());
  const leaf_header header{.timestamp_ns = leaf.timestamp_ns(),
                           .status = leaf.status(),
                           .driver_size = static_cast<std::uint16_t>(driver.size()),
                           .timeline_size = static_cast<std::uint16_t>(timeline.size())};
  std::memcpy(to, &header, sizeof header);
  to += sizeof header;
  put(to, driver);
  put(to, timeline);
  return to;
}

// A header from bytes that are large enough.
template <class Header>
Header header_of(std::span<const std::byte> bytes) noexcept {
  Header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header;
}

std::string_view text_of(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

result<std::size_t> record_room(const fence_ref& f) noexcept {
  std::size_t size = sizeof(record_header) + sync_name_max;
  leaves all(f);
  while (const fence* leaf = all.next()) {
    size += leaf_size(*leaf);
    if (size > record_size_max) return failure(E2BIG);
  }
  if (all.is_incomplete()) return failure(ENOMEM);
  return size;
}

namespace {

// Writes the header and the name; returns where the leaves begin.
std::byte* begin_record(std::span<std::byte> into, record_header& header, std::string_view name,
                        const fence_ref& f) noexcept {
  name = cut_name(name);
  header.status = f->status();
  header.timestamp_ns = f->timestamp_ns();
  header.name_size = static_cast<std::uint32_t>(name.size());
  std::byte* to = into.data() + sizeof header;
  put(to, name);
  return to;
}

std::size_t end_record(std::span<std::byte> into, record_header& header,
                       const std::byte* end) noexcept {
  header.size = static_cast<std::uint32_t>(end - into.data());
  std::memcpy(into.data(), &header, sizeof header);
  return header.size;
}

}  // namespace

std::size_t write_record(std::span<std::byte> into, std::string_view name,
                         const fence_ref& f) noexcept {
  record_header header;
  std::byte* to = begin_record(into, header, name, f);
  leaves all(f);
  while (fence* leaf = all.next()) {
    if (static_cast<std::size_t>(into.data() + into.size() - to) < leaf_size(*leaf)) break;
    to = write_leaf(to, *leaf);
    ++header.leaf_count;
  }
  return end_record(into, header, to);
}

std::size_t write_short_record(std::span<std::byte> into, std::string_view name,
                               const fence_ref& f) noexcept {
  static_assert(sizeof(record_header) + sync_name_max <= short_record_size_max);
  record_header header;
  const std::byte* const end = begin_record(into, header, name, f);
  return end_record(into, header, end);
}

std::optional<record_leaf> record_view::take_leaf(std::span<const std::byte>& rest) noexcept {
  if (rest.size() < sizeof(leaf_header)) return std::nullopt;
  const auto header = header_of<leaf_header>(rest);
  rest = rest.subspan(sizeof header);
  if (!is_status(header.status) || header.driver_size > sync_name_max ||
      header.timeline_size > sync_name_max ||
      rest.size() < std::size_t{header.driver_size} + header.timeline_size) {
    return std::nullopt;
  }
  const record_leaf leaf{
      .status = header.status,
      .timestamp_ns = header.timestamp_ns,
      .driver_name = text_of(rest.first(header.driver_size)),
      .timeline_name = text_of(rest.subspan(header.driver_size, header.timeline_size))};
  rest = rest.subspan(std::size_t{header.driver_size} + header.timeline_size);
  return leaf;
}

result<record_view> record_view::parse(std::span<const std::byte> bytes) noexcept {
  if (bytes.size() < sizeof(record_header) || bytes.size() > record_size_max) {
    return failure(EPROTO);
  }
  const auto header = header_of<record_header>(bytes);
  std::span<const std::byte> rest = bytes.subspan(sizeof header);
  if (header.version != record_header::this_version || header.size != bytes.size() ||
      header.zero != 0 || !is_status(header.status) || header.name_size > sync_name_max ||
      header.name_size > rest.size()) {
    return failure(EPROTO);
  }
  record_view view;
  view.name_ = text_of(rest.first(header.name_size));
  view.status_ = header.status;
  view.timestamp_ns_ = header.timestamp_ns;
  view.leaf_count_ = header.leaf_count;
  view.leaves_ = rest = rest.subspan(header.name_size);
  for (std::uint32_t i = 0; i < header.leaf_count; ++i) {
    if (!take_leaf(rest)) return failure(EPROTO);
  }
  if (!rest.empty()) return failure(EPROTO);
  return view;
}

std::optional<sync_request> parse_request(std::span<const std::byte> bytes) noexcept {
  if (bytes.size() != sizeof(sync_request)) return std::nullopt;
  const auto request = header_of<sync_request>(bytes);
  if (request.version != sync_request::this_version || request.has_deadline > 1) {
    return std::nullopt;
  }
  return request;
}

}  // namespace ufence::detail

#include "ufence/sync/wire.h"

#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "ufence/container/unwrap.h"
#include "ufence/fence/legacy.h"

namespace ufence::detail {
namespace {

constexpr std::string_view address_prefix{"\0ufence/", 8};

// What of a name the interfaces have room for.
std::string_view cut(std::string_view name) noexcept {
  return name.substr(0, std::min(sync_name_max, name.find('\0')));
}

// Appends to the path of an address; what has no room is cut off.
class address_writer {
 public:
  explicit address_writer(socket_address& to) noexcept : to_(to) {
    to_.name.sun_family = AF_UNIX;
    to_.size = offsetof(sockaddr_un, sun_path);
  }
  void put(std::string_view text) noexcept {
    const std::size_t n = std::min(text.size(), room());
    std::memcpy(reinterpret_cast<char*>(&to_.name) + to_.size, text.data(), n);
    to_.size += static_cast<socklen_t>(n);
  }
  void put_hex(std::uint64_t number) noexcept {
    std::array<char, 16> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr;
    put({digits.data(), static_cast<std::size_t>(end - digits.data())});
  }
  [[nodiscard]] std::size_t room() const noexcept { return sizeof to_.name - to_.size; }

 private:
  socket_address& to_;
};

// Takes a number and the '/' behind it.
bool take_hex(std::string_view& text, std::uint64_t& number) noexcept {
  const char* const end = text.data() + text.size();
  const auto [at, failed] = std::from_chars(text.data(), end, number, 16);
  if (failed != std::errc() || at == end || *at != '/') return false;
  text.remove_prefix(static_cast<std::size_t>(at - text.data()) + 1);
  return true;
}

}  // namespace

// --- Addresses ---

socket_address write_listener_address(std::uint64_t exporter) noexcept {
  socket_address address;
  address_writer to(address);
  to.put(address_prefix);
  to.put_hex(exporter);
  return address;
}

socket_address write_address(const sync_address& what) noexcept {
  socket_address address;
  address_writer to(address);
  to.put(address_prefix);
  for (const std::uint64_t number : {what.exporter, what.serial, what.context, what.seqno}) {
    to.put_hex(number);
    to.put("/");
  }
  const std::string_view timeline = cut(what.timeline_name);
  const std::size_t room = to.room() - 1;
  const std::size_t for_driver = room - std::min(timeline.size(), room / 2);
  to.put(cut(what.driver_name).substr(0, for_driver));
  to.put({"", 1});
  to.put(timeline);
  return address;
}

std::optional<sync_address> parse_address(const socket_address& address) noexcept {
  if (address.size <= offsetof(sockaddr_un, sun_path) || address.size > sizeof address.name ||
      address.name.sun_family != AF_UNIX) {
    return std::nullopt;
  }
  std::string_view text(address.name.sun_path, address.size - offsetof(sockaddr_un, sun_path));
  if (!text.starts_with(address_prefix)) return std::nullopt;
  text.remove_prefix(address_prefix.size());
  sync_address what;
  for (std::uint64_t* number : {&what.exporter, &what.serial, &what.context, &what.seqno}) {
    if (!take_hex(text, *number)) return std::nullopt;
  }
  const std::size_t driver_size = text.find('\0');
  if (driver_size == text.npos) return std::nullopt;
  what.driver_name = text.substr(0, driver_size);
  what.timeline_name = text.substr(driver_size + 1);
  if (what.driver_name.size() > sync_name_max || what.timeline_name.size() > sync_name_max ||
      what.timeline_name.find('\0') != text.npos) {
    return std::nullopt;
  }
  return what;
}

// --- Records ---

namespace {

struct record_header {
  static constexpr std::uint32_t this_version = 0x75720001;
  std::uint32_t version = this_version;
  std::uint32_t size = 0;  // of the whole record
  std::int32_t status = 0;
  std::uint32_t leaf_count = 0;
  std::uint32_t name_size = 0;
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
  return sizeof(leaf_header) + cut(leaf.driver_name()).size() + cut(leaf.timeline_name()).size();
}

void put(std::byte*& to, std::string_view text) noexcept {
  to = std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), to);
}

std::byte* write_leaf(std::byte* to, fence& leaf) noexcept {
  const fence_names names = names_of(leaf);
  const std::string_view driver = cut(names.driver_name());
  const std::string_view timeline = cut(names.timeline_name());
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

std::size_t write_record(std::span<std::byte> into, std::string_view name,
                         const fence_ref& f) noexcept {
  name = cut(name);
  record_header header{.status = f->status(), .name_size = static_cast<std::uint32_t>(name.size())};
  std::byte* to = into.data() + sizeof header;
  put(to, name);
  leaves all(f);
  while (fence* leaf = all.next()) {
    if (static_cast<std::size_t>(into.data() + into.size() - to) < leaf_size(*leaf)) break;
    to = write_leaf(to, *leaf);
    ++header.leaf_count;
  }
  header.size = static_cast<std::uint32_t>(to - into.data());
  std::memcpy(into.data(), &header, sizeof header);
  return header.size;
}

std::size_t write_owner_dead_record(std::span<std::byte> into) noexcept {
  const record_header header{.size = sizeof header, .status = -EOWNERDEAD};
  std::memcpy(into.data(), &header, sizeof header);
  return sizeof header;
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
      !is_status(header.status) || header.name_size > sync_name_max ||
      header.name_size > rest.size()) {
    return failure(EPROTO);
  }
  record_view view;
  view.name_ = text_of(rest.first(header.name_size));
  view.status_ = header.status;
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

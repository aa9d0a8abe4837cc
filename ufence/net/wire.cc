#include "ufence/net/wire.h"

#include <algorithm>
#include <new>

#include "ufence/net/bytes.h"

namespace ufence::detail {
namespace {

// Each begins with what it is, its version, and its size.
constexpr std::uint32_t value_version = 0x75760001;
constexpr std::uint32_t beat_version = 0x75620001;
constexpr std::uint32_t hint_version = 0x75680001;
constexpr std::size_t value_fixed_size = 4 + 4 + 7 * 8 + 4 + 4 + 3 * 2 + 2;
constexpr std::size_t beat_size = 4 + 4 + 2 * 8;
constexpr std::size_t hint_size = 4 + 4 + 4 * 8;

bool is_text(std::string_view text) noexcept {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

// Text that people are shown must not do anything to their terminals.
std::string to_text(std::string_view from) {
  std::string text(from.substr(0, origin_text_max));
  std::ranges::replace_if(
      text, [](char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return text;
}

bool is_header(byte_reader& in, std::uint32_t version, std::size_t size) noexcept {
  return in.u32() == version && in.u32() == size;
}

std::uint16_t size_of(std::string_view text) noexcept {
  return static_cast<std::uint16_t>(text.size());
}

bool is_in_range(const value_record& r, std::uint64_t timeline_id) noexcept {
  return r.timeline_id == timeline_id && r.owner != 0 && r.epoch != 0 &&
         r.epoch <= remote_point::epoch_max && r.value <= remote_point::point_max && r.error <= 0 &&
         r.error >= -4095 && r.lease_ns >= lease_ns_min && r.lease_ns <= lease_ns_max &&
         r.owner_time_ns >= 0;
}

}  // namespace

std::vector<std::byte> to_bytes(const value_record& record) {
  const std::string host = to_text(record.origin.host);
  const std::string driver = to_text(record.origin.driver);
  const std::string name = record.timeline_name.substr(0, net_name_max);
  std::vector<std::byte> bytes(value_fixed_size + host.size() + driver.size() + name.size());
  byte_writer out(bytes);
  out.u32(value_version);
  out.u32(static_cast<std::uint32_t>(bytes.size()));
  out.u64(record.timeline_id);
  out.u64(record.owner);
  out.u64(record.epoch);
  out.u64(record.value);
  out.i64(record.error);
  out.i64(record.lease_ns);
  out.i64(record.owner_time_ns);
  out.u32(record.origin.process);
  out.u32(0);
  out.u16(size_of(name));
  out.u16(size_of(host));
  out.u16(size_of(driver));
  out.u16(0);
  out.text(name);
  out.text(host);
  out.text(driver);
  return bytes;
}

result<value_record> parse_value(std::span<const std::byte> bytes,
                                 std::uint64_t timeline_id) noexcept try {
  byte_reader in(bytes);
  if (!is_header(in, value_version, bytes.size())) return failure(EPROTO);
  value_record r;
  r.timeline_id = in.u64();
  r.owner = in.u64();
  r.epoch = in.u64();
  r.value = in.u64();
  const std::int64_t error = in.i64();
  r.error = static_cast<std::int32_t>(error);
  r.lease_ns = in.i64();
  r.owner_time_ns = in.i64();
  r.origin.process = in.u32();
  const std::uint32_t zero = in.u32();
  const std::uint16_t name_size = in.u16();
  const std::uint16_t host_size = in.u16();
  const std::uint16_t driver_size = in.u16();
  const std::uint16_t zero_too = in.u16();
  const std::string_view name = in.text(name_size);
  const std::string_view host = in.text(host_size);
  const std::string_view driver = in.text(driver_size);
  if (!in.is_exact() || zero != 0 || zero_too != 0 || error != r.error ||
      !is_in_range(r, timeline_id) || !is_net_name(name) || name_number(name) != timeline_id ||
      host_size > origin_text_max || driver_size > origin_text_max || !is_text(host) ||
      !is_text(driver)) {
    return failure(EPROTO);
  }
  r.timeline_name = name;
  r.origin.host = host;
  r.origin.driver = driver;
  return r;
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

std::vector<std::byte> to_bytes(const beat& sign) {
  std::vector<std::byte> bytes(beat_size);
  byte_writer out(bytes);
  out.u32(beat_version);
  out.u32(static_cast<std::uint32_t>(bytes.size()));
  out.u64(sign.owner);
  out.i64(sign.sent_ns);
  return bytes;
}

result<beat> parse_beat(std::span<const std::byte> bytes, std::uint64_t owner) noexcept {
  byte_reader in(bytes);
  if (!is_header(in, beat_version, bytes.size())) return failure(EPROTO);
  beat sign;
  sign.owner = in.u64();
  sign.sent_ns = in.i64();
  if (!in.is_exact() || sign.owner != owner || owner == 0) return failure(EPROTO);
  return sign;
}

std::vector<std::byte> to_bytes(const point_hint& hint) {
  std::vector<std::byte> bytes(hint_size);
  byte_writer out(bytes);
  out.u32(hint_version);
  out.u32(static_cast<std::uint32_t>(bytes.size()));
  out.u64(hint.timeline_id);
  out.u64(hint.epoch);
  out.u64(hint.point);
  out.i64(hint.within_ns);
  return bytes;
}

result<point_hint> parse_hint(std::span<const std::byte> bytes,
                              std::uint64_t timeline_id) noexcept {
  byte_reader in(bytes);
  if (!is_header(in, hint_version, bytes.size())) return failure(EPROTO);
  point_hint hint;
  hint.timeline_id = in.u64();
  hint.epoch = in.u64();
  hint.point = in.u64();
  hint.within_ns = in.i64();
  if (!in.is_exact() || hint.timeline_id != timeline_id || hint.epoch == 0 ||
      hint.epoch > remote_point::epoch_max || hint.point > remote_point::point_max ||
      hint.within_ns < -1) {
    return failure(EPROTO);
  }
  return hint;
}

}  // namespace ufence::detail

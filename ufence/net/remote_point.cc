#include "ufence/net/remote_point.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

#include "ufence/net/bytes.h"

namespace ufence {
namespace {

bool is_in_range(const remote_point& p) noexcept {
  return p.version == remote_point::this_version && p.epoch != 0 &&
         p.epoch <= remote_point::epoch_max && p.point <= remote_point::point_max;
}

// Takes a number up to the next '.' or the end.
bool take_number(std::string_view& text, int base, std::uint64_t& number) noexcept {
  const std::string_view digits = text.substr(0, text.find('.'));
  const char* const end = digits.data() + digits.size();
  const auto read = std::from_chars(digits.data(), end, number, base);
  text.remove_prefix(std::min(text.size(), digits.size() + 1));
  return read.ec == std::errc() && read.ptr == end;
}

}  // namespace

bool is_net_namespace(std::string_view name) noexcept {
  return !name.empty() && name.size() <= net_name_max && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

bool is_net_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= net_name_max &&
         std::ranges::all_of(name, [](char c) { return c >= 0x20 && c < 0x7f; });
}

std::string remote_point::to_string() const {
  std::array<char, 96> text{};
  const int size =
      std::snprintf(text.data(), text.size(), "uf1.%08x.%016llx.%016llx.%llu", namespace_id,
                    static_cast<unsigned long long>(timeline_id),
                    static_cast<unsigned long long>(epoch), static_cast<unsigned long long>(point));
  return {text.data(), static_cast<std::size_t>(size)};
}

result<remote_point> remote_point::parse(std::string_view text) noexcept try {
  const std::string_view whole = text;
  remote_point p;
  std::uint64_t space = 0;
  if (!text.starts_with("uf1.")) return failure(EINVAL);
  text.remove_prefix(4);
  if (!take_number(text, 16, space) || !take_number(text, 16, p.timeline_id) ||
      !take_number(text, 16, p.epoch) || !take_number(text, 10, p.point) || space > UINT32_MAX) {
    return failure(EINVAL);
  }
  p.namespace_id = static_cast<std::uint32_t>(space);
  // One text for one point.
  if (!is_in_range(p) || p.to_string() != whole) return failure(EINVAL);
  return p;
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

std::array<std::byte, remote_point::bytes> remote_point::to_bytes() const noexcept {
  std::array<std::byte, bytes> to{};
  detail::byte_writer out(to);
  out.u32(version);
  out.u32(namespace_id);
  out.u64(timeline_id);
  out.u64(epoch);
  out.u64(point);
  return to;
}

result<remote_point> remote_point::from_bytes(std::span<const std::byte> from) noexcept {
  if (from.size() != bytes) return failure(EINVAL);
  detail::byte_reader in(from);
  const remote_point p{.version = in.u32(),
                       .namespace_id = in.u32(),
                       .timeline_id = in.u64(),
                       .epoch = in.u64(),
                       .point = in.u64()};
  if (!is_in_range(p)) return failure(EINVAL);
  return p;
}

namespace detail {

std::uint64_t name_number(std::string_view name) noexcept {
  // FNV-1a, then mixed so that each bit of the name changes each bit of the number.
  std::uint64_t number = 0xcbf29ce484222325;
  for (const char c : name) number = (number ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  number = (number ^ (number >> 33)) * 0xff51afd7ed558ccd;
  number = (number ^ (number >> 33)) * 0xc4ceb9fe1a85ec53;
  return number ^ (number >> 33);
}

}  // namespace detail
}  // namespace ufence

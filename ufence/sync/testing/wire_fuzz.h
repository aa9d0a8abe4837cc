// What every sequence of bytes must stand when it is read as something that came from another
// process.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include "ufence/sync/wire.h"

namespace ufence::testing {

/// What the readers made of some bytes.
struct fuzzed {
  bool is_record = false;
  bool is_label = false;  // of the right form; what it says may be hidden
  bool is_readable_label = false;
  bool is_verdict = false;
  bool is_request = false;
};

inline void fuzz_expect(bool holds) {
  if (!holds) std::abort();
}

/// Reads the bytes as a record, the names of sockets and a request; aborts where a reader lets
/// something pass that breaks what the rest of the library relies on.
inline fuzzed fuzz_wire(std::span<const std::byte> bytes) {
  fuzzed seen;
  if (const auto record = detail::record_view::parse(bytes)) {
    seen.is_record = true;
    fuzz_expect(record->status() <= 1 && record->status() >= -4095);
    fuzz_expect(record->name().size() <= detail::sync_name_max);
    std::size_t leaves = 0;
    std::size_t sum = 0;
    record->for_each_leaf([&](const detail::record_leaf& leaf) {
      ++leaves;
      fuzz_expect(leaf.status <= 1 && leaf.status >= -4095);
      fuzz_expect(leaf.driver_name.size() <= detail::sync_name_max &&
                  leaf.timeline_name.size() <= detail::sync_name_max);
      for (const char c : leaf.driver_name) sum += static_cast<unsigned char>(c);
      for (const char c : leaf.timeline_name) sum += static_cast<unsigned char>(c);
    });
    fuzz_expect(leaves == record->leaf_count() && sum <= 255 * bytes.size());
  }
  // As the name of an end of a socket, with the key in front.
  std::array<std::uint32_t, 4> key{};
  if (bytes.size() >= sizeof key) {
    std::memcpy(key.data(), bytes.data(), sizeof key);
    const auto path = bytes.subspan(sizeof key);
    detail::socket_address address;
    address.name.sun_family = AF_UNIX;
    const std::size_t n = std::min(path.size(), sizeof address.name.sun_path);
    std::copy_n(reinterpret_cast<const char*>(path.data()), n, address.name.sun_path);
    address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + n);
    if (const auto told = detail::open_label(address, key)) {
      seen.is_label = true;
      seen.is_readable_label = told->is_readable;
      for (const detail::sync_name& name :
           {told->driver_name, told->timeline_name, told->file_name}) {
        fuzz_expect(name.back() == '\0');
      }
    }
    if (const auto verdict = detail::open_verdict(address, key)) {
      seen.is_verdict = true;
      fuzz_expect(verdict->status == 1 || (verdict->status < 0 && verdict->status >= -4095));
    }
  }
  if (const auto request = detail::parse_request(bytes)) {
    seen.is_request = true;
    fuzz_expect(request->has_deadline <= 1);
  }
  return seen;
}

}  // namespace ufence::testing

// What every sequence of bytes must stand when it is read as something that came from another
// process.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <span>

#include "ufence/sync/wire.h"

namespace ufence::testing {

/// What the readers made of some bytes.
struct fuzzed {
  bool is_record = false;
  bool is_address = false;
  bool is_request = false;
};

inline void fuzz_expect(bool holds) {
  if (!holds) std::abort();
}

/// Reads the bytes as a record, an address and a request; aborts where a reader lets something pass
/// that breaks what the rest of the library relies on.
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
  detail::socket_address address;
  address.name.sun_family = AF_UNIX;
  const std::size_t n = std::min(bytes.size(), sizeof address.name.sun_path);
  std::copy_n(reinterpret_cast<const char*>(bytes.data()), n, address.name.sun_path);
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + n);
  if (const auto told = detail::parse_address(address)) {
    seen.is_address = true;
    // It says the same when it is written again.
    const detail::socket_address written = detail::write_address(*told);
    const auto again = detail::parse_address(written);
    fuzz_expect(again && again->exporter == told->exporter && again->serial == told->serial &&
                again->context == told->context && again->seqno == told->seqno);
  }
  if (const auto request = detail::parse_request(bytes)) {
    seen.is_request = true;
    fuzz_expect(request->has_deadline <= 1);
  }
  return seen;
}

}  // namespace ufence::testing

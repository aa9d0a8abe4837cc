// libFuzzer's entry: the bytes of a parcel are read or refused, whatever they are.
#include <cstdint>
#include <cstdlib>
#include <span>

#include "ufence/sync/parcel_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t items_max = 16;
  constexpr std::size_t bytes_max = 256;
  if (size == 0) return 0;
  const std::span<const std::byte> message(reinterpret_cast<const std::byte*>(data) + 1, size - 1);
  const auto view = ufence::detail::parcel_view::parse(message, data[0], items_max, bytes_max);
  if (!view) return 0;
  std::size_t fds = 0;
  for (std::size_t i = 0; i < view->items(); ++i) {
    fds += ufence::detail::has_descriptor(view->item(i).kind) ? 1 : 0;
  }
  std::size_t sum = 0;
  for (const std::byte b : view->bytes()) sum += static_cast<std::size_t>(b);
  const bool is_right = view->items() <= items_max && view->bytes().size() <= bytes_max &&
                        fds == data[0] && sum <= 255 * bytes_max;
  if (!is_right) std::abort();
  return 0;
}

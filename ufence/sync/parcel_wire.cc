#include "ufence/sync/parcel_wire.h"

#include <cstring>

namespace ufence::detail {

result<parcel_view> parcel_view::parse(std::span<const std::byte> message, std::size_t fds,
                                       std::size_t items_max, std::size_t bytes_max) noexcept {
  parcel_view view;
  if (message.size() < sizeof view.head_) return failure(EPROTO);
  std::memcpy(&view.head_, message.data(), sizeof view.head_);
  view.message_ = message;
  const parcel_head& head = view.head_;
  if (head.magic != parcel_head::right_magic || head.items > items_max || head.bytes > bytes_max ||
      message.size() != parcel_size(head.items, head.bytes)) {
    return failure(EPROTO);
  }
  std::size_t needed = 0;
  for (std::size_t i = 0; i < head.items; ++i) {
    const parcel_item item = view.item(i);
    const bool is_known = item.kind >= parcel_kind::fence && item.kind <= parcel_kind::timeline;
    if (!is_known || item.zero != 0) return failure(EPROTO);
    if (item.kind != parcel_kind::syncobj && item.point != 0) return failure(EPROTO);
    needed += has_descriptor(item.kind) ? 1U : 0U;
  }
  if (needed != fds) return failure(EPROTO);
  return view;
}

parcel_item parcel_view::item(std::size_t i) const noexcept {
  parcel_item item;
  std::memcpy(&item, message_.data() + parcel_size(i, 0), sizeof item);
  return item;
}

}  // namespace ufence::detail

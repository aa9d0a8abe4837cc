#include "ufence/sync/channel.h"

#include <memory>
#include <new>
#include <vector>

#include "ufence/c/convert.h"

using namespace ufence;
using namespace ufence::c;

struct ufence_channel {
  channel end;
  channel_options options;
};

namespace {

// As the C++ interface has them. False: not known.
bool read_channel_options(const ufence_channel_options* given, channel_options& options) noexcept {
  ufence_channel_options known;
  if (!read_options(given, known)) return false;
  if (known.bytes_max != 0) options.bytes_max = known.bytes_max;
  if (known.items_max != 0) options.items_max = known.items_max;
  options.same_user = known.any_user == 0;
  return true;
}

int hand_over_channel(result<channel> made, const channel_options& options,
                      ufence_channel** to) noexcept {
  if (!made) return negative(made.error());
  auto* const handle = new (std::nothrow) ufence_channel{std::move(*made), options};
  if (handle == nullptr) return -ENOMEM;
  *to = handle;
  return 0;
}

channel_item item_of(const ufence_channel_item& item) noexcept {
  channel_item made{.access = item.may_signal != 0 ? shared_access::signal : shared_access::wait};
  made.fence = borrowed(item.fence);
  if (item.object != nullptr) {
    made.object = syncobj_ref::take(*reinterpret_cast<syncobj*>(item.object));
  }
  if (item.timeline != nullptr) {
    made.timeline =
        shared_timeline_ref::take(*reinterpret_cast<shared_timeline*>(item.timeline));
  }
  return made;
}

// Hands the references over.
ufence_channel_item to_c(channel_item& item) noexcept {
  ufence_channel_item made{};
  if (item.fence) made.fence = c::to_c(item.fence.release());
  if (item.object) made.object = reinterpret_cast<ufence_syncobj*>(item.object.release());
  if (item.timeline) {
    made.may_signal = item.timeline->may_signal() ? 1 : 0;
    made.timeline = reinterpret_cast<ufence_shared_timeline*>(item.timeline.release());
  }
  return made;
}

}  // namespace

int ufence_channel_adopt(int socket, const ufence_channel_options* given, ufence_channel** to) {
  unique_fd owned(socket);
  channel_options options;
  if (!read_channel_options(given, options)) return -EINVAL;
  return hand_over_channel(channel::adopt(std::move(owned), options), options, to);
}

int ufence_channel_pair(const ufence_channel_options* given, ufence_channel* to[2]) {
  channel_options options;
  if (!read_channel_options(given, options)) return -EINVAL;
  result<std::pair<channel, channel>> made = channel::pair(options);
  if (!made) return negative(made.error());
  ufence_channel* ends[2] = {};
  if (hand_over_channel(std::move(made->first), options, &ends[0]) != 0 ||
      hand_over_channel(std::move(made->second), options, &ends[1]) != 0) {
    delete ends[0];
    return -ENOMEM;
  }
  to[0] = ends[0];
  to[1] = ends[1];
  return 0;
}

void ufence_channel_destroy(ufence_channel* channel) { delete channel; }

int ufence_channel_fd(const ufence_channel* channel) { return channel->end.fd(); }

int ufence_channel_send(ufence_channel* channel, const ufence_parcel* given, int64_t deadline_ns) {
  ufence_parcel from;
  if (given == nullptr || !read_options(given, from)) return -EINVAL;
  try {
    parcel what{.tag = from.tag};
    const auto* const bytes = static_cast<const std::byte*>(from.bytes);
    if (from.byte_count > channel->options.bytes_max ||
        from.item_count > channel->options.items_max) {
      return -EMSGSIZE;
    }
    what.bytes.assign(bytes, bytes + from.byte_count);
    what.items.reserve(from.item_count);
    for (std::size_t i = 0; i < from.item_count; ++i) what.items.push_back(item_of(from.items[i]));
    return negative(channel->end.send(what, deadline_ns));
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
}

int ufence_channel_receive(ufence_channel* channel, ufence_parcel* to, int64_t deadline_ns) {
  ufence_parcel room;
  if (to == nullptr || !read_options(to, room) || room.byte_count < channel->options.bytes_max ||
      room.item_count < channel->options.items_max) {
    return -EINVAL;
  }
  result<parcel> got = channel->end.receive(deadline_ns);
  if (!got) return negative(got.error());
  room.size = to->size;
  room.tag = got->tag;
  room.byte_count = got->bytes.size();
  if (!got->bytes.empty()) std::memcpy(room.bytes, got->bytes.data(), got->bytes.size());
  room.item_count = got->items.size();
  for (std::size_t i = 0; i < got->items.size(); ++i) room.items[i] = to_c(got->items[i]);
  room.sender_pid = got->sender.pid;
  room.sender_uid = got->sender.uid;
  room.sender_gid = got->sender.gid;
  std::memcpy(to, &room, to->size < sizeof room ? to->size : sizeof room);
  return 0;
}

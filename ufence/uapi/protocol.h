// The messages of the preloaded library and the broker.
//
// A connection to the broker (SOCK_SEQPACKET) carries one call at a time: one request, one reply.
// The descriptor that a call is about is sent along, and is the proof that the caller has it. Each
// thread keeps one connection for its calls, if the broker says so in the reply; it may be closed
// between calls at any time. A request that is not answered was not begun, or its broker died.
//
// The first call about a device makes a pair of sockets and sends one end over the device itself:
// the other end of that is at the broker that made it, in whatever namespace. All other calls
// connect to the broker's listener.
//
// A descriptor of an emulated device is one end of a socket pair, whose other end the broker keeps:
// its peer is closed with the last duplicate in any process. The broker's end is bound to an abstract
// address that begins with device_prefix: by this the descriptor is known (getpeername()). A sync
// file is known by its own address (getsockname(), see ufence/sync/label.h), a dma-buf by its
// seals.
#pragma once

#include <fcntl.h>
#include <sys/ioctl.h>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ufence::uapi {

inline constexpr std::uint32_t protocol_version = 0x75610003;

/// Abstract addresses, without their leading NUL: device_prefix, the kind, '/', random digits.
inline constexpr std::string_view device_prefix = "ufence-uapi/";
inline constexpr std::string_view sync_file_prefix = "ufence/";
/// The seals of a dma-buf's memory file (others may have them as well), beside the one against
/// executing it; and its name.
inline constexpr int dma_buf_seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW;
inline constexpr char dma_buf_file_name[] = "ufence-dma-buf";

/// The environment of programs that run with the preloaded library: the broker's abstract address.
inline constexpr char broker_variable[] = "UFENCE_UAPI_BROKER";
/// The same of the DRM node's driver, if it is not vgem.
inline constexpr char driver_variable[] = "UFENCE_UAPI_DRIVER";

enum class device_kind : char {
  none = 0,
  sw_sync = 's',
  drm_card = 'c',
  drm_render = 'r',
  syncobj = 'o',
};

enum class operation : std::uint32_t {
  open,     // of a device; code: its kind; argument: the name of the calling thread
  control,  // an ioctl; code: its number; argument: its argument
  flush,    // nothing: what was closed before is closed when it returns
  memory,   // of a DRM node: the memory of the buffer at an offset; argument: the offset
};

/// The largest argument of an ioctl, of all arrays that it points to, and of those that come back
/// in a file.
inline constexpr std::size_t argument_size_max = 256;
inline constexpr std::size_t data_size_max = 128 * 1024;
inline constexpr std::size_t file_data_size_max = 16 * 1024 * 1024;

/// Before the argument, which comes before the data: what it points to. With up to two descriptors:
/// the one that the call is about, and one that the argument names.
struct request_header {
  static constexpr std::uint32_t has_subject = 1;
  static constexpr std::uint32_t has_other = 2;
  std::uint32_t version = protocol_version;
  std::uint32_t what = 0;  // operation
  std::uint32_t code = 0;
  std::uint32_t descriptors = 0;
  std::uint32_t argument_size = 0;
  std::uint32_t data_size = 0;
};

/// The same the other way, with at most one descriptor. Data for which a message is too small is in
/// a memory file, which is the descriptor then.
struct reply_header {
  std::uint32_t version = protocol_version;
  std::int32_t error = 0;  // errno, or 0
  std::uint32_t argument_size = 0;
  std::uint32_t data_size = 0;
  std::int32_t descriptor_at = -1;  // where in the argument its number belongs
  std::uint32_t file_size = 0;      // of the data in a file; 0: it is none
  std::uint32_t keeps = 0;          // 1: the connection stays for another call
};

static_assert(sizeof(request_header) == 24 && sizeof(reply_header) == 28);

}  // namespace ufence::uapi

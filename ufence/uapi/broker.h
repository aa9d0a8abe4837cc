// The broker: the process that has the state of the emulated devices. Programs that run with
// libufence-preload.so talk to it instead of the kernel.
#pragma once

#include <string>
#include <string_view>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/fd.h"
#include "ufence/base/result.h"

namespace ufence {

/// The variable that names the broker to the preloaded library: the abstract address of its
/// listener, without the leading NUL.
inline constexpr char uapi_broker_variable[] = "UFENCE_UAPI_BROKER";

/// A name that no other broker has, for the variable. Where the system refuses random numbers
/// others can guess it: listen_for_uapi() fails if one of them was first. May throw std::bad_alloc.
[[nodiscard]] UFENCE_API std::string make_uapi_broker_name();

/// Binds a listener to such a name.
/// @return  -EADDRINUSE; -ENAMETOOLONG; -EMFILE, -ENFILE, -ENOMEM
[[nodiscard]] UFENCE_API result<unique_fd> listen_for_uapi(std::string_view name) noexcept;

/// The name of the virtual DRM node's driver; programs choose by it. The fences of vgem are
/// there for vgem alone.
enum class uapi_driver : unsigned char { vgem, virtio_gpu };
/// The variable that names the driver to the preloaded library, where it is not vgem.
inline constexpr char uapi_driver_variable[] = "UFENCE_UAPI_DRIVER";

/// Serves the listener until the owner has ended, whatever is open then; without an owner until no
/// device that it gave out is open and nobody has called for a second. Callers of other users may
/// use what they were given; they can't open anything.
/// @param owner_pidfd  of the process that the broker is for, or whatever becomes readable, or is
///                     closed, with its end; or -1
/// @return  -EMFILE, -ENOMEM, ...: it could not begin
/// Threads: one broker in a process; it runs here, and in the reactor of sync files.
[[nodiscard]] UFENCE_API std::error_code serve_uapi(
    unique_fd listener, int owner_pidfd = -1, uapi_driver driver = uapi_driver::vgem) noexcept;

}  // namespace ufence

// poll() and select() for a program whose calls this process makes.
#pragma once

#include "ufence/uapi/preload/asking.h"

namespace ufence::uapi {

/// For poll(), whose time is an argument, and ppoll(). Sets without an emulated descriptor are left
/// to the kernel. Threads: any. Blocks: as the call does, until a signal comes for its caller.
[[nodiscard]] verdict poll_for(asking& a) noexcept;
[[nodiscard]] verdict ppoll_for(asking& a) noexcept;
/// The same for select() and pselect6(), whose times have other units.
[[nodiscard]] verdict select_for(asking& a, std::int64_t unit_ns) noexcept;

}  // namespace ufence::uapi

// The descriptors that the broker gave out: for each an end of its own, whose peer is closed with the last
// duplicate of the other one. Holders send connections over it (protocol.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/sync/wire.h"
#include "ufence/uapi/device.h"

namespace ufence::uapi {

/// The address of an abstract name. @return  -ENAMETOOLONG
[[nodiscard]] result<detail::socket_address> abstract_address(std::string_view name) noexcept;

/// Threads: the broker's alone. May throw std::bad_alloc.
class device_table {
 public:
  /// @return  -EMFILE, -ENFILE, -ENOMEM
  [[nodiscard]] std::error_code begin();
  /// Readable when there is something to look at.
  [[nodiscard]] int events() const noexcept { return events_.get(); }

  /// A descriptor for a device, which ends with it.
  /// @return  -EMFILE, -ENFILE, -ENOMEM, ...
  /// @param owner  who is charged for the broker's end; may be null
  [[nodiscard]] result<unique_fd> publish(std::unique_ptr<device> what, const client_ref& owner);
  /// The device of a descriptor, or nullptr.
  [[nodiscard]] device* find(int descriptor) const noexcept;
  /// Takes the connections that holders have sent, and ends the devices whose descriptors are
  /// closed; some of each at a time.
  /// @return  whether there was anything; then there may be more
  bool look() noexcept;
  /// The connections that the last look has taken.
  [[nodiscard]] std::vector<unique_fd>& connections() noexcept { return connections_; }
  /// After so many looks each device that was closed before the first one has ended.
  [[nodiscard]] std::size_t looks_for_all() const noexcept;

  [[nodiscard]] bool empty() const noexcept { return devices_.empty(); }
  /// When the first device wants on_time(), and telling all of them.
  [[nodiscard]] std::int64_t next_time_ns() const noexcept;
  void on_time(std::int64_t now) noexcept;

 private:
  struct entry {
    unique_fd end;  // ours
    std::unique_ptr<device> what;
    charge of_maker;
  };
  unique_fd events_;                        // epoll
  std::vector<unique_fd> connections_;      // with room for all that one look can take
  std::map<std::uint64_t, entry> devices_;  // by the cookie of the holders' end
};

}  // namespace ufence::uapi

#include "ufence/uapi/broker.h"

#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <exception>

#include "ufence/base/clock.h"
#include "ufence/io/random.h"
#include "ufence/uapi/device_table.h"
#include "ufence/uapi/protocol.h"
#include "ufence/uapi/server.h"

namespace ufence {

static_assert(std::string_view(uapi_broker_variable) == uapi::broker_variable);
static_assert(std::string_view(uapi_driver_variable) == uapi::driver_variable);

std::string make_uapi_broker_name() {
  std::uint64_t number = 0;
  if (!detail::fill_random(&number, sizeof number)) number = static_cast<std::uint64_t>(now_ns());
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, number, 16).ptr;
  return "ufence-uapi-broker/" + std::to_string(::getpid()) + "/" + std::string(digits, end);
}

result<unique_fd> listen_for_uapi(std::string_view name) noexcept {
  const result<detail::socket_address> address = uapi::abstract_address(name);
  if (!address) return std::unexpected(address.error());
  unique_fd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener || ::bind(listener.get(), address->get(), address->size) != 0 ||
      ::listen(listener.get(), SOMAXCONN) != 0) {
    return failure(errno);
  }
  return listener;
}

std::error_code serve_uapi(unique_fd listener, int owner_pidfd, uapi_driver driver) noexcept {
  try {
    uapi::server server(std::move(listener), owner_pidfd, driver);
    return server.run();
  } catch (const std::exception&) {
    return errno_code(ENOMEM);
  }
}

}  // namespace ufence

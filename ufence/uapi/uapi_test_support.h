// A broker on a thread of the test, and a client that may say anything to it.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "ufence/io/socket.h"
#include "ufence/uapi/broker.h"
#include "ufence/uapi/device_table.h"
#include "ufence/uapi/ioctls.h"
#include "ufence/uapi/protocol.h"

namespace ufence::testing {

struct answer {
  int error = -1;  // -1: the connection ended without one
  std::vector<std::byte> argument;
  std::vector<std::byte> data;
  unique_fd fd;

  template <class T>
  [[nodiscard]] T as() const {
    T value{};
    std::memcpy(&value, argument.data(), std::min(sizeof value, argument.size()));
    return value;
  }
};

[[nodiscard]] inline unique_fd connect_to(const std::string& broker) {
  unique_fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const auto address = uapi::abstract_address(broker);
  EXPECT_TRUE(address);
  EXPECT_EQ(::connect(socket.get(), address->get(), address->size), 0);
  return socket;
}

/// Serves until it is dropped.
class broker_on_thread {
 public:
  broker_on_thread() : name_(make_uapi_broker_name()) {
    EXPECT_EQ(::pipe(owner_), 0);
    result<unique_fd> listener = listen_for_uapi(name_);
    EXPECT_TRUE(listener);
    // The read end's peer is closed when the owner is gone, as a process's descriptor becomes readable.
    thread_ = std::thread([this, l = std::move(*listener)]() mutable {
      EXPECT_FALSE(serve_uapi(std::move(l), owner_[0]));
    });
  }
  ~broker_on_thread() {
    ::close(owner_[1]);
    thread_.join();
    ::close(owner_[0]);
  }
  broker_on_thread(const broker_on_thread&) = delete;
  broker_on_thread& operator=(const broker_on_thread&) = delete;

  [[nodiscard]] unique_fd connect() const { return connect_to(name_); }

 private:
  const std::string name_;
  int owner_[2] = {-1, -1};
  std::thread thread_;
};

[[nodiscard]] inline std::vector<std::byte> bytes_of(const void* from, std::size_t size) {
  std::vector<std::byte> bytes(size);
  if (size != 0) std::memcpy(bytes.data(), from, size);
  return bytes;
}

/// A request of the right form.
[[nodiscard]] inline std::vector<std::byte> request_bytes(uapi::operation what, std::uint32_t code,
                                                          std::span<const std::byte> argument,
                                                          std::span<const std::byte> data,
                                                          std::uint32_t descriptors) {
  uapi::request_header header;
  header.what = static_cast<std::uint32_t>(what);
  header.code = code;
  header.descriptors = descriptors;
  header.argument_size = static_cast<std::uint32_t>(argument.size());
  header.data_size = static_cast<std::uint32_t>(data.size());
  std::vector<std::byte> bytes = bytes_of(&header, sizeof header);
  bytes.insert(bytes.end(), argument.begin(), argument.end());
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

/// The answer that comes back on a connection.
[[nodiscard]] inline answer receive_answer(const unique_fd& connection) {
  answer got;
  std::vector<std::byte> room(sizeof(uapi::reply_header) + uapi::argument_size_max +
                              uapi::data_size_max);
  uapi::reply_header header;
  pollfd p{.fd = connection.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&p, 1, 120'000), 1);
  result<message> m = receive_message(connection.get(), room, false, 1);
  if (!m || m->size < sizeof header) return got;
  std::memcpy(&header, room.data(), sizeof header);
  EXPECT_EQ(m->size, sizeof header + header.argument_size + header.data_size);
  got.error = header.error;
  const auto rest = std::span(room).subspan(sizeof header, m->size - sizeof header);
  got.argument.assign(rest.begin(), rest.begin() + header.argument_size);
  got.data.assign(rest.begin() + header.argument_size, rest.end());
  if (m->fd_count == 1) got.fd = std::move(m->fds[0]);
  return got;
}

[[nodiscard]] inline std::vector<std::byte> open_request(uapi::device_kind kind) {
  const char name[16] = "tester";
  return request_bytes(uapi::operation::open, static_cast<std::uint32_t>(kind),
                       bytes_of(name, sizeof name), {}, 0);
}

[[nodiscard]] inline answer open_device(const broker_on_thread& broker, uapi::device_kind kind) {
  const unique_fd connection = broker.connect();
  if (send_message(connection.get(), open_request(kind))) return {};
  return receive_answer(connection);
}

/// Gives the broker one end of a pair as a connection, over one of its devices, as the preloaded
/// library does.
[[nodiscard]] inline bool send_over(const unique_fd& device, const unique_fd& end) {
  const int sent = end.get();
  const std::byte byte{};
  return !send_message(device.get(), {&byte, 1}, {&sent, 1});
}

/// An ioctl with an argument that is in and out, data, and up to two descriptors (-1: none).
template <class T>
[[nodiscard]] answer control(const broker_on_thread& broker, std::uint32_t code, const T& argument,
                             int subject, int other = -1, std::span<const std::byte> data = {}) {
  const unique_fd connection = broker.connect();
  std::vector<int> fds;
  std::uint32_t descriptors = 0;
  if (subject >= 0) {
    fds.push_back(subject);
    descriptors |= uapi::request_header::has_subject;
  }
  if (other >= 0) {
    fds.push_back(other);
    descriptors |= uapi::request_header::has_other;
  }
  if (send_message(connection.get(),
                   request_bytes(uapi::operation::control, code,
                                 bytes_of(&argument, sizeof argument), data, descriptors),
                   fds)) {
    return {};
  }
  return receive_answer(connection);
}

}  // namespace ufence::testing

// The broker's loop: connections with one call at a time, devices that hang up, calls that wait.
//
// One thread does it all, so that calls come one after the other. Devices that were closed are
// ended before calls that came later: a program that closes a device and then makes a call finds it
// closed.
//
// A connection stays for its thread's next call where its process has no more of them than it
// leaves to others. An idle one keeps nothing alive, and is closed with the broker; its call has
// not begun then.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <system_error>
#include <vector>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/uapi/call.h"
#include "ufence/uapi/dispatcher.h"
#include "ufence/uapi/waiting_call.h"

namespace ufence::uapi {

/// Threads: one. May throw std::bad_alloc, before it serves.
class server {
 public:
  /// A client that connects and says nothing has to go when there are more than so many, or more than a
  /// quarter of the descriptors that the process may have.
  static constexpr std::size_t silent_max = 1024;
  /// Of other users together: they leave the rest to the broker's own.
  static constexpr std::size_t silent_strangers_max = 64;
  /// So many new connections at a time: those that have called have their turn.
  static constexpr int accepts_max = 64;

  server(unique_fd listener, int owner_pidfd, uapi_driver driver) noexcept;
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// See serve_uapi().
  [[nodiscard]] std::error_code run();

 private:
  struct connection {
    unique_fd socket;
    ucred caller;                           // who made it
    bool is_strangers;                      // of another user
    bool is_shared;                         // it came over a device: its caller had both ends
    client_ref client;                      // null: it has not called yet
    charge of_place;                        // while it is kept between calls
    std::unique_ptr<waiting_call> waiting;  // null: it has no call
    charge of_wait;
    [[nodiscard]] bool is_silent() const noexcept { return client == nullptr; }
  };
  using connections = std::map<std::uint64_t, connection>;

  [[nodiscard]] std::error_code begin();
  [[nodiscard]] int timeout_ms();
  void on_time();
  [[nodiscard]] bool is_needed();

  template <class F>
  [[nodiscard]] static bool try_to(const F& f) noexcept;
  void handle_connection(std::uint64_t number) noexcept;
  void accept_all();
  bool look_at_devices();
  void end_closed_devices();
  void adopt(unique_fd socket, bool is_shared);
  void rest_listener(bool rests) noexcept;
  void make_silence(bool of_strangers) noexcept;
  void drop(connections::iterator at) noexcept;
  void forget(const waiting_call& w) noexcept;
  void on_connection(std::uint64_t number);
  [[nodiscard]] reply answer_to(connection& from, call& c);
  [[nodiscard]] bool may_keep(connection& c) noexcept;
  void end_call(connections::iterator at, const reply& r);
  void finish(connections::iterator at, bool in_time);
  void look_at(connections::iterator at);

  [[nodiscard]] bool receive_call(connection& from, call& c) noexcept;
  [[nodiscard]] bool send_reply(int socket, const reply& r, bool keeps) noexcept;
  void start_waiting(std::uint64_t number, connection& to, std::unique_ptr<waiting_call> later);

  unique_fd listener_;
  const int owner_;
  unique_fd events_;  // epoll: everything that is waited for
  bool owner_is_gone_ = false;
  bool listener_rests_ = false;
  std::int64_t last_use_ns_ = 0;
  std::uint64_t next_number_ = 1;
  std::size_t silent_ = 0;  // connections that have not called yet
  std::size_t silent_limit_ = silent_max;
  std::size_t waits_ = 0;   // calls that wait
  connections connections_;
  dispatcher dispatcher_;
  std::vector<std::byte> buffer_;  // for one request, or one reply
};

}  // namespace ufence::uapi

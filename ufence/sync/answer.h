// The exporter's side of requests: a listener on which holders in other processes ask.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ufence::detail {

/// Connections that did not ask yet. Threads: the reactor's alone.
class answerer {
 public:
  static constexpr std::size_t connections_max = 64;

  /// Takes what waits at the listener into `epoll`, as events tag + index. Where there is no room
  /// the oldest connection has to go: who is silent keeps nobody else out.
  /// @return  false: there is no descriptor to be had for it now
  bool accept_all(int listener, int epoll, std::uint64_t tag) noexcept;
  /// Answers what the connection asked, and closes it.
  void answer(std::size_t index) noexcept;
  void close_all() noexcept;

 private:
  void close(std::size_t index) noexcept;

  struct connection {
    int fd = -1;
    std::uint64_t number = 0;  // of its accept
  };
  std::array<connection, connections_max> connections_{};
  std::uint64_t accepted_ = 0;
};

}  // namespace ufence::detail

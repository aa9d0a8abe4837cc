// A nats-server of a test's own on loopback, and a proxy before it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace ufence::testing {

/// Where the program is, or nothing: the tests are skipped.
[[nodiscard]] std::string nats_server_program();

/// A port on loopback that nobody listens at just now.
[[nodiscard]] int free_port();

/// A child process, killed at the latest when it is dropped.
class child_process {
 public:
  child_process() = default;
  explicit child_process(const std::vector<std::string>& arguments, bool has_pipes = false);
  child_process(child_process&& other) noexcept;
  child_process& operator=(child_process&& other) noexcept;
  ~child_process();

  void signal(int number) const;
  void kill_and_wait();
  /// Of a child with pipes: sends a line, and reads one.
  void send(const std::string& line) const;
  [[nodiscard]] std::string read_line();
  [[nodiscard]] pid_t id() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int to_ = -1, from_ = -1;
  std::string read_;
};

/// With JetStream, in a folder of its own that it leaves to nobody.
class nats_server {
 public:
  /// @param extra  lines of its configuration
  explicit nats_server(const std::string& extra = "");
  ~nats_server();
  nats_server(const nats_server&) = delete;
  nats_server& operator=(const nats_server&) = delete;

  [[nodiscard]] std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] int port() const { return port_; }
  void kill() { process_.kill_and_wait(); }
  void start();
  void wipe();

 private:
  int port_;
  std::string folder_;
  child_process process_;
};

/// Of one direction of a connection: holds messages back, repeats them, and lets others overtake
/// them. The rest of the engine's protocol goes on as it comes.
class message_disorder {
 public:
  explicit message_disorder(std::uint64_t seed) : random_(seed) {}
  /// What is to be passed on, now that these bytes have come.
  [[nodiscard]] std::string take(std::string_view bytes);
  /// What is to be passed on when nothing comes: all that was held back, in any order.
  [[nodiscard]] std::string let_go();
  /// How many messages went on later than others that came after them, or twice.
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  void take_message(std::string message, std::string& out);
  std::mt19937_64 random_;
  std::string raw_;                // the beginning of what has not come whole
  std::vector<std::string> held_;  // whole messages
  std::uint64_t count_ = 0;
};

/// Passes bytes on between a client and the server, or does not.
class proxy {
 public:
  /// @param disorder_seed  not 0: messages of both directions go through a message_disorder
  explicit proxy(int to_port, std::uint64_t disorder_seed = 0);
  ~proxy();
  proxy(const proxy&) = delete;
  proxy& operator=(const proxy&) = delete;

  [[nodiscard]] std::string url() const { return "nats://127.0.0.1:" + std::to_string(port_); }
  /// From when it returns, bytes are kept until it is false again: a partition that TCP survives,
  /// of one direction.
  void hold_to_server(bool holds) { set(holds_to_server_, holds); }
  void hold_to_client(bool holds) { set(holds_to_client_, holds); }
  /// How many messages were brought into disorder, of each direction.
  [[nodiscard]] std::uint64_t disorder_to_server() const { return disorder_to_server_; }
  [[nodiscard]] std::uint64_t disorder_to_client() const { return disorder_to_client_; }

 private:
  void run();
  void set(std::atomic<bool>& what, bool holds);
  const int to_port_;
  const std::uint64_t disorder_seed_;
  int port_ = 0;
  int listener_ = -1;
  std::atomic<bool> holds_to_server_{false};
  std::atomic<bool> holds_to_client_{false};
  std::atomic<std::uint64_t> disorder_to_server_{0};
  std::atomic<std::uint64_t> disorder_to_client_{0};
  std::atomic<std::uint64_t> rounds_{0};
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

}  // namespace ufence::testing

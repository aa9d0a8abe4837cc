// The connection of a job's hosts beside their links: questions, and queues of JetStream.
//
//   ufence.NAMESPACE.job.RUN        what workers ask the run
//   ufence.NAMESPACE.work           work items, the stream UFENCE_NAMESPACE_WORK: a work queue
//   ufence.NAMESPACE.block.NUMBER   blocks of a file on their way to the worker that claimed it, the stream
//                                   UFENCE_NAMESPACE_BLOCKS: in memory, bounded for each and for
//                                   all
#pragma once

#include <nats/nats.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <system_error>

#include "ufence/base/atomic.h"
#include "ufence/base/result.h"
#include "ufence/net/host_link.h"

namespace ufence::tool {

/// A message that was taken from a queue; dropped without a word it comes again.
class queued_message {
 public:
  explicit queued_message(natsMsg* one) noexcept : one_(one, natsMsg_Destroy) {}
  [[nodiscard]] std::string_view bytes() const noexcept {
    return {natsMsg_GetData(one_.get()),
            static_cast<std::size_t>(natsMsg_GetDataLength(one_.get()))};
  }
  /// It is done with.
  void accept() const noexcept { static_cast<void>(natsMsg_Ack(one_.get(), nullptr)); }
  /// Somebody else should have it.
  void give_back() const noexcept { static_cast<void>(natsMsg_Nak(one_.get(), nullptr)); }

 private:
  std::unique_ptr<natsMsg, void (*)(natsMsg*)> one_;
};

/// Takes from a queue. Threads: one at a time.
class queue_reader {
 public:
  /// @return  -ETIME nothing came; else the queue is gone: make another reader
  [[nodiscard]] result<queued_message> next(std::int64_t timeout_ns);

 private:
  friend class bus;
  explicit queue_reader(natsSubscription* from) noexcept : from_(from, natsSubscription_Destroy) {}
  std::unique_ptr<natsSubscription, void (*)(natsSubscription*)> from_;
};

/// Threads: any, concurrently; close() ends what others wait for.
class bus {
 public:
  /// @return  -ECONNREFUSED, -EACCES, -EINVAL the options, -ENOMEM
  [[nodiscard]] static result<std::unique_ptr<bus>> connect(const host_link_options& options);
  ~bus();
  bus(const bus&) = delete;
  bus& operator=(const bus&) = delete;
  void close() noexcept;

  /// Makes the two streams, if they are not there.
  /// @param why  if not null, gets what the server says where it refuses
  /// @return  -EACCES, -ETIME the server, or a cluster that has not come together yet; -EPROTO it
  ///          refuses, or has others of that name
  [[nodiscard]] std::error_code make_streams(std::string* why = nullptr);
  /// Empties the queue of work, or drops the blocks of one claim.
  void purge_work();
  void purge_blocks(std::uint64_t claim);

  [[nodiscard]] result<queue_reader> read_work();
  [[nodiscard]] result<queue_reader> read_blocks(std::uint64_t claim);

  /// Puts an item into the queue of work. What can't be sent is lost.
  void hand_out(std::string_view item);
  /// @return  -EAGAIN there is no room now; -EIO
  [[nodiscard]] std::error_code send_block(std::uint64_t claim, std::string_view bytes);
  /// The most that fits into a block.
  [[nodiscard]] std::size_t block_bytes_max() const noexcept;

  /// Asks the run. @return  -ETIME; -ENOENT nobody has such a run; -ENOTCONN
  [[nodiscard]] result<std::string> ask(std::uint64_t run, std::string_view question,
                                        std::int64_t timeout_ns);
  /// Calls on_question(bytes, where to answer) for each that comes, on a thread of the client
  /// library, until close().
  using question_handler = std::function<void(std::string_view, const char*)>;
  [[nodiscard]] std::error_code answer(std::uint64_t run, question_handler on_question);
  void publish(const std::string& subject, std::string_view bytes);

  /// The connection was lost and is there again since the last call.
  [[nodiscard]] bool take_reconnected() noexcept {
    // relaxed: it stands for itself
    return was_reconnected_.exchange(false, mo::relaxed);
  }

 private:
  explicit bus(const host_link_options& o) : namespace_(o.namespace_), replicas_(o.replicas) {}
  // The server's answer to a question about a stream.
  [[nodiscard]] result<nlohmann::json> ask_about(const std::string& stream, const char* what,
                                                 const std::string& question);
  [[nodiscard]] std::error_code make_stream(nlohmann::json config, std::string* why);
  [[nodiscard]] std::string subject(const char* kind) const;
  [[nodiscard]] std::string block_subject(std::uint64_t claim) const;
  [[nodiscard]] std::string stream(const char* kind) const;
  void purge(const std::string& stream, const std::string& subject);

  const std::string namespace_;
  const std::uint32_t replicas_;
  natsConnection* connection_ = nullptr;  // constant after connect()
  jsCtx* streams_ = nullptr;              // constant after connect()
  natsSubscription* questions_ = nullptr;
  question_handler on_question_;
  atomic<bool> was_reconnected_{false};
};

}  // namespace ufence::tool

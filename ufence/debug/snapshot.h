// The findings in a process that was looked at: its timelines, the threads that sleep, the fences
// that anybody waits for, and which of these waits for which. Plain data, without references to what
// it is about: it may be of another process, or of one that is gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ufence/base/api.h"

namespace ufence::debug {

/// An address in code: in which file, and where in it.
struct code_place {
  std::string module = {};    // path of the file; empty: unknown
  std::string build_id = {};  // hexadecimal; empty: the file has none
  std::uint64_t offset = 0;
  std::string symbol = {};    // of the function there; empty: nobody has looked for it, or it has none
};

struct timeline_info {
  std::uint64_t context = 0;
  std::string driver = {}, name = {};
  std::uint64_t completed = 0;       // its value
  std::uint64_t emitted = 0;         // the newest seqno
  std::uint64_t oldest_pending = 0;  // the lowest seqno of a fence that is alive and pending; 0: none
  std::uint64_t pending = 0;         // how many such fences there are
  std::int64_t age_ns = 0;           // the oldest one has been pending for at least that long
  bool is_closed = false;
  bool has_device_word = false;
  std::uint64_t device_seqno = 0;  // what the device has written
  code_place made_by = {};
};

enum class node_kind : std::uint8_t { thread, fence, process };

/// Why nothing goes on at a node that waits for nothing else that is known.
enum class cause : std::uint8_t {
  none,               // it waits for others, or is done
  never_signaled,     // its issuer, or the holder of the right, has not signaled it
  lost_notification,  // the device has written its seqno, and nobody has called notify()
  not_pushed,         // a job was armed and never pushed
  with_device,        // the device has the job, and its fence is not signaled
  scheduler_stopped,  // stop() was called, and start() was not
  no_credits,         // a job waits until others give credits back
  with_driver,        // a driver module has the job
  own_callback,       // a callback waits for what only the thread that it runs on would do
  callback_runs,      // signaled; a callback, or what is queued behind it, has not returned
  op_runs,            // an op of its issuer is inside, and has not returned
  exporter_stopped,   // another process has to signal it, and is stopped
  exporter_gone,      // another process had to, and is gone
  exporter_runs,      // another process has to, and runs: look there
  circle,             // it waits for itself, through others
  not_submitted,      // a point of a syncobj: nobody has put a fence there
  holds_lock,         // a thread that others wait for: it has a lock of reservation objects, and does not sleep here
};

/// "never signaled" and so on: one short word for tools, a sentence for people.
[[nodiscard]] UFENCE_API std::string_view name_of(cause why) noexcept;
[[nodiscard]] UFENCE_API std::string_view sentence_of(cause why) noexcept;

/// A thread, a fence, or another process.
struct node {
  node_kind kind = node_kind::fence;
  cause why = cause::none;
  std::int64_t process = 0;      // that it is in; 0: the one that the snapshot is of
  std::int64_t id = 0;           // of a thread or a process: its number
  std::uint64_t context = 0;     // of a fence
  std::uint64_t seqno = 0;       // the same
  std::string type = {};              // "plain", "timeline", "array (all of 3)", "chain", "job", "import", ...
  std::string driver = {}, timeline = {};  // of a fence: its names; of a thread or process: `driver` is its name
  std::string state = {};             // "pending", "signaled, not settled", "signaled"; of a thread: for what
  int error = 0;
  std::int64_t age_ns = 0;       // a thread: since it sleeps; a fence: pending for at least that long
  code_place place = {};              // a thread: where it called the library; a fence: its issuer
  std::string note = {};              // what else is known, for people
  std::vector<std::string> callbacks = {};  // what is queued on a fence
  std::uint64_t source_context = 0;    // of an import: the context in the process that exports it; 0: unknown
  std::vector<int> export_fds = {};    // descriptors of its process: the other ends of its sync files
  std::uint64_t export_key = 0;        // equal in the processes that export and import one timeline
  bool is_enabled = false;             // its issuer was asked to notice the completion
};

/// A thread that sleeps for something, and not one that others wait for.
[[nodiscard]] inline bool sleeps(const node& n) noexcept {
  return n.kind == node_kind::thread && n.why != cause::holds_lock;
}

/// `from` waits for `to`: indices of snapshot::nodes.
struct edge {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  bool is_guess = false;  // memory near a callback, or on a stack, refers to it: perhaps it signals it
  std::string how = {};
};

struct snapshot {
  std::int64_t process = 0;
  std::string program = {};
  std::int64_t time_ns = 0;      // CLOCK_MONOTONIC
  std::int64_t duration_ns = 0;  // how long it took
  std::uint64_t fences_alive = 0;
  std::uint64_t fences_pending = 0;
  std::uint64_t nodes_left_out = 0;  // there were more than are told
  std::uint64_t torn = 0;  // things that never held still while they were read: of a look from outside
  std::vector<timeline_info> timelines = {};
  std::vector<node> nodes = {};
  std::vector<edge> edges = {};
  std::vector<std::vector<std::uint32_t>> circles = {};  // by find_causes()
};

/// Fills in the circles, and the causes that show themselves only between nodes.
UFENCE_API void find_causes(snapshot& of);

/// The nodes that `start` ends at: those that wait for nothing, and those of circles. Without an end
/// that is sure, those that are guessed.
[[nodiscard]] UFENCE_API std::vector<std::uint32_t> roots_of(const snapshot& of, std::uint32_t start);

/// One line about a node: what it is, its state, its age, why nothing goes on.
[[nodiscard]] UFENCE_API std::string line_about(const snapshot& of, std::uint32_t node);

struct tree_options {
  bool from_root = true;      // root first; else from the waiter down
  std::size_t depth_max = 64;
};
/// The chain of a node as an indented tree, with one line for each node.
/// @param start  root first: a root, and the tree has those who wait for it; else a waiter
[[nodiscard]] UFENCE_API std::string tree_of(const snapshot& of, std::uint32_t start,
                                             const tree_options& options = {});

/// For humans: why `start` does not go on: its roots, each with the tree of its waiters.
[[nodiscard]] UFENCE_API std::string explain(const snapshot& of, std::uint32_t start,
                                             const tree_options& options = {});

/// The nodes to explain if nothing is asked for: the threads that sleep, longest first; then fences with
/// callbacks that are behind none of these.
[[nodiscard]] UFENCE_API std::vector<std::uint32_t> waiters_in(const snapshot& of);

/// One JSON object.
[[nodiscard]] UFENCE_API std::string to_json(const snapshot& of);

}  // namespace ufence::debug

#include "tools/ufence/trace/recording.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "ufence/base/fd.h"

namespace ufence::tool {
namespace {

using trace::chunk_header;
using trace::chunk_type;
using trace::event;
using trace::slot;

constexpr std::uint32_t none = UINT32_MAX;

std::string words_of(std::string_view command_line) {
  std::string words;
  while (!command_line.empty() && command_line.back() == '\0') command_line.remove_suffix(1);
  for (const char c : command_line) words += c == '\0' ? ' ' : c;
  return words;
}

class reader {
 public:
  enum class keeps : std::uint8_t { counts, events };

  reader(std::string_view bytes, keeps what) noexcept : bytes_(bytes), keeps_(what) {}

  recording read() {
    while (at_ < bytes_.size()) {
      if (!read_chunk()) break;
    }
    if (found_.processes.empty()) throw std::runtime_error("it has no process in it");
    tell_what_is_missing();
    found_.sort();
    return std::move(found_);
  }

 private:
  struct stream {
    std::uint32_t process = none;
    std::map<std::uint32_t, std::uint32_t> threads;  // of its rings
  };

  [[noreturn]] void damaged(std::size_t at, std::string_view what) const {
    throw std::runtime_error(fmt::format("it is damaged at byte {}: {}", at, what));
  }

  // False: the rest is not there.
  bool read_chunk() {
    chunk_header head;
    const bool has_magic = at_ + 4 <= bytes_.size();
    if (has_magic) std::memcpy(&head.magic, bytes_.data() + at_, 4);
    if (has_magic && head.magic != trace::chunk_magic) {
      if (at_ == 0) throw std::runtime_error("it is no recording of ufence");
      damaged(at_, "there is no chunk");
    }
    if (bytes_.size() - at_ < sizeof head) return is_cut();
    std::memcpy(&head, bytes_.data() + at_, sizeof head);
    if (head.version != trace::format_version) {
      throw std::runtime_error(
          fmt::format("it has the format {}, which this program does not know", head.version));
    }
    if (head.size > trace::chunk_size_max || head.size % 8 != 0) damaged(at_, "a size");
    if (bytes_.size() - at_ - sizeof head < head.size) return is_cut();
    const std::string_view content = bytes_.substr(at_ + sizeof head, head.size);
    words_.resize(head.size / 8);
    if (!words_.empty()) std::memcpy(words_.data(), content.data(), content.size());
    if (trace::checksum_of(words_) != head.checksum) damaged(at_, "a checksum");
    take(head, content);
    at_ += sizeof head + head.size;
    return true;
  }

  bool is_cut() {
    if (at_ == 0) throw std::runtime_error("it is too short for a recording");
    found_.notes.push_back(
        fmt::format("the last chunk is not complete, from byte {} on: the program was killed, or "
                    "the file cut off",
                    at_));
    return false;
  }

  void take(const chunk_header& head, std::string_view content) {
    switch (head.type) {
      case chunk_type::process: return begin_process(head, content);
      case chunk_type::events: return take_events(head, content);
      case chunk_type::end: {
        recorded_process& p = found_.processes[stream_of(head).process];
        p.has_ended = true;
        p.dropped = head.dropped;
        return;
      }
    }
    damaged(at_, "a type of chunk");
  }

  void begin_process(const chunk_header& head, std::string_view content) {
    trace::process_start start;
    if (content.size() < sizeof start) damaged(at_, "a process");
    std::memcpy(&start, content.data(), sizeof start);
    // Another program was executed: what the one before had not written yet is lost.
    if (const auto before = streams_.find(head.process); before != streams_.end()) {
      found_.processes[before->second.process].has_ended = true;
    }
    streams_[head.process] = {.process = static_cast<std::uint32_t>(found_.processes.size()),
                              .threads = {}};
    found_.processes.push_back({.number = head.process,
                                .command = words_of(content.substr(sizeof start)),
                                .start_ns = start.monotonic_ns,
                                .realtime_ns = start.realtime_ns});
  }

  stream& stream_of(const chunk_header& head) {
    const auto found = streams_.find(head.process);
    if (found == streams_.end()) damaged(at_, "a process that has not begun");
    return found->second;
  }

  void take_events(const chunk_header& head, std::string_view content) {
    stream& of = stream_of(head);
    if (content.size() % sizeof(slot) != 0) damaged(at_, "events");
    dropped_[{of.process, head.ring}] = head.dropped;
    const std::size_t count = content.size() / sizeof(slot);
    slot s;
    for (std::size_t i = 0; i < count; i += 1U + s.more) {
      std::memcpy(&s, content.data() + i * sizeof s, sizeof s);
      const auto kind = static_cast<std::uint16_t>(s.kind);
      if (kind == 0 || kind > trace::event_last || s.more > trace::text_slots_max ||
          s.more >= count - i) {
        damaged(at_, "an event");
      }
      if (s.kind != event::thread) ++found_.counts.events;
      if (s.kind == event::init) ++found_.counts.fences;
      if (s.kind == event::wait_start) ++found_.counts.waits;
      if (keeps_ == keeps::counts) continue;
      std::string_view text(content.substr((i + 1) * sizeof s, s.more * sizeof s));
      while (!text.empty() && text.back() == '\0') text.remove_suffix(1);
      take_event(of, head.ring, s, text);
    }
  }

  void take_event(stream& of, std::uint32_t ring, const slot& s, std::string_view text) {
    if (s.kind == event::thread) {
      of.threads[ring] = static_cast<std::uint32_t>(found_.threads.size());
      found_.threads.push_back(
          {.process = of.process, .number = s.context, .name = std::string(text)});
      return;
    }
    auto thread = of.threads.find(ring);
    if (thread == of.threads.end()) {  // it began in a recording before this one
      thread = of.threads.emplace(ring, static_cast<std::uint32_t>(found_.threads.size())).first;
      found_.threads.push_back({.process = of.process, .number = 0, .name = "?"});
    }
    recorded_event e{.what = s, .thread = thread->second, .text = 0};
    if (!text.empty()) {
      e.text = static_cast<std::uint32_t>(found_.texts.size());
      found_.texts.emplace_back(text);
    }
    found_.events.push_back(e);
  }

  void tell_what_is_missing() {
    for (const auto& [where, count] : dropped_) {
      recorded_process& p = found_.processes[where.first];
      if (!p.has_ended) p.dropped += count;
    }
    for (const recorded_process& p : found_.processes) {
      if (!p.has_ended) {
        found_.notes.push_back(fmt::format(
            "process {} was killed: its last tenth of a second may be missing", p.number));
      }
      if (p.dropped != 0) {
        found_.notes.push_back(
            fmt::format("process {}: {} events were left out, since they came faster than they "
                        "could be written",
                        p.number, p.dropped));
      }
    }
  }

  const std::string_view bytes_;
  const keeps keeps_;
  std::size_t at_ = 0;
  std::vector<std::uint64_t> words_;         // of one chunk
  std::map<std::uint32_t, stream> streams_;  // by number of the process
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> dropped_;  // process, ring
  recording found_;
};

}  // namespace

void recording::sort() {
  std::vector<std::pair<std::uint64_t, std::size_t>> order;
  order.reserve(events.size());
  for (std::size_t i = 0; i < events.size(); ++i) order.emplace_back(events[i].what.time_ns, i);
  std::ranges::sort(order);
  std::vector<recorded_event> sorted;
  sorted.reserve(events.size());
  for (const auto& [time, i] : order) sorted.push_back(events[i]);
  events = std::move(sorted);
}

std::size_t complete_size(std::string_view bytes) noexcept {
  std::size_t at = 0;
  chunk_header head;
  while (bytes.size() - at >= sizeof head) {
    std::memcpy(&head, bytes.data() + at, sizeof head);
    if (head.magic != trace::chunk_magic || bytes.size() - at - sizeof head < head.size) break;
    at += sizeof head + head.size;
  }
  return at;
}

recording read_recording(std::string_view bytes) {
  return reader(bytes, reader::keeps::events).read();
}

recording count_recording(std::string_view bytes) {
  return reader(bytes, reader::keeps::counts).read();
}

std::string read_file(const std::string& path) {
  const auto fail = [&path] {
    throw std::runtime_error(path + ": " + std::generic_category().message(errno));
  };
  const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) fail();
  // A pipe, or a file that grows, has more than it says.
  std::string bytes(static_cast<std::size_t>(info.st_size) + 1, '\0');
  std::size_t size = 0;
  for (;;) {
    const ssize_t n = ::read(file.get(), bytes.data() + size, bytes.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail();
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
    if (size == bytes.size()) bytes.resize(2 * size);
  }
  bytes.resize(size);
  return bytes;
}

recording read_recording_file(const std::string& path) {
  const std::string bytes = read_file(path);
  try {
    return read_recording(bytes);
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(path + ": " + e.what());
  }
}

}  // namespace ufence::tool

// The kernel's events as text.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <utility>

#include "tools/ufence/trace/recording.h"

namespace ufence::tool {
namespace {

using trace::event;

// Takes "12345" off the front of a text.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [rest, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc()) return {};
  text.remove_prefix(static_cast<std::size_t>(rest - text.data()));
  return value;
}

// The text behind "key" in "... key ..." up to a space or comma.
std::optional<std::string_view> word_after(std::string_view text, std::string_view key) {
  const std::size_t at = text.find(key);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + key.size());
  return text.substr(0, text.find_first_of(" ,"));
}

std::uint64_t number_after(std::string_view text, std::string_view key) {
  std::optional<std::string_view> word = word_after(text, key);
  return word ? take_number(*word).value_or(0) : 0;
}

struct fence_name {
  std::uint64_t context = 0;
  std::uint64_t seqno = 0;
};

// "fence=12:34", the nth one.
std::optional<fence_name> fence_in(std::string_view text, int which) {
  constexpr std::string_view key = "fence=";
  for (; which >= 0; --which) {
    const std::size_t at = text.find(key);
    if (at == std::string_view::npos) return {};
    text.remove_prefix(at + key.size());
  }
  const auto context = take_number(text);
  if (!context || !text.starts_with(':')) return {};
  text.remove_prefix(1);
  const auto seqno = take_number(text);
  if (!seqno) return {};
  return fence_name{*context, *seqno};
}

// One line: "   task-123   [001] d.h1.  12.345678: dma_fence_signaled: driver=..."
struct line {
  std::string_view task;
  std::uint64_t thread = 0;
  std::uint64_t time_ns = 0;
  std::string_view name;
  std::string_view rest;
};

// "12.345678" or "12.345678901" before a colon.
std::optional<std::uint64_t> time_of(std::string_view word) {
  const auto seconds = take_number(word);
  if (!seconds || !word.starts_with('.')) return {};
  word.remove_prefix(1);
  if (word.empty() || word.size() > 9) return {};
  const std::size_t digits = word.size();
  const auto fraction = take_number(word);
  if (!fraction || !word.empty()) return {};
  std::uint64_t ns = *fraction;
  for (std::size_t i = digits; i < 9; ++i) ns *= 10;
  return *seconds * 1'000'000'000 + ns;
}

std::optional<line> parse_line(std::string_view text) {
  constexpr auto npos = std::string_view::npos;
  const std::size_t processor = text.find(" [");
  if (processor == npos) return {};
  std::string_view who = text.substr(0, processor);
  // trace_pipe may have "(  123)", the process, behind the thread.
  if (const std::size_t open = who.rfind(" ("); open != npos) who = who.substr(0, open);
  while (who.ends_with(' ')) who.remove_suffix(1);
  while (who.starts_with(' ')) who.remove_prefix(1);
  const std::size_t dash = who.rfind('-');
  if (dash == npos) return {};
  line found;
  found.task = who.substr(0, dash);
  std::string_view number = who.substr(dash + 1);
  found.thread = take_number(number).value_or(0);

  std::string_view rest = text.substr(processor);
  const std::size_t close = rest.find(']');
  if (close == npos) return {};
  rest.remove_prefix(close + 1);
  for (int words = 0; words < 3; ++words) {
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    const std::size_t end = rest.find(' ');
    if (end == npos) return {};
    const std::string_view word = rest.substr(0, end);
    rest.remove_prefix(end);
    if (!word.ends_with(':')) continue;
    const auto time = time_of(word.substr(0, word.size() - 1));
    if (!time) return {};
    found.time_ns = *time;
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    const std::size_t colon = rest.find(':');
    if (colon == npos) return {};
    found.name = rest.substr(0, colon);
    found.rest = rest.substr(colon + 1);
    return found;
  }
  return {};
}

class ftrace_reader {
 public:
  explicit ftrace_reader(recording& to) : to_(to) {
    kernel_ = static_cast<std::uint32_t>(to_.processes.size());
    to_.processes.push_back({.number = 0, .command = "kernel", .has_ended = true});
  }

  void take(const line& l) {
    if (l.name.starts_with("dma_fence_")) {
      take_fence(l);
    } else if (l.name.starts_with("drm_sched_") || l.name == "drm_run_job") {
      take_job(l);
    }
  }
  [[nodiscard]] std::size_t taken() const { return taken_; }
  void finish() {
    if (unknown_ == 0) return;
    to_.notes.push_back(fmt::format(
        "{} of the kernel's events say of which fence they are by its address alone (before Linux "
        "6.17): they are left out",
        unknown_));
  }

 private:
  void add(const line& l, event what, const fence_name& f, std::uint64_t a = 0, std::uint64_t b = 0,
           std::string text = {}) {
    recorded_event e{.what = {.time_ns = l.time_ns,
                              .context = f.context,
                              .seqno = f.seqno,
                              .a = a,
                              .b = b,
                              .error = 0,
                              .kind = what,
                              .more = 0},
                     .thread = thread_of(l),
                     .text = 0};
    if (!text.empty()) {
      e.text = static_cast<std::uint32_t>(to_.texts.size());
      to_.texts.push_back(std::move(text));
    }
    to_.events.push_back(e);
    ++taken_;
  }

  std::uint32_t thread_of(const line& l) {
    const auto [at, is_new] =
        threads_.try_emplace(l.thread, static_cast<std::uint32_t>(to_.threads.size()));
    if (is_new) {
      to_.threads.push_back({.process = kernel_, .number = l.thread, .name = std::string(l.task)});
    }
    return at->second;
  }

  void take_fence(const line& l) {
    const fence_name f{number_after(l.rest, "context="), number_after(l.rest, "seqno=")};
    const std::string_view kind = l.name.substr(std::string_view("dma_fence_").size());
    const std::string_view driver = word_after(l.rest, "driver=").value_or("");
    const std::string_view timeline = word_after(l.rest, "timeline=").value_or("");
    const std::uint64_t flags = timeline == "unbound" ? trace::fence_flag::container : 0;
    if (kind == "init" || kind == "emit") {
      if (!has_begun(f)) {
        if (flags == 0 && names_.insert(f.context).second) {
          add(l, event::names, {f.context, 0}, 0, 0,
              std::string(driver) + '\0' + std::string(timeline));
        }
        add(l, event::init, f, f.context, flags);
      }
    } else if (kind == "enable_signal") {
      add(l, event::enable_signal, f);
    } else if (kind == "signaled") {
      add(l, event::signaled, f);
    } else if (kind == "wait_start") {
      add(l, event::wait_start, f, 1);
    } else if (kind == "wait_end") {
      add(l, event::wait_end, f);
    }
  }

  // A driver may trace both of a fence: it is made once.
  bool has_begun(const fence_name& f) { return !begun_.insert({f.context, f.seqno}).second; }

  void take_job(const line& l) {
    const std::optional<fence_name> f = fence_in(l.rest, 0);
    if (!f) {
      ++unknown_;
      return;
    }
    if (l.name == "drm_sched_job_queue" || l.name == "drm_sched_job") {
      add(l, event::job_queue, *f, number_after(l.rest, "client_id:"),
          number_after(l.rest, "job count:"));
    } else if (l.name == "drm_sched_job_run" || l.name == "drm_run_job") {
      add(l, event::job_run, *f);
    } else if (l.name == "drm_sched_job_done" || l.name == "drm_sched_process_job") {
      add(l, event::job_done, *f);
    } else if (const auto on = fence_in(l.rest, 1)) {  // _add_dep, _unschedulable
      add(l, event::depends, *f, on->context, on->seqno);
    }
  }

  recording& to_;
  std::uint32_t kernel_ = 0;
  std::map<std::uint64_t, std::uint32_t> threads_;
  std::set<std::uint64_t> names_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> begun_;
  std::size_t taken_ = 0;
  std::size_t unknown_ = 0;
};

}  // namespace

void add_ftrace(recording& to, std::string_view text) {
  ftrace_reader reader(to);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (const std::optional<line> l = parse_line(text.substr(0, end))) reader.take(*l);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (reader.taken() == 0) {
    throw std::runtime_error("there is no event of dma_fence or gpu_scheduler in it");
  }
  reader.finish();
  to.sort();
}

void add_ftrace_file(recording& to, const std::string& path) {
  const std::string text = read_file(path);
  try {
    add_ftrace(to, text);
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(path + ": " + e.what());
  }
}

}  // namespace ufence::tool

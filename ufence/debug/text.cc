// A snapshot for people.
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "ufence/debug/graph.h"
#include "ufence/debug/snapshot.h"

namespace ufence::debug {

namespace {

struct cause_words {
  std::string_view name, sentence;
};

constexpr std::array<cause_words, 18> words{{
    {"none", ""},
    {"never_signaled", "nobody has signaled it"},
    {"lost_notification", "the device has completed it, and nobody has called notify()"},
    {"not_pushed", "its job was armed and never pushed"},
    {"with_device", "the device has its job and has not signaled its fence"},
    {"scheduler_stopped", "its scheduler was stopped and not started again"},
    {"no_credits", "its job waits until jobs on the device give credits back"},
    {"with_driver", "its driver module has the job and has not ended it"},
    {"own_callback", "it sleeps inside a callback: what this thread would do next is not done"},
    {"callback_runs", "it is signaled, and a callback before or of it has not returned"},
    {"op_runs", "an op of its issuer was entered and has not returned"},
    {"exporter_stopped", "the process that has to signal it is stopped"},
    {"exporter_gone", "the process that had to signal it is gone"},
    {"exporter_runs", "another process has to signal it: look there"},
    {"circle", "it waits for itself"},
    {"not_submitted", "nobody has submitted it"},
    {"holds_lock", "it has not unlocked what others wait for"},
    {"unknown", ""},
}};

const cause_words& words_of(cause why) {
  const auto at = static_cast<std::size_t>(why);
  return words[std::min(at, words.size() - 1)];
}

// "12.3 s", "45 ms".
std::string duration_text(std::int64_t ns) {
  if (ns >= 1'000'000'000) {
    const std::int64_t tenths = ns / 100'000'000;
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
  }
  return std::to_string(ns / 1'000'000) + " ms";
}

std::string text_of(const code_place& place, bool with_offset) {
  if (place.module.empty()) return with_offset && place.offset != 0 ? hex_text(place.offset) : "";
  std::string text = place.module;
  if (with_offset) text += "+" + hex_text(place.offset);
  if (with_offset && !place.symbol.empty()) text += " in " + place.symbol;
  if (!place.build_id.empty()) text += " (build " + place.build_id + ")";
  return text;
}

std::string fence_id(const node& n) {
  return std::to_string(n.context) + ":" + std::to_string(n.seqno);
}

std::string about_fence(const node& n) {
  std::string text = fence_id(n) + " " + n.type;
  if (!n.timeline.empty()) text += " \"" + n.timeline + "\"";
  if (!n.driver.empty()) text += " of \"" + n.driver + "\"";
  text += ", " + n.state;
  if (n.error < 0) text += ", error " + std::to_string(n.error);
  if (n.age_ns > 0) text += ", for " + duration_text(n.age_ns) + " or longer";
  if (const std::string made_by = text_of(n.place, false); !made_by.empty()) {
    text += ", issued by " + made_by;
  }
  return text;
}

std::string about_thread(const node& n) {
  std::string text = "thread " + std::to_string(n.id) + " \"" + n.driver + "\"";
  if (n.why == cause::holds_lock) return n.id != 0 ? text : "a thread that is not known";
  text += " sleeps";
  if (n.age_ns > 0) text += " for " + duration_text(n.age_ns);
  text += ", " + n.state;
  if (const std::string place = text_of(n.place, true); !place.empty()) text += ", at " + place;
  return text;
}

// Of a node of another process than the snapshot's.
std::string process_text(const node& n) {
  return n.process != 0 ? "in process " + std::to_string(n.process) + ": " : "";
}

// Draws the nodes below one, each at its first place.
class tree_writer {
 public:
  tree_writer(const snapshot& of, const tree_options& options)
      : of_(of), options_(options), graph_(of, true), told_(of.nodes.size(), false) {}

  std::string write(std::uint32_t start) {
    to_do_.push_back({.node = start, .depth = 0, .how = {}, .is_guess = false});
    while (!to_do_.empty()) {
      const item at = to_do_.back();
      to_do_.pop_back();
      write_line(at);
    }
    return std::move(text_);
  }

 private:
  struct item {
    std::uint32_t node;
    std::size_t depth;
    std::string_view how;
    bool is_guess;
  };

  void write_line(const item& at) {
    text_.append(2 * at.depth, ' ');
    if (at.depth != 0) text_ += options_.from_root ? "<- " : "-> ";
    if (at.is_guess) text_ += "perhaps ";
    if (!at.how.empty()) text_.append("(").append(at.how).append(") ");
    text_ += line_about(of_, at.node);
    if (told_[at.node]) {
      text_ += " (as above)\n";
      return;
    }
    told_[at.node] = true;
    text_ += '\n';
    const auto& next = options_.from_root ? graph_.in(at.node) : graph_.out(at.node);
    if (next.empty()) return;
    if (at.depth + 1 > options_.depth_max) {
      text_.append(2 * at.depth + 2, ' ').append("... " + std::to_string(next.size()) + " more\n");
      return;
    }
    for (std::size_t i = next.size(); i-- != 0;) {
      const edge& e = next[i];
      to_do_.push_back({.node = options_.from_root ? e.from : e.to,
                        .depth = at.depth + 1,
                        .how = e.how,
                        .is_guess = e.is_guess});
    }
  }

  const snapshot& of_;
  const tree_options options_;
  const graph graph_;
  std::vector<bool> told_;
  std::vector<item> to_do_;
  std::string text_;
};

// The circle that has this node, written once around.
std::string about_circle(const snapshot& of, std::uint32_t node_at) {
  for (const auto& circle : of.circles) {
    if (std::ranges::find(circle, node_at) == circle.end()) continue;
    bool is_guess = false;
    for (const edge& e : of.edges) {
      is_guess = is_guess || (e.is_guess && std::ranges::find(circle, e.from) != circle.end() &&
                              std::ranges::find(circle, e.to) != circle.end());
    }
    std::string text = is_guess ? "perhaps a circle: " : "a circle: ";
    for (const std::uint32_t n : circle) {
      const node& member = of.nodes[n];
      text += process_text(member);
      text += member.kind == node_kind::thread ? "thread " + std::to_string(member.id)
              : member.kind == node_kind::process
                  ? "process " + std::to_string(member.id)
                  : fence_id(member) + " " + member.type;
      text += " -> ";
    }
    return text + "the first again\n";
  }
  return {};
}

}  // namespace

std::string hex_text(std::uint64_t value) {
  std::array<char, 16> digits;
  char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16).ptr;
  return "0x" + std::string(digits.data(), end);
}

std::string_view name_of(cause why) noexcept { return words_of(why).name; }
std::string_view sentence_of(cause why) noexcept { return words_of(why).sentence; }

std::string line_about(const snapshot& of, std::uint32_t at) {
  if (at >= of.nodes.size()) return {};
  const node& n = of.nodes[at];
  std::string text = process_text(n);
  switch (n.kind) {
    case node_kind::thread: text += about_thread(n); break;
    case node_kind::fence: text += about_fence(n); break;
    case node_kind::process:
      text += "process " + std::to_string(n.id) + " \"" + n.driver + "\", " + n.state;
      break;
  }
  if (n.why != cause::none) text.append(": ").append(sentence_of(n.why));
  if (!n.note.empty()) text.append("; ").append(n.note);
  return text;
}

std::string tree_of(const snapshot& of, std::uint32_t start, const tree_options& options) {
  if (start >= of.nodes.size()) return {};
  return tree_writer(of, options).write(start);
}

std::string explain(const snapshot& of, std::uint32_t start, const tree_options& options) {
  std::string text;
  for (const std::uint32_t root : roots_of(of, start)) {
    text += about_circle(of, root);
    if (options.from_root) text += tree_of(of, root, options);
  }
  if (!options.from_root) text += tree_of(of, start, options);
  return text;
}

}  // namespace ufence::debug

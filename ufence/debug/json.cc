// A snapshot for programs: one JSON object. Names are bytes of the code that chose them; those that are no
// UTF-8 are replaced.
#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "ufence/debug/snapshot.h"

namespace ufence::debug {
namespace {

// The length of the UTF-8 sequence that `text` begins with; 0: it is none.
std::size_t utf8_length(std::string_view text) {
  const auto at = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = at(1);
  const bool is_overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool is_out = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return is_overlong || is_out ? 0 : length;
}

class writer {
 public:
  void begin(char bracket) {
    separate();
    text_ += bracket;
    is_first_ = true;
  }
  void end(char bracket) {
    text_ += bracket;
    is_first_ = false;
  }
  void key(std::string_view name) {
    separate();
    quote(name);
    text_ += ':';
    is_first_ = true;
  }
  void value(std::string_view text) {
    separate();
    quote(text);
  }
  void value(const std::string& text) { value(std::string_view(text)); }
  template <class Number>
    requires std::is_integral_v<Number>
  void value(Number number) {
    separate();
    if constexpr (std::is_same_v<Number, bool>) {
      text_ += number ? "true" : "false";
    } else {
      std::array<char, 24> digits;
      text_.append(digits.data(),
                   std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr);
    }
  }
  template <class Value>
  void member(std::string_view name, const Value& what) {
    key(name);
    value(what);
  }
  std::string take() { return std::move(text_); }

 private:
  void separate() {
    if (!is_first_) text_ += ',';
    is_first_ = false;
  }
  void quote(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    text_ += '"';
    while (!text.empty()) {
      const std::size_t length = utf8_length(text);
      const auto c = static_cast<unsigned char>(text[0]);
      if (length == 0) {
        text_ += "\\ufffd";
      } else if (c == '"' || c == '\\') {
        text_ += '\\';
        text_ += text[0];
      } else if (c < 0x20) {
        text_ += "\\u00";
        text_ += digits[c >> 4];
        text_ += digits[c & 15];
      } else {
        text_.append(text.substr(0, length));
      }
      text.remove_prefix(length == 0 ? 1 : length);
    }
    text_ += '"';
  }

  std::string text_;
  bool is_first_ = true;
};

void write(writer& w, const code_place& place) {
  w.begin('{');
  w.member("module", place.module);
  w.member("build_id", place.build_id);
  w.member("offset", place.offset);
  w.member("symbol", place.symbol);
  w.end('}');
}

void write(writer& w, const timeline_info& t) {
  w.begin('{');
  w.member("context", t.context);
  w.member("driver", t.driver);
  w.member("name", t.name);
  w.member("completed", t.completed);
  w.member("emitted", t.emitted);
  w.member("oldest_pending", t.oldest_pending);
  w.member("pending", t.pending);
  w.member("age_ns", t.age_ns);
  w.member("closed", t.is_closed);
  if (t.has_device_word) w.member("device_seqno", t.device_seqno);
  w.key("made_by");
  write(w, t.made_by);
  w.end('}');
}

constexpr std::array<std::string_view, 3> kinds{"thread", "fence", "process"};

void write(writer& w, const node& n) {
  w.begin('{');
  w.member("kind", kinds[static_cast<std::size_t>(n.kind)]);
  w.member("cause", name_of(n.why));
  w.member("process", n.process);
  w.member("id", n.id);
  w.member("context", n.context);
  w.member("seqno", n.seqno);
  w.member("type", n.type);
  w.member("driver", n.driver);
  w.member("timeline", n.timeline);
  w.member("state", n.state);
  w.member("error", n.error);
  w.member("age_ns", n.age_ns);
  w.member("note", n.note);
  w.member("source_context", n.source_context);
  w.key("export_fds");
  w.begin('[');
  for (const int fd : n.export_fds) w.value(fd);
  w.end(']');
  w.member("export_key", n.export_key);
  w.member("enabled", n.is_enabled);
  w.key("place");
  write(w, n.place);
  w.key("callbacks");
  w.begin('[');
  for (const std::string& c : n.callbacks) w.value(c);
  w.end(']');
  w.end('}');
}

}  // namespace

std::string to_json(const snapshot& of) {
  writer w;
  w.begin('{');
  w.member("version", 1);
  w.member("process", of.process);
  w.member("program", of.program);
  w.member("time_ns", of.time_ns);
  w.member("duration_ns", of.duration_ns);
  w.member("fences_alive", of.fences_alive);
  w.member("fences_pending", of.fences_pending);
  w.member("nodes_left_out", of.nodes_left_out);
  w.member("torn", of.torn);
  w.key("timelines");
  w.begin('[');
  for (const timeline_info& t : of.timelines) write(w, t);
  w.end(']');
  w.key("nodes");
  w.begin('[');
  for (const node& n : of.nodes) write(w, n);
  w.end(']');
  w.key("edges");
  w.begin('[');
  for (const edge& e : of.edges) {
    w.begin('{');
    w.member("from", e.from);
    w.member("to", e.to);
    w.member("guess", e.is_guess);
    w.member("how", e.how);
    w.end('}');
  }
  w.end(']');
  w.key("circles");
  w.begin('[');
  for (const auto& circle : of.circles) {
    w.begin('[');
    for (const std::uint32_t n : circle) w.value(n);
    w.end(']');
  }
  w.end(']');
  w.end('}');
  return w.take();
}

}  // namespace ufence::debug

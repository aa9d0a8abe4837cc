#include "tools/ufence/trace/page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "ufence_page_html.h"  // page.html, as a string

namespace ufence::tool {
namespace {

using sink = std::back_insert_iterator<std::string>;

// Also fit for a page: nothing in it ends a script. Bytes that are no UTF-8 are replaced.
void put_text(std::string& to, std::string_view text) {
  to += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else if (byte < 0x20 || c == '<' || c == '>' || c == '&' || byte == 0x7f) {
      fmt::format_to(sink(to), "\\u{:04x}", byte);
    } else if (byte >= 0x80) {
      to += '?';
    } else {
      to += c;
    }
  }
  to += '"';
}

template <class Items, class Put>
void put_list(std::string& to, std::string_view name, const Items& items, Put put) {
  fmt::format_to(sink(to), "\"{}\":[", name);
  bool is_first = true;
  for (const auto& item : items) {
    if (!is_first) to += ',';
    is_first = false;
    put(item);
  }
  to += "],";
}

class page_data {
 public:
  page_data(const recording& r, const story& s)
      : r_(r), s_(s), lanes_(lanes_of(s)), order_(s.fences.size()), place_(s.fences.size()) {
    std::iota(order_.begin(), order_.end(), 0U);
    std::ranges::sort(order_, {},
                      [&s](std::uint32_t i) { return std::pair(s.fences[i].made_ns, i); });
    for (std::uint32_t i = 0; i < order_.size(); ++i) place_[order_[i]] = i;
    begin_ = order_.empty() ? s.begin_ns : std::min(s.begin_ns, s.fences[order_[0]].made_ns);
  }

  std::string write() {
    out_ = fmt::format("{{\"length\":{},", s_.end_ns - begin_);
    put_names();
    put_fences();
    put_waits();
    put_list(out_, "needs", s_.dependencies, [this](const story_dependency& d) {
      fmt::format_to(sink(out_), "{},{}", place_[d.fence], place_[d.on]);
    });
    put_list(out_, "notes", r_.notes, [this](const std::string& note) { put_text(out_, note); });
    put_list(out_, "steps", s_.steps, [this](const story_step& step) {
      fmt::format_to(sink(out_), "[{},{},{},{},{},", step.time_ns - begin_, step.thread,
                     step.instance, step.step, step.error);
      put_text(out_, step.driver);
      out_ += ']';
    });
    out_.back() = '}';
    return std::move(out_);
  }

 private:
  void put_names() {
    put_list(out_, "processes", r_.processes, [this](const recorded_process& p) {
      fmt::format_to(sink(out_), "[{},", p.number);
      put_text(out_, p.command);
      out_ += ']';
    });
    put_list(out_, "threads", r_.threads, [this](const recorded_thread& t) {
      fmt::format_to(sink(out_), "[{},{},", t.process, t.number);
      put_text(out_, t.name);
      out_ += ']';
    });
    put_list(out_, "rows", s_.rows, [this](const story_row& row) {
      fmt::format_to(sink(out_), "[{},", row.process);
      for (const std::string* name : {&row.name, &row.driver, &row.timeline}) {
        put_text(out_, *name);
        out_ += ',';
      }
      out_.back() = ']';
    });
  }

  // One list for each thing: of all fences, by the time at which they were made.
  template <class Value>
  void put_column(std::string_view name, Value value) {
    put_list(out_, name, order_,
             [&](std::uint32_t i) { fmt::format_to(sink(out_), "{}", value(s_.fences[i], i)); });
  }
  static std::int64_t thread_of(std::uint32_t thread) {
    return thread == no_index ? -1 : static_cast<std::int64_t>(thread);
  }

  void put_fences() {
    out_ += "\"fences\":{";
    std::uint64_t last = begin_;
    put_column("made", [&last](const story_fence& f, std::uint32_t) {
      const std::uint64_t since = f.made_ns - last;
      last = f.made_ns;
      return since;
    });
    put_column("row", [](const story_fence& f, std::uint32_t) { return f.row; });
    put_column("lane", [this](const story_fence&, std::uint32_t i) { return lanes_[i]; });
    // Beyond 2^53 a number of the page is not exact: a text is.
    const auto exact = [](std::uint64_t n) {
      return n < (std::uint64_t{1} << 53U) ? std::to_string(n) : fmt::format("\"{}\"", n);
    };
    put_column("context", [&](const story_fence& f, std::uint32_t) { return exact(f.context); });
    put_column("seqno", [&](const story_fence& f, std::uint32_t) { return exact(f.seqno); });
    put_column("error", [](const story_fence& f, std::uint32_t) { return f.error; });
    put_column("before",
               [](const story_fence& f, std::uint32_t) { return f.was_made_before ? 1 : 0; });
    put_column("maker", [](const story_fence& f, std::uint32_t) { return thread_of(f.made_by); });
    put_column("signaler",
               [](const story_fence& f, std::uint32_t) { return thread_of(f.signaled_by); });
    put_time("enabled", &story_fence::enabled_ns);
    put_time("signaled", &story_fence::signaled_ns);
    put_time("settled", &story_fence::settled_ns);
    put_time("retired", &story_fence::retired_ns);
    put_time("queued", &story_fence::queued_ns);
    put_time("run", &story_fence::run_ns);
    put_time("done", &story_fence::done_ns);
    out_.back() = '}';
    out_ += ',';
  }
  // Since it was made; -1: never.
  void put_time(std::string_view name, std::uint64_t story_fence::*time) {
    put_column(name, [time](const story_fence& f, std::uint32_t) {
      return f.*time == 0
                 ? -1
                 : std::max<std::int64_t>(static_cast<std::int64_t>(f.*time - f.made_ns), 0);
    });
  }

  template <class Value>
  void put_wait_column(std::string_view name, Value value) {
    put_list(out_, name, s_.waits,
             [&](const story_wait& w) { fmt::format_to(sink(out_), "{}", value(w)); });
  }
  void put_waits() {
    out_ += "\"waits\":{";
    put_wait_column("thread", [](const story_wait& w) { return w.thread; });
    put_wait_column("fence", [this](const story_wait& w) { return place_[w.fence]; });
    put_wait_column("begin", [this](const story_wait& w) { return w.begin_ns - begin_; });
    put_wait_column("end", [](const story_wait& w) {
      return w.end_ns == 0 ? -1 : static_cast<std::int64_t>(w.end_ns - w.begin_ns);
    });
    put_wait_column("error", [](const story_wait& w) { return w.error; });
    out_.back() = '}';
    out_ += ',';
  }

  const recording& r_;
  const story& s_;
  const std::vector<std::uint32_t> lanes_;
  std::vector<std::uint32_t> order_;  // fences by the time at which they were made
  std::vector<std::uint32_t> place_;  // of each fence in that order
  std::uint64_t begin_ = 0;
  std::string out_;
};

}  // namespace

std::string to_page(const recording& r, const story& s) {
  constexpr std::string_view page = page_html, hole = "@DATA@";
  const std::size_t at = page.find(hole);
  std::string whole(page.substr(0, at));
  whole += page_data(r, s).write();
  whole += page.substr(at + hole.size());
  return whole;
}

}  // namespace ufence::tool

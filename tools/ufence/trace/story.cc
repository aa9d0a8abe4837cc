#include "tools/ufence/trace/story.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <numeric>
#include <queue>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace ufence::tool {
namespace {

using trace::event;
using trace::slot;

struct fence_key {
  std::uint32_t process;
  std::uint64_t context, seqno;
  bool operator==(const fence_key&) const = default;
};
struct fence_hash {
  std::size_t operator()(const fence_key& k) const noexcept {
    const std::uint64_t words[] = {k.process, k.context, k.seqno};
    return trace::checksum_of(words);
  }
};

class teller {
 public:
  explicit teller(const recording& r) : r_(r), waiting_(r.threads.size()) {
    story_.fence_of_event.assign(r.events.size(), no_index);
  }

  story tell() {
    if (!r_.events.empty()) {
      story_.begin_ns = r_.events.front().what.time_ns;
      story_.end_ns = r_.events.back().what.time_ns;
    }
    find_names();
    for (at_ = 0; at_ < r_.events.size(); ++at_) take(r_.events[at_]);
    for (std::uint32_t thread = 0; thread < waiting_.size(); ++thread) {
      for (const open_wait& w : waiting_[thread]) {
        story_.waits.push_back({.thread = thread, .fence = w.fence, .begin_ns = w.begin_ns});
      }
    }
    return std::move(story_);
  }

 private:
  struct line {
    std::map<std::uint64_t, std::uint32_t> pending;  // ordered fences by seqno
    std::uint64_t value = 0;
    int closed = 0;
  };
  struct open_wait {
    std::uint32_t fence;
    std::uint64_t begin_ns;
  };
  using context_key = std::pair<std::uint32_t, std::uint64_t>;  // process, context

  static std::pair<std::string, std::string> two_of(std::string_view text) {
    const std::size_t zero = text.find('\0');
    if (zero == std::string_view::npos) return {std::string(text), {}};
    return {std::string(text.substr(0, zero)), std::string(text.substr(zero + 1))};
  }

  // A name may be told after the first event of its timeline, by another thread.
  void find_names() {
    for (const recorded_event& e : r_.events) {
      if (e.what.kind != event::names && e.what.kind != event::sync_import) continue;
      const std::uint32_t process = r_.threads[e.thread].process;
      names_.try_emplace({process, e.what.context}, two_of(r_.text_of(e)));
    }
  }

  std::uint32_t row_of(std::uint32_t process, std::uint64_t context, bool is_container) {
    const auto name = names_.find({process, context});
    const bool is_named = name != names_.end();
    // Those without a name have a context each, mostly.
    const std::uint64_t key = is_container ? UINT64_MAX : is_named ? context : UINT64_MAX - 1;
    const auto [at, is_new] =
        rows_.try_emplace({process, key}, static_cast<std::uint32_t>(story_.rows.size()));
    if (!is_new) return at->second;
    story_row row{.process = process, .context = context, .is_container = is_container};
    if (is_container) {
      row.name = "containers";
    } else if (!is_named) {
      row.name = "fences without a timeline";
    } else {
      std::tie(row.driver, row.timeline) = name->second;
      row.name = fmt::format("fence-{}-{}", row.timeline, context);
    }
    row.is_mixed = is_container || !is_named;
    if (row.is_mixed) row.context = 0;
    story_.rows.push_back(std::move(row));
    return at->second;
  }

  std::uint32_t make(const recorded_event& e, const fence_key& key, std::uint64_t line_context,
                     bool is_container) {
    const auto index = static_cast<std::uint32_t>(story_.fences.size());
    story_.fences.push_back({.row = row_of(key.process, line_context, is_container),
                             .context = key.context,
                             .seqno = key.seqno,
                             .made_ns = e.what.time_ns,
                             .made_by = e.thread});
    known_[key] = index;
    return index;
  }

  // The fence that an event is about; one that was made before the recording appears with it.
  std::uint32_t find(const recorded_event& e, std::uint64_t context, std::uint64_t seqno) {
    const fence_key key{r_.threads[e.thread].process, context, seqno};
    if (const auto at = known_.find(key); at != known_.end()) return at->second;
    const std::uint32_t index = make(e, key, context, false);
    story_fence& f = story_.fences[index];
    f.was_made_before = true;
    f.made_by = no_index;
    const std::uint64_t start = r_.process_of(e).start_ns;
    if (start != 0 && start < f.made_ns) f.made_ns = start;
    return index;
  }

  line& line_of(const recorded_event& e, std::uint64_t context) {
    return lines_[{r_.threads[e.thread].process, context}];
  }

  void signal(const recorded_event& e, std::uint32_t index, int error) {
    story_fence& f = story_.fences[index];
    if (f.signaled_ns != 0) return;  // by the value of its timeline, which was first
    f.signaled_ns = std::max(e.what.time_ns, f.made_ns);
    f.signaled_by = e.thread;
    f.error = error;
  }

  void init(const recorded_event& e) {
    const slot& s = e.what;
    const std::uint32_t index =
        make(e, {r_.threads[e.thread].process, s.context, s.seqno}, s.a,
             (s.b & trace::fence_flag::container) != 0 &&
                 !names_.contains({r_.threads[e.thread].process, s.context}));
    story_.fence_of_event[at_] = index;
    if ((s.b & trace::fence_flag::ordered) == 0) return;
    line& l = line_of(e, s.context);
    if (s.seqno <= l.value) {
      signal(e, index, 0);
    } else if (l.closed != 0) {
      signal(e, index, l.closed);
    } else {
      l.pending[s.seqno] = index;
    }
  }

  void advance(const recorded_event& e) {
    line& l = line_of(e, e.what.context);
    l.value = std::max(l.value, e.what.seqno);
    while (!l.pending.empty() && l.pending.begin()->first <= l.value) {
      signal(e, l.pending.begin()->second, 0);
      l.pending.erase(l.pending.begin());
    }
  }

  void close(const recorded_event& e) {
    line& l = line_of(e, e.what.context);
    if (l.closed != 0) return;
    l.closed = e.what.error != 0 ? e.what.error : -ECANCELED;
    for (const auto& [seqno, index] : l.pending) signal(e, index, l.closed);
    l.pending.clear();
  }

  void end_wait(const recorded_event& e) {
    std::vector<open_wait>& open = waiting_[e.thread];
    if (open.empty()) return;  // it began before the recording
    story_.waits.push_back({.thread = e.thread,
                            .fence = find(e, e.what.context, e.what.seqno),
                            .begin_ns = open.back().begin_ns,
                            .end_ns = e.what.time_ns,
                            .error = e.what.error});
    open.pop_back();
  }

  void note_step(const recorded_event& e) {
    auto [driver, path] = two_of(r_.text_of(e));
    story_.steps.push_back({.time_ns = e.what.time_ns,
                            .thread = e.thread,
                            .instance = e.what.context,
                            .step = static_cast<int>(e.what.seqno),
                            .error = e.what.error,
                            .driver = std::move(driver),
                            .path = std::move(path)});
  }

  void depend(std::uint32_t fence, std::uint32_t on) {
    if (fence != on) story_.dependencies.push_back({fence, on});
  }

  void take(const recorded_event& e) {
    const slot& s = e.what;
    switch (s.kind) {
      case event::none:
      case event::thread:
      case event::names: return;
      case event::init: return init(e);
      case event::value: return advance(e);
      case event::closed: return close(e);
      case event::module_load:
      case event::module_step: return note_step(e);
      case event::wait_end: end_wait(e); break;
      default: break;
    }
    take_of_fence(e);
  }

  // The events of one fence.
  void take_of_fence(const recorded_event& e) {
    const slot& s = e.what;
    const std::uint32_t index = find(e, s.context, s.seqno);
    story_.fence_of_event[at_] = index;
    const auto once = [&s](std::uint64_t& time) {
      if (time == 0) time = s.time_ns;
    };
    story_fence& f = story_.fences[index];
    switch (s.kind) {
      case event::enable_signal: return once(f.enabled_ns);
      case event::signaled: return signal(e, index, s.error);
      case event::settled: return once(f.settled_ns);
      case event::retired: return once(f.retired_ns);
      case event::wait_start: waiting_[e.thread].push_back({index, s.time_ns}); return;
      case event::job_queue: return once(f.queued_ns);
      case event::job_scheduled: return once(f.scheduled_ns);
      case event::job_run:
        once(f.run_ns);
        if (f.run_by == no_index) f.run_by = e.thread;
        if (s.a != 0 && (s.a != s.context || s.b != s.seqno)) depend(index, find(e, s.a, s.b));
        return;
      case event::job_done: return once(f.done_ns);
      case event::depends: return depend(index, find(e, s.a, s.b));
      case event::sync_export: files_[s.a] = index; return;
      case event::sync_import:
        if (const auto of = files_.find(s.a); of != files_.end()) depend(index, of->second);
        return;
      default: return;
    }
  }

  const recording& r_;
  story story_;
  std::size_t at_ = 0;
  std::map<context_key, std::pair<std::string, std::string>> names_;
  std::map<context_key, std::uint32_t> rows_;
  std::map<context_key, line> lines_;
  std::unordered_map<fence_key, std::uint32_t, fence_hash> known_;
  std::unordered_map<std::uint64_t, std::uint32_t> files_;  // the exported fence of each sync file
  std::vector<std::vector<open_wait>> waiting_;             // of each thread
};

}  // namespace

story tell(const recording& r) { return teller(r).tell(); }

std::vector<std::uint32_t> lanes_of(const story& s) {
  std::vector<std::uint32_t> order(s.fences.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::sort(order, {}, [&s](std::uint32_t i) { return std::pair(s.fences[i].made_ns, i); });
  struct row_lanes {
    using busy = std::pair<std::uint64_t, std::uint32_t>;  // until, lane
    std::priority_queue<busy, std::vector<busy>, std::greater<>> taken;
    std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>> free;
    std::uint32_t count = 0;
  };
  std::vector<row_lanes> rows(s.rows.size());
  std::vector<std::uint32_t> lanes(s.fences.size());
  for (const std::uint32_t i : order) {
    const story_fence& f = s.fences[i];
    row_lanes& row = rows[f.row];
    while (!row.taken.empty() && row.taken.top().first <= f.made_ns) {
      row.free.push(row.taken.top().second);
      row.taken.pop();
    }
    if (row.free.empty()) row.free.push(row.count++);
    lanes[i] = row.free.top();
    row.free.pop();
    row.taken.emplace(f.signaled_ns != 0 ? f.signaled_ns : UINT64_MAX, lanes[i]);
  }
  return lanes;
}

}  // namespace ufence::tool

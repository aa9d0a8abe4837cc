#include "tools/ufence/look/outside.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "tools/ufence/look/outside_look.h"
#include "ufence/base/clock.h"
#include "ufence/fence/state.h"

namespace ufence::tool {

namespace {

std::string what_it_sleeps_for(std::uint8_t what, std::size_t count, const std::string& first) {
  switch (what) {  // sleeps_for (ufence/fence/live.h)
    case 0: return "until " + first + " is signaled";
    case 1: return "until the callbacks of " + first + " have returned";
    case 2: return "until the issuer is done with " + first;
    case 4: return "until a callback of " + first + " has returned";
    case 5: return "until " + first + " is unlocked";
    default: return "until one of " + std::to_string(count) + " fences is signaled";
  }
}

std::string name_of_lock(std::uint64_t lock) { return fmt::format("the lock at {:#x}", lock); }

// The process that is looked at may have any bytes there.
bool is_sane(const debug::layout& of) {
  constexpr std::uint32_t longest = 65'536;  // of an object
  const auto fits = [](std::uint32_t size, std::uint32_t least) { return size >= least && size <= longest; };
  return fits(of.fence.size, 64) && fits(of.slot_size[0], of.fence.size) && fits(of.slot_size[1], of.fence.size) &&
         fits(of.region.span_size, 8) && fits(of.region.span_bytes, of.slot_size[1]) &&
         fits(of.region.span_count, 1) && fits(of.region.spans, 8) && fits(of.timeline.size, 64) &&
         fits(of.sleeper.size, 64) && fits(of.frame.size, 8) && fits(of.callback.size, 16) &&
         fits(of.job.size, 64) && fits(of.entity.size, 64) && fits(of.scheduler.size, 64) &&
         fits(of.sleeper_lists, 1) && of.job.finished >= of.job.from_callback;
}

}  // namespace

std::optional<copied> outside_look::steady(address of, std::size_t size) {
  std::optional<copied> before = at_.copy(of, size);
  if (!before || !at_.is_live()) return before;
  for (int i = 0; i < tries_max; ++i) {
    std::optional<copied> again = at_.copy(of, size);
    if (again == before) return again;
    before = std::move(again);
    if (!before) return before;
  }
  ++found_.torn;
  return before;
}

// --- Lists of what changes meanwhile ---

// Calls visit(object) for each one of a list, which makes of it what is kept. False: a link led astray, since
// somebody changed the list, and the rest was not found.
template <class Visit>
bool outside_look::walk(address first, std::uint32_t next, std::uint32_t previous, std::uint32_t size, Visit visit) {
  address link = first;
  auto at = at_.get<address>(link);
  for (std::size_t count = 0; at && *at != 0; ++count) {
    const std::optional<copied> object = at_.copy(*at, size);
    // Nobody sets the link back of the first one.
    if (!object || (count != 0 && object->word(previous) != link - next)) return false;
    if (count == things_max || at_.get<address>(link) != at) return false;
    link = *at + next;
    at = object->word(next);
    visit(*object);
  }
  return at.has_value();
}

// The entries of a list, each as it was at one moment: an object may go, and another one may be made in its place, between
// any two reads. What two walks from the front, one after the other, find alike was there all the time between them.
template <class Found, class Walk>
std::vector<Found> outside_look::steady_list(Walk walk_all) {
  std::vector<Found> before;
  bool was_whole = walk_all(before);
  std::vector<Found> both = before;
  for (int i = 0; i < tries_max && at_.is_live(); ++i) {
    std::vector<Found> now;
    const bool is_whole = walk_all(now);
    std::unordered_map<address, const Found*> known;
    for (const Found& f : before) known.emplace(f.object.address(), &f);
    both.clear();
    for (const Found& f : now) {
      const auto same = known.find(f.object.address());
      if (same != known.end() && f.is_same(*same->second)) both.push_back(f);
    }
    if (was_whole && is_whole) return both;
    was_whole = is_whole;
    before = std::move(now);
  }
  if (!was_whole || at_.is_live()) ++found_.torn;
  return both;
}

// --- Timelines ---

bool outside_look::read_line::is_same(const read_line& other) const {
  return context == other.context && driver == other.driver && name == other.name;
}

outside_look::read_line outside_look::line_in(const copied& timeline) const {
  return {.object = timeline,
          .context = timeline.word(where_.timeline.context),
          .driver = name_text(timeline, where_.timeline.driver_name),
          .name = name_text(timeline, where_.timeline.name)};
}

void outside_look::find_timelines() {
  const auto& in = where_.timeline;
  const auto walk_all = [this, &in](std::vector<read_line>& found) {
    return walk(where_.timelines, in.next, in.previous, in.size,
                [this, &found](const copied& line) { found.push_back(line_in(line)); });
  };
  for (const read_line& line : steady_list<read_line>(walk_all)) add_line(line);
}

const outside_look::known_line& outside_look::add_line(const read_line& line) {
  const copied& timeline = line.object;
  constexpr std::uint64_t closed = std::uint64_t{1} << 63;  // timeline::closed
  const auto& in = where_.timeline;
  const std::uint64_t value = timeline.word(in.value);
  debug::timeline_info info{.context = line.context,
                            .driver = line.driver,
                            .name = line.name,
                            .completed = value & ~closed,
                            .emitted = timeline.word(in.emitted)};
  info.is_closed = (value & closed) != 0;
  const address word = timeline.word(in.device_word);
  const auto written = word != 0 && !info.is_closed ? at_.get<std::uint32_t>(word) : std::nullopt;
  if (written) {
    const auto distance = static_cast<std::int32_t>(*written - static_cast<std::uint32_t>(value));
    info.has_device_word = true;
    info.device_seqno = info.completed + static_cast<std::uint64_t>(std::int64_t{distance});
  }
  info.made_by = modules_.place_of(timeline.word(in.maker));
  known_line& known = lines_[timeline.address()];
  known = {.index = static_cast<std::uint32_t>(found_.timelines.size()),
           .value = value,
           .context = info.context,
           .unordered_contexts = timeline.word(in.unordered_contexts)};
  found_.timelines.push_back(std::move(info));
  return known;
}

// --- Threads ---

// All but its links.
bool outside_look::read_sleeper::is_same(const read_sleeper& other) const {
  return std::ranges::equal(state, other.state);
}

void outside_look::find_sleepers() {
  const auto& in = where_.sleeper;
  for (std::uint32_t list = 0; list < where_.sleeper_lists; ++list) {
    const auto walk_all = [this, &in, list](std::vector<read_sleeper>& found) {
      return walk(where_.sleepers + std::uint64_t{list} * where_.sleeper_list_size, in.next, in.previous, in.size,
                  [&found, &in](const copied& s) {
                    found.push_back({.object = s,
                                     .state = {s.word(in.one), s.word(in.several), s.word(in.thread), s.word(in.stack),
                                               s.word(in.since_ns), s.get<std::uint32_t>(in.id),
                                               s.get<std::uint8_t>(in.what), s.word(in.lock)}});
                  });
    };
    for (const read_sleeper& s : steady_list<read_sleeper>(walk_all)) add_sleeper(s.object);
  }
  for (const sleeper& s : sleepers_) {
    if (s.lock != 0) wait_for_holder(s.node, s.lock);
  }
}

void outside_look::wait_for_holder(std::uint32_t n, address lock) {
  const address word = at_.get<address>(lock).value_or(0);
  if (word == 0) return;
  if (stacks_.empty()) {
    stacks_ = at_.stacks();
    for (const sleeper& s : sleepers_) stacks_.push_back({.id = found_.nodes[s.node].id, .at = s.stack});
  }
  const address place = word & ~where_.lock.flags;
  const std::int64_t id = debug::thread_around(stacks_, at_.region_of(place), place);
  const auto of_thread = [id](const debug::node& other) {
    return other.kind == debug::node_kind::thread && other.id == id;
  };
  const auto holder = static_cast<std::uint32_t>(std::ranges::find_if(found_.nodes, of_thread) - found_.nodes.begin());
  if (holder == found_.nodes.size()) {
    fences_.push_back(0);
    found_.nodes.push_back(debug::holder_of_lock(id, id != 0 ? at_.thread_name(id) : ""));
  }
  add_edge(n, holder, name_of_lock(lock));
}

void outside_look::add_sleeper(const copied& s) {
  constexpr std::size_t told_max = 64;
  std::vector<address> waits_for;
  std::size_t count = 1;
  if (const address one = s.word(where_.sleeper.one)) {
    waits_for.push_back(one);
  } else if (s.word(where_.sleeper.lock) == 0) {
    const auto several = s.get<std::span<const address>>(where_.sleeper.several);
    count = several.size();
    waits_for.resize(std::min(count, told_max));
    const auto bytes = std::as_writable_bytes(std::span(waits_for));
    waits_for.resize(at_.read(reinterpret_cast<address>(several.data()), bytes) / sizeof(address));
  }
  const address lock = s.word(where_.sleeper.lock);
  const std::string first = lock != 0 ? name_of_lock(lock) : waits_for.empty() ? "?" : name_of(waits_for[0]);
  const auto n = static_cast<std::uint32_t>(found_.nodes.size());
  const auto since_ns = s.get<std::int64_t>(where_.sleeper.since_ns);
  newest_ns_ = std::max(newest_ns_, since_ns);
  const int id = s.get<int>(where_.sleeper.id);
  const address stack = s.word(where_.sleeper.stack);
  found_.nodes.push_back(
      {.kind = debug::node_kind::thread,
       .id = id,
       .driver = at_.thread_name(id),
       .state = what_it_sleeps_for(s.get<std::uint8_t>(where_.sleeper.what), count,
                                   first),
       .age_ns = since_ns,  // fill_ages()
       .place = modules_.caller_above(stack)});
  fences_.push_back(0);
  for (const address f : waits_for) add_edge(n, node_of(f));
  sleepers_.push_back({.node = n, .stack = stack, .waits_for = std::move(waits_for), .lock = lock});
  add_frames(n, s.word(where_.sleeper.thread));
}

// A thread that sleeps changes neither its frames nor its queue.
void outside_look::add_frames(std::uint32_t n, address thread) {
  constexpr int told_max = 64;
  address at = at_.get<address>(thread + where_.thread.frames).value_or(0);
  for (int i = 0; at != 0 && i < told_max; ++i) {
    const std::optional<copied> frame = at_.copy(at, where_.frame.size);
    if (!frame) break;
    const address of = frame->word(where_.frame.of);
    const bool is_callback = frame->word(where_.frame.callback) != 0;
    const std::string name = name_of(of);
    std::string& note = found_.nodes[n].note;
    note += (note.empty() ? "" : " ") + ((is_callback ? "inside a callback of " : "inside an op of ") + name);
    if (is_callback) found_.nodes[n].why = debug::cause::own_callback;
    add_edge(node_of(of), n, is_callback ? "a callback of it runs there" : "an op of it runs there");
    at = frame->word(where_.frame.outer);
  }
  const address last = at_.get<address>(thread + where_.thread.queue).value_or(0);
  for (address f = last; f != 0;) {
    f = at_.get<address>(f + where_.fence.link).value_or(0);
    if (f != 0) add_edge(node_of(f), n, "that thread will settle it");
    if (f == last || found_.edges.size() > std::size_t{told_max} * 16) break;
  }
}

// --- All fences ---

void outside_look::find_fences() {
  constexpr int regions_max = 1'000'000;
  for (unsigned size = 0; size != 2; ++size) {
    address region = at_.get<address>(where_.regions[size]).value_or(0);
    for (int i = 0; region != 0 && i < regions_max; ++i) {
      const std::size_t spans = std::size_t{where_.region.span_count} * where_.region.span_size;
      const std::optional<copied> head = at_.copy(region, where_.region.spans + spans);
      if (!head) break;
      for (std::uint32_t n = 0; n < where_.region.span_count; ++n) {
        const std::uint32_t span = where_.region.spans + n * where_.region.span_size;
        const auto touched = head->get<std::uint32_t>(span + where_.region.touched_slots);
        if (touched == 0 || touched > where_.region.span_bytes / where_.slot_size[size]) continue;
        look_at_span(region + std::uint64_t{n} * where_.region.span_bytes, touched, where_.slot_size[size]);
      }
      region = head->word(where_.region.next);
    }
  }
  for (const address f : waited_for_) node_of(f);
}

void outside_look::look_at_span(address memory, std::uint32_t slots, std::uint32_t slot_size) {
  const std::optional<copied> all = at_.copy(memory, std::size_t{slots} * slot_size);
  if (!all) return;
  for (std::uint32_t n = 0; n < slots; ++n) look_at_slot(*all, n * slot_size);
}

void outside_look::look_at_slot(const copied& slots, std::uint32_t offset) {
  const auto& in = where_.fence;
  if (slots.get<std::uint32_t>(offset + in.references) == 0) return;
  ++found_.fences_alive;
  if ((slots.get<std::uint32_t>(offset + in.state) & fence_state::signaled) != 0) return;
  const auto kind = slots.get<std::uint8_t>(offset + in.kind);
  const std::uint64_t seqno = slots.word(offset + in.seqno);
  const bool has_timeline = (kind & where_.kind.has_timeline) != 0;
  const auto line = has_timeline ? lines_.find(slots.word(offset + in.owner)) : lines_.end();
  if (line != lines_.end() && (kind & where_.kind.ordered) != 0 &&
      static_cast<std::int64_t>((line->second.value << 1 >> 1) - seqno) >= 0) {
    return;  // completed
  }
  if (slots.get<std::uint16_t>(offset + in.generation) != static_cast<std::uint16_t>(generation_)) return;
  ++found_.fences_pending;
  if (line != lines_.end()) {
    debug::timeline_info& info = found_.timelines[line->second.index];
    ++info.pending;
    if (info.oldest_pending == 0 || seqno < info.oldest_pending) info.oldest_pending = seqno;
  }
  if (all_ || slots.word(offset + in.callbacks) != 0) waited_for_.push_back(slots.address() + offset);
}

// --- Ages ---

// A fence that is waited for is as old as the longest wait.
void outside_look::fill_ages() {
  // A core does not say when it was written: everything is at least as old as the newest time in it tells.
  found_.time_ns = at_.is_live() ? now_ns() : newest_ns_;
  for (debug::node& n : found_.nodes) {
    if (n.kind == debug::node_kind::thread) {
      n.age_ns = std::max<std::int64_t>(found_.time_ns - n.age_ns, 1);
    }
  }
  for (const debug::edge& e : found_.edges) {
    const debug::node& from = found_.nodes[e.from];
    debug::node& to = found_.nodes[e.to];
    if (from.kind != debug::node_kind::thread || e.is_guess || to.state != "pending") continue;
    to.age_ns = std::max(to.age_ns, from.age_ns);
    for (debug::timeline_info& t : found_.timelines) {
      if (t.context == to.context) t.age_ns = std::max(t.age_ns, to.age_ns);
    }
  }
}

debug::snapshot outside_look::run() {
  const std::int64_t begin_ns = now_ns();
  found_.process = at_.process();
  found_.program = at_.program();
  generation_ = at_.get<std::uint32_t>(where_.fork_generation).value_or(0);
  find_timelines();
  find_sleepers();
  find_fences();
  // A node that is looked at may bring others behind it.
  for (std::uint32_t n = 0; n < found_.nodes.size(); ++n) look_at(n);
  look_at_scheduled();
  guess();
  fill_ages();
  find_causes(found_);
  found_.duration_ns = now_ns() - begin_ns;
  return std::move(found_);
}

std::variant<debug::snapshot, std::string> look_from_outside(const target& at, bool all) {
  const target_modules modules(at);
  const auto& noted = modules.layout();
  if (!noted) return "it has no libufence, or one that says nothing of its memory";
  if (noted->version != debug::layout_version || noted->size != sizeof(debug::layout)) {
    return noted->path + " has its memory laid out by version " + std::to_string(noted->version) +
           "; this program knows version " + std::to_string(debug::layout_version) +
           ": take the `ufence` that belongs to that library";
  }
  const auto where = at.get<debug::layout>(noted->address);
  if (!where || where->version != noted->version || where->size != noted->size) {
    return "its libufence has not been loaded to the end";
  }
  if (!is_sane(*where)) return "the layout of its libufence makes no sense";
  return outside_look(at, modules, *where, all).run();
}

}  // namespace ufence::tool

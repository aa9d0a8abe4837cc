#include "ufence/debug/gather.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "ufence/base/clock.h"
#include "ufence/base/fd.h"
#include "ufence/container/ww_mutex.h"
#include "ufence/debug/gatherer.h"
#include "ufence/debug/graph.h"
#include "ufence/debug/process_facts.h"
#include "ufence/fence/names.h"
#include "ufence/fence/slab.h"

namespace ufence::debug {

namespace {

// The first line of a small file; empty: it can't be read.
std::string line_of_file(const std::string& path) {
  const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return {};
  std::array<char, 64> text;
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  std::string line(text.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  return line.substr(0, line.find('\n'));
}

std::string name_of_fence(const fence& f) {
  return std::to_string(f.context()) + ":" + std::to_string(f.seqno());
}

std::string what_it_sleeps_for(detail::sleeps_for what, std::size_t count, const std::string& first) {
  switch (what) {
    case detail::sleeps_for::signaled: return "until " + first + " is signaled";
    case detail::sleeps_for::settled: return "until the callbacks of " + first + " have returned";
    case detail::sleeps_for::quiesced: return "until the issuer is done with " + first;
    case detail::sleeps_for::returned: return "until a callback of " + first + " has returned";
    case detail::sleeps_for::lock: return "until " + first + " is unlocked";
    case detail::sleeps_for::any: break;
  }
  return "until one of " + std::to_string(count) + " fences is signaled";
}

std::string name_of_lock(const void* lock) {
  return "the lock at " + hex_text(reinterpret_cast<std::uintptr_t>(lock));
}

}  // namespace

// --- What is there ---

void gatherer::find_timelines() {
  std::size_t count = 0;
  detail::visit_timelines([](timeline&, void* n) { ++*static_cast<std::size_t*>(n); }, &count);
  // Room for what is there, and some more: nothing is allocated under the lock.
  timelines_.reserve(count + count / 8 + 16);
  detail::visit_timelines(
      [](timeline& line, void* self) {
        auto& all = static_cast<gatherer*>(self)->timelines_;
        if (all.size() != all.capacity() && access::try_get(line)) {
          all.push_back(ref<timeline>::adopt(&line));
        }
      },
      this);
  for (const auto& line : timelines_) {
    timeline_at_.emplace(line.get(), static_cast<std::uint32_t>(found_.timelines.size()));
    timeline_info info{.context = line->context(),
                       .driver = std::string(line->driver_name()),
                       .name = std::string(line->timeline_name()),
                       .completed = line->completed(),
                       .emitted = line->emitted()};
    info.is_closed = line->is_closed();
    info.has_device_word = access::read_device_word(*line, info.device_seqno);
    info.made_by = modules_.place_of(access::maker(*line));
    found_.timelines.push_back(std::move(info));
  }
}

// Copies under the lists' locks. A thread that sleeps changes neither its frames nor its queue.
void gatherer::find_sleepers() {
  detail::visit_sleeping_threads(
      [](const detail::sleeping_thread& thread, void* self) {
        constexpr std::size_t copied_max = 64;
        sleeper s{.what = thread.what(),
                  .since_ns = thread.since_ns(),
                  .id = thread.id(),
                  .stack = thread.stack(),
                  .lock = thread.lock(),
                  .waits_for_count = thread.size()};
        for (std::size_t i = 0; i < std::min(thread.size(), copied_max); ++i) {
          s.waits_for.push_back(fence_ref::take(thread.at(i)));
        }
        const thread_state& state = thread.state();
        for (const frame* f = state.top; f != nullptr && s.frames.size() < copied_max;
             f = f->outer) {
          // In the release op of a legacy fence no reference is left.
          auto& of = const_cast<fence&>(*f->of);
          if (!of.try_get()) continue;
          s.frames.push_back({.of = fence_ref::adopt(&of), .is_callback = f->node != nullptr});
        }
        if (fence* const last = state.queue) {
          fence* f = access::next_in_queue(*last);
          while (s.queue.size() < copied_max) {
            s.queue.push_back(fence_ref::take(*f));
            if (f == last) break;
            f = access::next_in_queue(*f);
          }
        }
        static_cast<gatherer*>(self)->sleepers_.push_back(std::move(s));
      },
      this);
}

void gatherer::find_fences() {
  detail::visit_fences(
      [](fence& slot, void* self) { static_cast<gatherer*>(self)->look_at_slot(slot); }, this);
}

// Counts one fence, and makes a node of it if anybody waits for it.
void gatherer::look_at_slot(fence& slot) {
  ++found_.fences_alive;
  if ((access::state(slot) & fence_state::signaled) != 0 || !slot.try_get()) return;
  const fence_ref f = fence_ref::adopt(&slot);
  if (!access::is_pending(*f) || access::was_inherited(*f)) return;
  ++found_.fences_pending;
  if (const timeline* const line = f->owner()) {
    const auto at = timeline_at_.find(line);
    if (at != timeline_at_.end()) {
      timeline_info& info = found_.timelines[at->second];
      ++info.pending;
      if (info.oldest_pending == 0 || f->seqno() < info.oldest_pending) {
        info.oldest_pending = f->seqno();
      }
    }
  }
  if (options_.all_fences || access::has_callbacks(*f)) node_of(*f);
}

// --- Nodes ---

std::uint32_t gatherer::node_of(fence& f) {
  if (const auto known = node_at_.find(&f); known != node_at_.end()) return known->second;
  if (found_.nodes.size() >= options_.nodes_max) {
    ++found_.nodes_left_out;
    return UINT32_MAX;
  }
  const auto n = static_cast<std::uint32_t>(found_.nodes.size());
  node_at_.emplace(&f, n);
  fences_.push_back(fence_ref::take(f));
  const fence_names names = names_of(f);
  found_.nodes.push_back({.kind = node_kind::fence,
                          .context = f.context(),
                          .seqno = f.seqno(),
                          .driver = std::string(names.driver_name()),
                          .timeline = std::string(names.timeline_name())});
  return n;
}

void gatherer::add_edge(std::uint32_t from, std::uint32_t to, std::string_view how,
                        bool is_guess) {
  if (from == UINT32_MAX || to == UINT32_MAX) return;
  found_.edges.push_back({.from = from, .to = to, .is_guess = is_guess, .how = std::string(how)});
}

void gatherer::add_sleepers() {
  for (const sleeper& s : sleepers_) {
    sleeper_nodes_.push_back(UINT32_MAX);
    if (found_.nodes.size() < options_.nodes_max) {
      add_sleeper(s);
    } else {
      ++found_.nodes_left_out;
    }
  }
  for (std::size_t i = 0; i < sleepers_.size(); ++i) {
    if (sleepers_[i].lock != nullptr && sleeper_nodes_[i] != UINT32_MAX) {
      wait_for_holder(sleeper_nodes_[i], sleepers_[i].lock);
    }
  }
}

// The lock may be gone: it is read as memory that may not be there.
void gatherer::wait_for_holder(std::uint32_t n, const void* lock) {
  std::uint64_t word = 0;
  if (!read_own(lock, word) || word == 0) return;
  if (stacks_.empty()) {
    stacks_ = stacks_of_process("/proc/self");
    for (const sleeper& s : sleepers_) stacks_.push_back({.id = s.id, .at = reinterpret_cast<std::uintptr_t>(s.stack)});
  }
  const std::uint64_t place = word & ~detail::lock_layout::get().flags;
  const std::int64_t id = thread_around(stacks_, region_in_process("/proc/self", place), place);
  const auto of_thread = [id](const node& other) { return other.kind == node_kind::thread && other.id == id; };
  const auto holder = static_cast<std::uint32_t>(std::ranges::find_if(found_.nodes, of_thread) - found_.nodes.begin());
  if (holder == found_.nodes.size()) {
    fences_.emplace_back();
    found_.nodes.push_back(holder_of_lock(id, line_of_file("/proc/self/task/" + std::to_string(id) + "/comm")));
  }
  add_edge(n, holder, name_of_lock(lock));
}

void gatherer::add_sleeper(const sleeper& s) {
  const auto n = static_cast<std::uint32_t>(found_.nodes.size());
  sleeper_nodes_.back() = n;
  fences_.emplace_back();
  found_.nodes.push_back({.kind = node_kind::thread,
                          .id = s.id,
                          .driver = line_of_file("/proc/self/task/" + std::to_string(s.id) + "/comm"),
                          .state = what_it_sleeps_for(
                              s.what, s.waits_for_count,
                              s.lock != nullptr     ? name_of_lock(s.lock)
                              : s.waits_for.empty() ? "?"
                                                    : name_of_fence(*s.waits_for[0])),
                          .age_ns = std::max<std::int64_t>(found_.time_ns - s.since_ns, 1),
                          .place = modules_.caller_above(s.stack)});
  for (const fence_ref& f : s.waits_for) add_edge(n, node_of(*f), {});
  bool is_in_callback = false;
  for (const sleeper::frame_copy& f : s.frames) {
    found_.nodes[n].note +=
        (f.is_callback ? "inside a callback of " : "inside an op of ") + name_of_fence(*f.of) + " ";
    is_in_callback = is_in_callback || f.is_callback;
    add_edge(node_of(*f.of), n, f.is_callback ? "a callback of it runs there" : "an op of it runs there");
  }
  for (const fence_ref& f : s.queue) add_edge(node_of(*f), n, "that thread will settle it");
  if (is_in_callback) found_.nodes[n].why = cause::own_callback;
  if (!found_.nodes[n].note.empty()) found_.nodes[n].note.pop_back();
}

void gatherer::fill_timelines() {
  // A fence that is waited for is as old as the longest wait.
  std::vector<std::int64_t> age(found_.nodes.size(), 0);
  for (const edge& e : found_.edges) {
    const node& from = found_.nodes[e.from];
    if (from.kind == node_kind::thread && !e.is_guess) age[e.to] = std::max(age[e.to], from.age_ns);
  }
  for (std::size_t n = 0; n < age.size(); ++n) {
    node& waited_for = found_.nodes[n];
    if (waited_for.kind != node_kind::fence || waited_for.state != "pending") continue;
    waited_for.age_ns = age[n];
    const auto at = fences_[n]->owner() != nullptr ? timeline_at_.find(fences_[n]->owner())
                                                   : timeline_at_.end();
    if (at == timeline_at_.end()) continue;
    timeline_info& line = found_.timelines[at->second];
    line.age_ns = std::max(line.age_ns, age[n]);
  }
}

snapshot gatherer::run() {
  found_.process = ::getpid();
  found_.program = line_of_file("/proc/self/comm");
  found_.time_ns = now_ns();
  find_timelines();
  find_sleepers();
  add_sleepers();
  find_fences();
  // A node that is looked at may bring others behind it.
  for (std::uint32_t n = 0; n < found_.nodes.size(); ++n) look_at(n);
  look_at_scheduled();
  guess();
  fill_timelines();
  find_causes(found_);
  found_.duration_ns = now_ns() - found_.time_ns;
  return std::move(found_);
}

snapshot gather(const gather_options& options) { return gatherer(options).run(); }

}  // namespace ufence::debug

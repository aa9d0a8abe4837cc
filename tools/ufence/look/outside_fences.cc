// The kind of one fence, the fences that it waits for, and the callbacks that hear of it.
#include <linux/futex.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>

#include "tools/ufence/look/outside_look.h"
#include "ufence/debug/process_facts.h"
#include "ufence/fence/state.h"

namespace ufence::tool {

namespace {

using debug::cause;

std::string hexadecimal(std::uint64_t value) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (; value != 0 || text.empty(); value >>= 4) text.insert(text.begin(), digits[value & 15]);
  return "0x" + text;
}

}  // namespace

// --- Of a copy ---

std::string outside_look::name_text(const copied& from, std::uint32_t offset) const {
  const auto name = from.get<std::string_view>(offset);
  return at_.text(reinterpret_cast<address>(name.data()), name.size());
}

bool outside_look::is_pending(const copied& f) const {
  if ((state_of(f) & fence_state::signaled) != 0) return false;
  if (!has(f, where_.kind.ordered)) return true;
  const auto value = at_.get<std::uint64_t>(owner_of(f) + where_.timeline.value);
  constexpr std::uint64_t closed = std::uint64_t{1} << 63;
  if (!value || (*value & closed) != 0) return false;
  return static_cast<std::int64_t>(f.word(where_.fence.seqno) - *value) > 0;
}

bool outside_look::is_pending(address fence) const {
  const std::optional<copied> f = at_.copy(fence, where_.fence.size);
  return f && is_pending(*f);
}

const outside_look::known_line* outside_look::line_of(const copied& f) {
  const address owner = owner_of(f);
  if (owner == 0) return nullptr;
  const auto known = lines_.find(owner);
  // Another one may have been made in the same place.
  const auto context = at_.get<std::uint64_t>(owner + where_.timeline.context);
  if (known != lines_.end() && context == known->second.context) return &known->second;
  const std::optional<copied> line = at_.copy(owner, where_.timeline.size);
  if (!line) return nullptr;
  const read_line told = line_in(*line);
  // The fence keeps its timeline, if both are the same still.
  const std::optional<copied> again = at_.copy(f.address(), where_.fence.size);
  const std::optional<copied> line_again = at_.copy(owner, where_.timeline.size);
  if (!again || !is_same(f, *again) || !line_again || !told.is_same(line_in(*line_again))) return nullptr;
  return &add_line(told);
}

std::uint64_t outside_look::context_of(const copied& f) {
  if (!has(f, where_.kind.has_timeline)) return f.word(where_.fence.owner);
  const known_line* const line = line_of(f);
  if (line == nullptr) return 0;
  if (has(f, where_.kind.ordered) || has(f, where_.kind.in_order)) return line->context;
  return line->unordered_contexts | static_cast<std::uint32_t>(f.word(where_.fence.seqno));
}

std::string outside_look::name_of(address fence) {
  const std::uint32_t n = node_of(fence);
  if (n == no_node) return "?";
  return std::to_string(found_.nodes[n].context) + ":" + std::to_string(found_.nodes[n].seqno);
}

// A node with the names of a fence.
debug::node outside_look::named(const copied& f) {
  debug::node told{.kind = debug::node_kind::fence, .context = context_of(f), .seqno = f.word(where_.fence.seqno)};
  if (const known_line* const line = line_of(f)) {
    told.driver = found_.timelines[line->index].driver;
    told.timeline = found_.timelines[line->index].name;
  } else if (has(f, where_.kind.embedded)) {
    const address type = at_.get<address>(f.address() + where_.embedded.type).value_or(0);
    constexpr std::size_t two_names = 2 * sizeof(std::string_view);
    if (const std::optional<copied> names = at_.copy(type, where_.embedded_type.timeline_name + two_names)) {
      told.driver = name_text(*names, where_.embedded_type.driver_name);
      told.timeline = name_text(*names, where_.embedded_type.timeline_name);
    }
  } else {
    told.driver = "detached-driver";
    told.timeline = "signaled-timeline";
  }
  return told;
}

// Is that the same fence still, and referenced?
bool outside_look::is_same(const copied& f, const copied& again) const {
  const auto& in = where_.fence;
  return again.get<std::uint32_t>(in.references) != 0 && f.word(in.owner) == again.word(in.owner) &&
         f.word(in.seqno) == again.word(in.seqno) &&
         f.get<std::uint8_t>(in.kind) == again.get<std::uint8_t>(in.kind);
}

// --- Nodes ---

std::uint32_t outside_look::node_of(address fence) {
  constexpr std::size_t nodes_max = 100'000;
  if (const auto known = node_at_.find(fence); known != node_at_.end()) return known->second;
  if (found_.nodes.size() >= nodes_max) {
    ++found_.nodes_left_out;
    return no_node;
  }
  for (int i = 0; i < tries_max; ++i) {
    const std::optional<copied> f = at_.copy(fence, where_.fence.size);
    if (!f || f->get<std::uint32_t>(where_.fence.references) == 0) return no_node;  // it has gone meanwhile
    debug::node told = named(*f);
    // The memory that its names were read from may be another one's by now, if it is.
    const std::optional<copied> again = at_.copy(fence, where_.fence.size);
    if (!again || !is_same(*f, *again) ||
        (has(*f, where_.kind.has_timeline) && told.context == 0)) {
      continue;
    }
    const auto n = static_cast<std::uint32_t>(found_.nodes.size());
    node_at_.emplace(fence, n);
    fences_.push_back(fence);
    found_.nodes.push_back(std::move(told));
    return n;
  }
  ++found_.torn;
  return no_node;
}

void outside_look::add_edge(std::uint32_t from, std::uint32_t to, std::string_view how, bool is_guess) {
  if (from == no_node || to == no_node) return;
  found_.edges.push_back({.from = from, .to = to, .is_guess = is_guess, .how = std::string(how)});
}

void outside_look::look_at(std::uint32_t n) {
  if (fences_[n] == 0) return;
  const std::optional<copied> f = steady(fences_[n], where_.fence.size);
  if (!f || f->get<std::uint32_t>(where_.fence.references) == 0 ||
      f->word(where_.fence.seqno) != found_.nodes[n].seqno || context_of(*f) != found_.nodes[n].context) {
    found_.nodes[n].type = "fence";
    found_.nodes[n].state = "gone meanwhile";
    return;
  }
  const std::uint32_t state = state_of(*f);
  found_.nodes[n].is_enabled = (state & (fence_state::enabled | fence_state::awaited)) != 0;
  if (is_pending(*f)) {
    found_.nodes[n].state = "pending";
    found_.nodes[n].why = cause::never_signaled;
    look_at_pending(*f, n);
  } else {
    debug::node& told = found_.nodes[n];
    // A completed timeline fence that nobody has looked at has no callbacks.
    const bool is_unmarked = has(*f, where_.kind.ordered) && (state & fence_state::awaited) == 0;
    const bool is_settled = (state & fence_state::settled) != 0 || is_unmarked;
    told.type = "fence";
    told.state = is_settled ? "signaled" : "signaled, not settled";
    told.error = f->get<std::int32_t>(where_.fence.error);
    told.why = is_settled ? cause::none : cause::callback_runs;
    if ((state & fence_state::signaled) != 0) {
      newest_ns_ = std::max(newest_ns_, f->get<std::int64_t>(where_.fence.timestamp));
    }
  }
  look_at_callbacks(*f, n);
}

// The names of a struct dma_fence are what its issuer's code says.
std::string_view outside_look::type_of_foreign(const copied& f) {
  const address type = at_.get<address>(f.address() + where_.embedded.type).value_or(0);
  const auto copy_names = at_.get<address>(type + where_.embedded_type.copy_names).value_or(0);
  return copy_names != 0 ? "fence of the kernel's interface" : "legacy fence";
}

void outside_look::look_at_pending(const copied& f, std::uint32_t n) {
  found_.nodes[n].type = has(f, where_.kind.legacy)     ? type_of_foreign(f)
                         : has(f, where_.kind.ordered)  ? "timeline fence"
                         : has(f, where_.kind.embedded) ? "fence of the library"
                         : owner_of(f) != 0             ? "fence"
                                                        : "plain fence";
  if (owner_of(f) != 0) look_at_timeline(f, n);
  if (has(f, where_.kind.embedded)) return look_at_container(f, n);
  if (has(f, where_.kind.has_backend)) return look_at_backend(f, n);
  if (owner_of(f) != 0) return;
  debug::node& told = found_.nodes[n];
  if ((told.context & where_.submission_context_bits) == where_.submission_contexts) {
    told.type = "point of a syncobj";
    told.why = cause::not_submitted;
    return;
  }
  look_at_shared(f, n);
}

void outside_look::look_at_timeline(const copied& f, std::uint32_t n) {
  const known_line* const line = line_of(f);
  if (line == nullptr) return;
  const debug::timeline_info& info = found_.timelines[line->index];
  debug::node& told = found_.nodes[n];
  told.place = info.made_by;
  if (!has(f, where_.kind.ordered)) return;
  told.note = "the timeline's value is " + std::to_string(info.completed) + ", its newest seqno " +
              std::to_string(info.emitted);
  if (info.has_device_word && info.device_seqno >= told.seqno) {
    told.why = cause::lost_notification;
    told.note += "; the device has written " + std::to_string(info.device_seqno);
  }
}

// --- What it is made of ---

void outside_look::look_at_container(const copied& f, std::uint32_t n) {
  constexpr std::uint32_t children_max = 10'000;
  const address type = at_.get<address>(f.address() + where_.embedded.type).value_or(0);
  if (type == where_.type_of_arrays) {
    const auto size = at_.get<std::uint32_t>(f.address() + where_.array.size).value_or(0);
    const bool is_any = at_.get<std::uint8_t>(f.address() + where_.array.is_any).value_or(0) != 0;
    found_.nodes[n].type = (is_any ? "array (any of " : "array (all of ") + std::to_string(size) + ")";
    found_.nodes[n].why = cause::none;
    std::vector<address> children(std::min(size, children_max));
    const auto bytes = std::as_writable_bytes(std::span(children));
    children.resize(at_.read(f.address() + where_.array.children, bytes) / sizeof(address));
    for (const address child : children) {
      if (is_pending(child)) add_edge(n, node_of(child));
    }
  } else if (type == where_.type_of_chains) {
    found_.nodes[n].type = "chain";
    found_.nodes[n].why = cause::none;
    const address contained = at_.get<address>(f.address() + where_.chain.contained).value_or(0);
    const address before = at_.get<address>(f.address() + where_.chain.previous).value_or(0);
    if (contained != 0 && is_pending(contained)) add_edge(n, node_of(contained));
    if (before != 0 && is_pending(before)) add_edge(n, node_of(before), "the point before");
  } else if (at_.get<address>(type + where_.embedded_type.release) == where_.release_of_imports) {
    look_at_import(f, n);
  }
}

void outside_look::look_at_import(const copied& f, std::uint32_t n) {
  debug::node& told = found_.nodes[n];
  const bool is_kernels = at_.get<std::uint8_t>(f.address() + where_.import.is_kernels).value_or(0) != 0;
  told.type = is_kernels ? "sync file of the kernel" : "sync file of another process";
  if (is_kernels) return;
  told.source_context = at_.get<std::uint64_t>(f.address() + where_.import.their_context).value_or(0);
  wait_for_process(n, at_.get<int>(f.address() + where_.import.exporter).value_or(0), false);
}

// A point that another process has to signal.
void outside_look::look_at_shared(const copied& f, std::uint32_t n) {
  constexpr int looked_at_max = 100'000;
  const auto& in = where_.shared;
  address at = at_.get<address>(where_.shared_timelines).value_or(0);
  for (int i = 0; at != 0 && i < looked_at_max; ++i) {
    if (at_.get<std::uint64_t>(at + in.context) == f.word(where_.fence.owner)) break;
    at = at_.get<address>(at + in.next).value_or(0);
  }
  const address page = at != 0 ? at_.get<address>(at + in.page).value_or(0) : 0;
  const auto value = at_.get<std::uint64_t>(page + in.page_value);
  const auto owner = at_.get<std::uint32_t>(page + in.page_owner);
  if (page == 0 || !value || !owner) return;
  constexpr std::uint64_t closed = std::uint64_t{1} << 63;
  debug::node& told = found_.nodes[n];
  told.type = "point of a shared timeline";
  told.timeline = at_.text(at + in.name, in.name_size).c_str();
  told.note = "the last point that is reached is " + std::to_string(*value & ~closed);
  if (at_.get<std::uint8_t>(at + in.is_owner).value_or(1) != 0) return;
  const bool is_gone = (*owner & FUTEX_OWNER_DIED) != 0;
  const auto thread = static_cast<int>(*owner & FUTEX_TID_MASK);
  wait_for_process(n, at_.is_live() && !is_gone ? debug::process_of_thread(thread) : 0, is_gone);
}

// `id`: 0 if it is unknown.
void outside_look::wait_for_process(std::uint32_t n, std::int64_t id, bool is_gone) {
  debug::node process{.kind = debug::node_kind::process, .id = id};
  const bool can_be_asked = at_.is_live() && id > 0;
  const char letter = can_be_asked ? debug::state_of_process(id, process.driver) : '\0';
  is_gone = is_gone ||
            (can_be_asked && letter == 0 && ::kill(static_cast<pid_t>(id), 0) != 0 && errno == ESRCH);
  debug::tell_of_process(process, letter, is_gone);
  found_.nodes[n].why = cause::none;
  for (std::uint32_t p = 0; p < found_.nodes.size(); ++p) {
    if (found_.nodes[p].kind == debug::node_kind::process && found_.nodes[p].id == process.id) {
      return add_edge(n, p);
    }
  }
  const auto p = static_cast<std::uint32_t>(found_.nodes.size());
  fences_.push_back(0);
  found_.nodes.push_back(std::move(process));
  add_edge(n, p);
}

// --- Who has to signal it ---

void outside_look::look_at_backend(const copied& f, std::uint32_t n) {
  const address data = f.word(where_.fence.word);
  const address ops = at_.get<address>(data).value_or(0);
  if (ops == 0) return;
  if (ops == where_.ops_of_jobs) {
    const address entity = at_.get<address>(data - where_.job.from_backend + where_.job.entity).value_or(0);
    if (entity == 0) return;
    look_at_job(entity, f, n);
    entities_.push_back(entity);
    return;
  }
  debug::node& told = found_.nodes[n];
  const auto& jobs = where_.driver_job;
  if (at_.get<address>(ops + where_.backend_ops.retire) == where_.retire_of_driver_jobs) {
    told.type = "job of a driver module";
    const auto phase = at_.get<std::uint32_t>(data - jobs.from_backend + jobs.phase).value_or(0);
    if (phase == jobs.with_driver) {
      told.why = cause::with_driver;
    } else if (phase == jobs.waiting || phase == jobs.ready) {
      told.note = phase == jobs.waiting ? "the job waits for its in-fences" : "the job waits for its turn";
    }
  } else if (told.place.module.empty()) {
    told.place = modules_.place_of(ops);
  }
  if (fence_state::ops_inside(state_of(f)) != 0) told.why = cause::op_runs;
}

// --- Who hears of it ---

bool outside_look::walk_callbacks(const copied& f, std::vector<copied>& found) {
  constexpr std::size_t told_max = 1'000;
  found.clear();
  const address first = at_.get<address>(f.address() + where_.fence.callbacks).value_or(0);
  for (address at = first; at != 0 && found.size() < told_max;) {
    std::optional<copied> c = at_.copy(at, where_.callback.size);
    if (!c) return false;
    at = c->word(where_.callback.next);
    if (at == 0) return false;  // it was taken out
    found.push_back(std::move(*c));
    if (at == first) break;
  }
  return at_.get<address>(f.address() + where_.fence.callbacks).value_or(0) == first;
}

void outside_look::look_at_callbacks(const copied& f, std::uint32_t n) {
  std::vector<copied> all;
  for (int i = 1; !walk_callbacks(f, all); ++i) {
    if (i == tries_max || !at_.is_live()) {
      ++found_.torn;
      break;
    }
  }
  for (const copied& c : all) {
    std::string text = tell_callback(c, n);
    found_.nodes[n].callbacks.push_back(std::move(text));
  }
}

std::string outside_look::tell_callback(const copied& c, std::uint32_t n) {
  const address function = c.word(where_.callback.function);
  const auto behind = [&](std::uint32_t offset) {
    return at_.get<address>(c.address() + offset).value_or(0);
  };
  if (function == where_.arrays_callback || function == where_.chains_callback) {
    const bool is_array = function == where_.arrays_callback;
    node_of(behind(is_array ? where_.array.callbacks_array : where_.chain.callbacks_chain));
    return "a container";
  }
  if (function == where_.jobs_callback) {
    node_of(behind(where_.job.finished - where_.job.from_callback));
    if (found_.nodes[n].why == cause::never_signaled) found_.nodes[n].why = cause::with_device;
    return "a scheduler";
  }
  if (function == where_.in_fences_callback) {
    // A job of a driver tells what it waits for by its callbacks alone.
    const address job = behind(where_.driver_job.callbacks_job);
    const address fence = at_.get<address>(job + where_.driver_job.fence).value_or(0);
    if (fence != 0) add_edge(node_of(fence), n, "an in-fence");
    return "a job of a driver module";
  }
  if (function == where_.entities_callback) {
    entities_.push_back(behind(where_.entity.from_callback));
    return "an entity of a scheduler";
  }
  if (function == where_.exports_callback) {
    if (const auto end = at_.get<int>(c.address() + where_.exported.end)) {
      found_.nodes[n].export_fds.push_back(*end);
    }
    const std::string name = at_.text(c.address() + where_.exported.name, where_.exported.name_size);
    return "sync file \"" + std::string(name.c_str()) + "\"";
  }
  if (function == where_.wait_any_callback) return "a thread in wait_any()";
  if (function == where_.pollables_callback) return "a pollable descriptor";
  const debug::code_place place = modules_.place_of(function);
  std::string text = place.module.empty()
                         ? "unknown code"
                         : place.module.substr(place.module.rfind('/') + 1) + "+" + hexadecimal(place.offset);
  foreign_.push_back({.on = n, .at = c.address(), .text = text});
  return text;
}

}  // namespace ufence::tool

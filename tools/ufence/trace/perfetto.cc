#include "tools/ufence/trace/perfetto.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <protozero/pbf_writer.hpp>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ufence::tool {
namespace {

using protozero::pbf_writer;
using trace::event;
using trace::slot;

// Field numbers of Perfetto's messages, as far as they are used here.
namespace field {
namespace trace {
enum { packet = 1 };
}
namespace packet {
enum {
  clock_snapshot = 6,
  timestamp = 8,
  sequence_id = 10,
  track_event = 11,
  interned_data = 12,
  sequence_flags = 13,
  clock_id = 58,
  track_descriptor = 60,
  first_on_sequence = 87,
};
}
namespace snapshot {
enum { clocks = 1, primary = 2, id = 1, time = 2 };
}
namespace track {
enum { uuid = 1, name = 2, process = 3, thread = 4, parent = 5, merging = 15 };
enum { merge_by_name = 1, merge_never = 2 };
}  // namespace track
namespace process {
enum { pid = 1, name = 6 };
}
namespace thread {
enum { pid = 1, tid = 2, name = 5 };
}
namespace track_event {
enum {
  category_ids = 3,
  annotations = 4,
  type = 9,
  name_id = 10,
  track_uuid = 11,
  flow_ids = 47,
  terminating_flow_ids = 48,
};
enum { slice_begin = 1, slice_end = 2, instant = 3 };
}  // namespace track_event
namespace annotation {
enum { name_id = 1, number = 3, signed_number = 4, text = 6 };
}
namespace interned {
enum { categories = 1, event_names = 2, annotation_names = 3, id = 1, name = 2 };
}
}  // namespace field

constexpr std::uint64_t clock_realtime = 1, clock_monotonic = 3;
constexpr std::uint32_t sequence = 1;
constexpr std::uint64_t cleared_state = 1, needs_state = 2;

// Texts that come often are told once, and then called by number.
class interner {
 public:
  explicit interner(int kind) noexcept : kind_(kind) {}
  std::uint64_t number_of(std::string_view text, std::string& news) {
    const auto [at, is_new] = numbers_.try_emplace(std::string(text), numbers_.size() + 1);
    if (is_new) {
      pbf_writer all(news);
      pbf_writer one(all, static_cast<protozero::pbf_tag_type>(kind_));
      one.add_uint64(field::interned::id, at->second);
      one.add_string(field::interned::name, at->first);
    }
    return at->second;
  }

 private:
  const int kind_;
  std::unordered_map<std::string, std::uint64_t> numbers_;
};

// One event of a track while it is put together.
struct track_item {
  std::uint64_t time_ns = 0;
  std::uint64_t track = 0;
  int type = field::track_event::instant;
  std::string_view name = {};
  std::string_view category = "dma_fence";
};

class writer {
 public:
  writer(const recording& r, const story& s) : r_(r), s_(s), lanes_(lanes_of(s)) {
    // One process, or thread, that was recorded more than once, before and after an exec(), has one
    // track.
    std::map<std::int64_t, std::uint32_t> processes;
    for (std::uint32_t i = 0; i < r.processes.size(); ++i) {
      first_processes_.push_back(processes.try_emplace(r.processes[i].number, i).first->second);
    }
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint32_t> threads;
    for (std::uint32_t i = 0; i < r.threads.size(); ++i) {
      const recorded_thread& t = r.threads[i];
      const std::uint32_t process = first_processes_[t.process];
      first_threads_.push_back(
          t.number == 0 ? i : threads.try_emplace({process, t.number}, i).first->second);
    }
  }

  std::string write() {
    write_clock();
    write_processes();
    write_rows();
    collect_flows();
    write_items();
    return std::move(out_);
  }

 private:
  // --- Tracks ---

  // Numbers of tracks: of one kind they follow each other.
  enum class kind : std::uint64_t { process = 1, thread, row, lane, modules };
  static std::uint64_t uuid_of(kind k, std::uint64_t index, std::uint64_t part = 0) {
    return static_cast<std::uint64_t>(k) << 60U | index << 24U | (part + 1);
  }
  [[nodiscard]] std::uint64_t process_uuid(std::uint32_t process) const {
    return uuid_of(kind::process, first_processes_[process]);
  }
  [[nodiscard]] std::uint64_t thread_uuid(std::uint32_t thread) const {
    return uuid_of(kind::thread, first_threads_[thread]);
  }
  [[nodiscard]] std::uint64_t lane_uuid(std::uint32_t fence) const {
    return uuid_of(kind::lane, s_.fences[fence].row, lanes_[fence]);
  }

  template <class Fill>
  void add_packet(Fill fill) {
    pbf_writer trace(out_);
    pbf_writer packet(trace, field::trace::packet);
    packet.add_uint32(field::packet::sequence_id, sequence);
    fill(packet);
  }

  void write_clock() {
    add_packet([this](pbf_writer& packet) {
      packet.add_uint64(field::packet::sequence_flags, cleared_state);
      packet.add_bool(field::packet::first_on_sequence, true);
      pbf_writer snapshot(packet, field::packet::clock_snapshot);
      const auto add = [&snapshot](std::uint64_t clock, std::uint64_t time) {
        pbf_writer one(snapshot, field::snapshot::clocks);
        one.add_uint64(field::snapshot::id, clock);
        one.add_uint64(field::snapshot::time, time);
      };
      const recorded_process* known = nullptr;
      for (const recorded_process& p : r_.processes) {
        if (known == nullptr && p.realtime_ns != 0) known = &p;
      }
      add(clock_monotonic, known != nullptr ? known->start_ns : s_.begin_ns);
      if (known != nullptr) add(clock_realtime, known->realtime_ns);
      snapshot.add_uint64(field::snapshot::primary, clock_monotonic);
    });
  }

  template <class Fill>
  void add_track(std::uint64_t uuid, std::uint64_t parent, std::string_view name, int merging,
                 Fill fill) {
    add_packet([&](pbf_writer& packet) {
      pbf_writer track(packet, field::packet::track_descriptor);
      track.add_uint64(field::track::uuid, uuid);
      if (parent != 0) track.add_uint64(field::track::parent, parent);
      if (!name.empty()) track.add_string(field::track::name, std::string(name));
      if (merging != 0) track.add_int32(field::track::merging, merging);
      fill(track);
    });
  }
  void add_track(std::uint64_t uuid, std::uint64_t parent, std::string_view name, int merging) {
    add_track(uuid, parent, name, merging, [](pbf_writer&) {});
  }

  void write_processes() {
    for (std::uint32_t i = 0; i < r_.processes.size(); ++i) {
      if (first_processes_[i] != i) continue;
      const recorded_process& p = r_.processes[i];
      const auto pid = static_cast<std::int32_t>(p.number);
      if (pid == 0) {
        add_track(process_uuid(i), 0, p.command, field::track::merge_never);
      } else {
        add_track(process_uuid(i), 0, {}, 0, [&](pbf_writer& track) {
          pbf_writer process(track, field::track::process);
          process.add_int32(field::process::pid, pid);
          process.add_string(field::process::name, p.command);
        });
      }
    }
    for (std::uint32_t i = 0; i < r_.threads.size(); ++i) {
      if (first_threads_[i] != i) continue;
      const recorded_thread& t = r_.threads[i];
      const auto pid = static_cast<std::int32_t>(r_.processes[t.process].number);
      const std::uint64_t parent = process_uuid(t.process);
      // Of the kernel's threads nobody said whose they are; and one number may have several rings.
      if (pid == 0 || t.number == 0) {
        add_track(thread_uuid(i), parent, fmt::format("{} {}", t.name, t.number),
                  field::track::merge_never);
        continue;
      }
      add_track(thread_uuid(i), parent, {}, 0, [&](pbf_writer& track) {
        pbf_writer thread(track, field::track::thread);
        thread.add_int32(field::thread::pid, pid);
        thread.add_int32(field::thread::tid, static_cast<std::int32_t>(t.number));
        thread.add_string(field::thread::name, t.name);
      });
    }
  }

  void write_rows() {
    std::vector<std::uint32_t> lane_count(s_.rows.size(), 0);
    for (std::uint32_t i = 0; i < s_.fences.size(); ++i) {
      std::uint32_t& count = lane_count[s_.fences[i].row];
      count = std::max(count, lanes_[i] + 1);
    }
    for (std::uint32_t row = 0; row < s_.rows.size(); ++row) {
      const std::uint64_t uuid = uuid_of(kind::row, row);
      add_track(uuid, process_uuid(s_.rows[row].process), s_.rows[row].name,
                field::track::merge_never);
      // Fences that overlap lie in lanes, which are shown as one track.
      for (std::uint32_t lane = 0; lane < lane_count[row]; ++lane) {
        add_track(uuid_of(kind::lane, row, lane), uuid, "fences", field::track::merge_by_name);
      }
    }
    std::vector<bool> has_modules(r_.processes.size(), false);
    for (const story_step& step : s_.steps) {
      const std::uint32_t process = r_.threads[step.thread].process;
      if (has_modules[process]) continue;
      has_modules[process] = true;
      add_track(uuid_of(kind::modules, process), process_uuid(process), "modules",
                field::track::merge_never);
    }
  }

  // --- Flows: each has a number, one end where it begins, and one where it ends ---

  struct ends {
    std::vector<std::uint64_t> from, to;
  };

  void collect_flows() {
    std::uint64_t number = 0;
    waits_.resize(s_.waits.size());
    for (std::uint32_t i = 0; i < s_.waits.size(); ++i) {
      const std::uint32_t fence = s_.waits[i].fence;
      if (!has_signal(fence)) continue;
      waits_[i] = ++number;
      signals_[fence].to.push_back(number);
    }
    for (const story_dependency& d : s_.dependencies) {
      const bool has_run = s_.fences[d.fence].run_by != no_index;
      if (!has_signal(d.on) || (!has_run && !has_signal(d.fence))) continue;
      signals_[d.on].from.push_back(++number);
      (has_run ? runs_ : signals_)[d.fence].to.push_back(number);
    }
  }
  [[nodiscard]] bool has_signal(std::uint32_t fence) const {
    return s_.fences[fence].signaled_ns != 0;
  }

  // --- Events ---

  struct pending_item {
    std::uint64_t time_ns;
    enum what : std::uint8_t {
      fence_end,
      fence_begin,
      wait_end,
      wait_begin,
      signal,
      other,
      step
    } of;
    std::uint32_t index;
  };

  // By time, so that a slice ends before the next one in its lane begins.
  void write_items() {
    std::vector<pending_item> items;
    for (std::uint32_t i = 0; i < s_.fences.size(); ++i) {
      const story_fence& f = s_.fences[i];
      items.push_back({f.made_ns, pending_item::fence_begin, i});
      if (f.signaled_ns == 0) continue;
      items.push_back({f.signaled_ns, pending_item::fence_end, i});
      items.push_back({f.signaled_ns, pending_item::signal, i});
    }
    for (std::uint32_t i = 0; i < s_.waits.size(); ++i) {
      items.push_back({s_.waits[i].begin_ns, pending_item::wait_begin, i});
      if (s_.waits[i].end_ns != 0) items.push_back({s_.waits[i].end_ns, pending_item::wait_end, i});
    }
    for (std::uint32_t i = 0; i < s_.steps.size(); ++i) {
      items.push_back({s_.steps[i].time_ns, pending_item::step, i});
    }
    for (std::uint32_t i = 0; i < r_.events.size(); ++i) {
      if (name_of(r_.events[i].what.kind).empty() || s_.fence_of_event[i] == no_index) continue;
      items.push_back({r_.events[i].what.time_ns, pending_item::other, i});
    }
    std::ranges::sort(items, {}, [this](const pending_item& i) {
      return std::tuple(order_of(i), i.of, i.index);
    });
    for (const pending_item& i : items) write_item(i);
  }

  // A slice without a length begins before it ends; all others that end do so before others begin.
  [[nodiscard]] std::pair<std::uint64_t, int> order_of(const pending_item& i) const {
    switch (i.of) {
      case pending_item::fence_end:
        return {i.time_ns, s_.fences[i.index].made_ns == i.time_ns ? 2 : 0};
      case pending_item::wait_end:
        return {i.time_ns, s_.waits[i.index].begin_ns == i.time_ns ? 3 : 0};
      case pending_item::fence_begin:
        return {i.time_ns, s_.fences[i.index].signaled_ns == i.time_ns ? 1 : 3};
      case pending_item::wait_begin:
        return {i.time_ns, s_.waits[i.index].end_ns == i.time_ns ? 2 : 3};
      default: return {i.time_ns, 4};
    }
  }

  // The other events of a fence, by the kernel's names.
  static std::string_view name_of(event kind) {
    switch (kind) {
      case event::enable_signal: return "dma_fence_enable_signal";
      case event::settled: return "dma_fence_settled";
      case event::retired: return "dma_fence_retired";
      case event::job_queue: return "drm_sched_job_queue";
      case event::job_scheduled: return "drm_sched_job_scheduled";
      case event::job_run: return "drm_sched_job_run";
      case event::job_done: return "drm_sched_job_done";
      case event::depends: return "drm_sched_job_add_dep";
      case event::sync_export: return "sync_file_export";
      case event::sync_import: return "sync_file_import";
      default: return {};
    }
  }
  static std::string_view category_of(event kind) {
    return kind >= event::job_queue && kind <= event::job_done ? "gpu_scheduler" : "dma_fence";
  }

  void write_item(const pending_item& i) {
    using namespace field::track_event;
    switch (i.of) {
      case pending_item::fence_begin: return write_fence(i.index);
      case pending_item::fence_end:
        return add_event({.time_ns = i.time_ns, .track = lane_uuid(i.index), .type = slice_end});
      case pending_item::wait_begin: return write_wait(i.index);
      case pending_item::wait_end:
        return add_event({.time_ns = i.time_ns,
                          .track = thread_uuid(s_.waits[i.index].thread),
                          .type = slice_end});
      case pending_item::signal: return write_signal(i.index);
      case pending_item::step: return write_step(s_.steps[i.index]);
      case pending_item::other: return write_other(i.index);
    }
  }

  void write_fence(std::uint32_t index) {
    const story_fence& f = s_.fences[index];
    const story_row& row = s_.rows[f.row];
    const std::string name =
        row.is_mixed ? fmt::format("{}:{}", f.context, f.seqno) : std::to_string(f.seqno);
    add_event({.time_ns = f.made_ns,
               .track = lane_uuid(index),
               .type = field::track_event::slice_begin,
               .name = name},
              [&](pbf_writer& e, std::string& news) {
                annotate_fence(e, news, f);
                if (f.error != 0) annotate_signed(e, news, "error", f.error);
                if (f.was_made_before) annotate(e, news, "made_before_the_recording", 1);
              });
  }

  void write_wait(std::uint32_t index) {
    const story_wait& w = s_.waits[index];
    add_event({.time_ns = w.begin_ns,
               .track = thread_uuid(w.thread),
               .type = field::track_event::slice_begin,
               .name = "dma_fence_wait"},
              [&](pbf_writer& e, std::string& news) {
                annotate_fence(e, news, s_.fences[w.fence]);
                if (w.error != 0) annotate_signed(e, news, "error", w.error);
                if (waits_[index] != 0) e.add_fixed64(field::track_event::flow_ids, waits_[index]);
              });
  }

  void write_signal(std::uint32_t index) {
    const story_fence& f = s_.fences[index];
    add_event({.time_ns = f.signaled_ns,
               .track = thread_uuid(f.signaled_by),
               .name = "dma_fence_signaled"},
              [&](pbf_writer& e, std::string& news) {
                annotate_fence(e, news, f);
                if (f.error != 0) annotate_signed(e, news, "error", f.error);
                add_flows(e, signals_, index);
              });
  }

  void write_other(std::uint32_t index) {
    const recorded_event& at = r_.events[index];
    const slot& what = at.what;
    const std::uint32_t fence = s_.fence_of_event[index];
    add_event({.time_ns = what.time_ns,
               .track = thread_uuid(at.thread),
               .name = name_of(what.kind),
               .category = category_of(what.kind)},
              [&](pbf_writer& e, std::string& news) {
                if (category_of(what.kind) == "dma_fence") {
                  annotate_fence(e, news, s_.fences[fence]);
                } else {
                  annotate_job(e, news, what, fence);
                }
                const bool is_run =
                    what.kind == event::job_run && what.time_ns == s_.fences[fence].run_ns;
                if (is_run) add_flows(e, runs_, fence);
              });
  }

  void write_step(const story_step& step) {
    const std::string name =
        step.step == 0 ? "module_load" : fmt::format("unload step {}", step.step);
    add_event({.time_ns = step.time_ns,
               .track = uuid_of(kind::modules, r_.threads[step.thread].process),
               .name = name,
               .category = "module"},
              [&](pbf_writer& e, std::string& news) {
                annotate_text(e, news, "driver", step.driver);
                annotate_text(e, news, "path", step.path);
                annotate(e, news, "instance", step.instance);
                if (step.error != 0) annotate_signed(e, news, "error", step.error);
              });
  }

  void annotate_fence(pbf_writer& e, std::string& news, const story_fence& f) {
    const story_row& row = s_.rows[f.row];
    annotate_text(e, news, "driver", row.driver);
    annotate_text(e, news, "timeline", row.timeline);
    annotate(e, news, "context", f.context);
    annotate(e, news, "seqno", f.seqno);
  }

  void annotate_job(pbf_writer& e, std::string& news, const slot& what, std::uint32_t fence) {
    const story_row& row = s_.rows[s_.fences[fence].row];
    annotate_text(e, news, "name", row.timeline);
    annotate_text(e, news, "dev", row.driver);
    annotate(e, news, "fence_context", what.context);
    annotate(e, news, "fence_seqno", what.seqno);
    if (what.kind == event::job_queue) {
      annotate(e, news, "job_count", what.b);
      annotate(e, news, "client_id", what.a);
    } else if (what.kind == event::depends) {
      annotate(e, news, "dependency_context", what.a);
      annotate(e, news, "dependency_seqno", what.b);
    }
    if (what.error != 0) annotate_signed(e, news, "error", what.error);
  }

  template <class Value>
  void annotation(pbf_writer& e, std::string& news, std::string_view name, Value value) {
    pbf_writer one(e, field::track_event::annotations);
    one.add_uint64(field::annotation::name_id, annotation_names_.number_of(name, news));
    value(one);
  }
  void annotate(pbf_writer& e, std::string& news, std::string_view name, std::uint64_t value) {
    annotation(e, news, name,
               [value](pbf_writer& one) { one.add_uint64(field::annotation::number, value); });
  }
  void annotate_signed(pbf_writer& e, std::string& news, std::string_view name,
                       std::int64_t value) {
    annotation(e, news, name, [value](pbf_writer& one) {
      one.add_int64(field::annotation::signed_number, value);
    });
  }
  void annotate_text(pbf_writer& e, std::string& news, std::string_view name,
                     const std::string& value) {
    if (value.empty()) return;
    annotation(e, news, name,
               [&value](pbf_writer& one) { one.add_string(field::annotation::text, value); });
  }

  void add_flows(pbf_writer& e, const std::unordered_map<std::uint32_t, ends>& all,
                 std::uint32_t of) {
    const auto found = all.find(of);
    if (found == all.end()) return;
    for (const std::uint64_t id : found->second.from)
      e.add_fixed64(field::track_event::flow_ids, id);
    for (const std::uint64_t id : found->second.to) {
      e.add_fixed64(field::track_event::terminating_flow_ids, id);
    }
  }

  template <class Fill>
  void add_event(const track_item& item, Fill fill) {
    std::string body, news;
    {
      pbf_writer e(body);
      e.add_int32(field::track_event::type, item.type);
      e.add_uint64(field::track_event::track_uuid, item.track);
      if (item.type != field::track_event::slice_end) {
        const std::uint64_t category = categories_.number_of(item.category, news);
        e.add_uint64(field::track_event::category_ids, category);
        e.add_uint64(field::track_event::name_id, event_names_.number_of(item.name, news));
      }
      fill(e, news);
    }
    add_packet([&](pbf_writer& packet) {
      packet.add_uint64(field::packet::timestamp, item.time_ns);
      packet.add_uint64(field::packet::clock_id, clock_monotonic);
      packet.add_uint64(field::packet::sequence_flags, needs_state);
      if (!news.empty()) packet.add_message(field::packet::interned_data, news);
      packet.add_message(field::packet::track_event, body);
    });
  }
  void add_event(const track_item& item) {
    add_event(item, [](pbf_writer&, std::string&) {});
  }

  const recording& r_;
  const story& s_;
  const std::vector<std::uint32_t> lanes_;
  std::vector<std::uint32_t> first_processes_, first_threads_;
  std::string out_;
  interner categories_{field::interned::categories};
  interner event_names_{field::interned::event_names};
  interner annotation_names_{field::interned::annotation_names};
  std::vector<std::uint64_t> waits_;                 // the flow of each wait; 0: none
  std::unordered_map<std::uint32_t, ends> signals_;  // flows at the signal of a fence
  std::unordered_map<std::uint32_t, ends> runs_;     // flows where its job began to run
};

}  // namespace

std::string to_perfetto(const recording& r, const story& s) { return writer(r, s).write(); }

}  // namespace ufence::tool

// The state of one look from outside. For the sources of this folder.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tools/ufence/look/target.h"
#include "ufence/debug/layout.h"
#include "ufence/debug/process_facts.h"
#include "ufence/debug/snapshot.h"

namespace ufence::tool {

class outside_look {
 public:
  outside_look(const target& at, const target_modules& modules, const debug::layout& where, bool all)
      : at_(at), modules_(modules), where_(where), all_(all) {}
  debug::snapshot run();

 private:
  using address = std::uint64_t;
  static constexpr std::uint32_t no_node = UINT32_MAX;
  static constexpr std::size_t things_max = 10'000'000;  // of one kind: links may lead in a circle
  static constexpr int tries_max = 16;  // of what changes while it is read

  struct sleeper {
    std::uint32_t node;
    address stack;
    std::vector<address> waits_for;
    address lock;  // a word of it; 0: it waits for fences
  };
  // A callback that is none of the library's.
  struct foreign_callback {
    std::uint32_t on;  // the node of its fence
    address at;
    std::string text;
  };
  // A timeline, with its names.
  struct read_line {
    copied object;
    std::uint64_t context;
    std::string driver, name;
    [[nodiscard]] bool is_same(const read_line& other) const;
  };
  struct read_sleeper {
    copied object;
    std::array<std::uint64_t, 8> state;
    [[nodiscard]] bool is_same(const read_sleeper& other) const;
  };
  struct known_line {
    std::uint32_t index;  // of snapshot::timelines
    std::uint64_t value;
    std::uint64_t context, unordered_contexts;
  };

  // outside.cc: what there is
  std::optional<copied> steady(address of, std::size_t size);  // read twice, until both are the same
  template <class Visit>
  bool walk(address first, std::uint32_t next, std::uint32_t previous, std::uint32_t size, Visit visit);
  template <class Found, class Walk>
  std::vector<Found> steady_list(Walk walk_all);
  void find_timelines();
  [[nodiscard]] read_line line_in(const copied& timeline) const;
  void find_sleepers();
  void add_sleeper(const copied& s);
  void wait_for_holder(std::uint32_t n, address lock);
  void add_frames(std::uint32_t n, address thread);
  void find_fences();
  void look_at_span(address memory, std::uint32_t slots, std::uint32_t slot_size);
  void look_at_slot(const copied& slots, std::uint32_t offset);
  void fill_ages();

  // outside_fences.cc: what one fence is
  std::uint32_t node_of(address fence);  // makes it; no_node: there is none, or no room
  void add_edge(std::uint32_t from, std::uint32_t to, std::string_view how = {}, bool is_guess = false);
  debug::node named(const copied& f);
  // Of a fence's timeline, be it one that was made after the walk over all; null: it has none, or the fence has
  // gone meanwhile.
  const known_line* line_of(const copied& f);
  const known_line& add_line(const read_line& line);
  void look_at(std::uint32_t n);
  [[nodiscard]] std::string_view type_of_foreign(const copied& f);
  void look_at_pending(const copied& f, std::uint32_t n);
  void look_at_container(const copied& f, std::uint32_t n);
  void look_at_import(const copied& f, std::uint32_t n);
  void look_at_shared(const copied& f, std::uint32_t n);
  void wait_for_process(std::uint32_t n, std::int64_t id, bool is_gone);
  void look_at_timeline(const copied& f, std::uint32_t n);
  void look_at_backend(const copied& f, std::uint32_t n);
  void look_at_callbacks(const copied& f, std::uint32_t n);
  bool walk_callbacks(const copied& f, std::vector<copied>& found);
  std::string tell_callback(const copied& c, std::uint32_t n);

  // outside_jobs.cc
  void look_at_job(address entity, const copied& f, std::uint32_t n);
  void tell_queued(const copied& entity, const copied& job, address before, bool is_pushed, bool is_first,
                   std::uint32_t n);
  void tell_first(const copied& entity, const copied& job, std::uint32_t n);
  void look_at_scheduled();

  // outside_guess.cc
  void guess();
  void guess_from_callback(const foreign_callback& c);
  void guess_from_stack(const sleeper& s);
  std::vector<std::uint32_t> referred_to_by(address from, std::size_t size, bool follows) const;

  // Of a fence that was copied.
  [[nodiscard]] std::uint32_t state_of(const copied& f) const { return f.get<std::uint32_t>(where_.fence.state); }
  [[nodiscard]] bool has(const copied& f, std::uint8_t kind) const {
    return (f.get<std::uint8_t>(where_.fence.kind) & kind) != 0;
  }
  [[nodiscard]] address owner_of(const copied& f) const {
    return has(f, where_.kind.has_timeline) ? f.word(where_.fence.owner) : 0;
  }
  [[nodiscard]] bool is_pending(const copied& f) const;
  [[nodiscard]] bool is_pending(address fence) const;
  [[nodiscard]] std::uint64_t context_of(const copied& f);
  [[nodiscard]] std::string name_of(address fence);
  [[nodiscard]] bool is_same(const copied& f, const copied& again) const;
  [[nodiscard]] std::string name_text(const copied& from, std::uint32_t offset) const;

  const target& at_;
  const target_modules& modules_;
  const debug::layout& where_;
  const bool all_;
  std::uint32_t generation_ = 0;  // of fork()
  std::int64_t newest_ns_ = 0;    // the latest time that was seen
  debug::snapshot found_;
  std::unordered_map<address, known_line> lines_;
  std::vector<sleeper> sleepers_;
  std::vector<debug::thread_stack> stacks_;  // once a thread waits for a lock
  std::vector<address> fences_;  // of the nodes; 0: no fence
  std::unordered_map<address, std::uint32_t> node_at_;
  std::vector<address> waited_for_;  // fences with callbacks, by the walk over all
  std::vector<foreign_callback> foreign_;
  std::vector<address> entities_;
  std::unordered_map<address, std::vector<std::uint32_t>> wanted_;  // for guesses
};

}  // namespace ufence::tool

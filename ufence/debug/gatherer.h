// The state of one look at this process. Inside the layer only.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "ufence/debug/access.h"
#include "ufence/debug/gather.h"
#include "ufence/debug/modules.h"
#include "ufence/debug/process_facts.h"
#include "ufence/debug/snapshot.h"
#include "ufence/fence/live.h"
#include "ufence/sync/exported.h"

namespace ufence::debug {

class gatherer {
 public:
  explicit gatherer(const gather_options& options) : options_(options) {}
  snapshot run();

 private:
  using access = detail::debug_access;

  // The copy of a sleeping thread's entry.
  struct sleeper {
    detail::sleeps_for what = detail::sleeps_for::signaled;
    std::int64_t since_ns = 0;
    int id = 0;
    const void* stack = nullptr;
    const void* lock = nullptr;  // a word of it: may be gone
    std::size_t waits_for_count = 0;
    std::vector<fence_ref> waits_for = {};  // some of them
    struct frame_copy {
      fence_ref of = {};
      bool is_callback = false;
    };
    std::vector<frame_copy> frames = {};  // innermost first
    std::vector<fence_ref> queue = {};    // it will settle them
  };
  // A callback that is of the program, or of a library that this one does not know.
  struct foreign_callback {
    std::uint32_t on;          // the node of its fence
    const void* address;       // of the callback
    std::string text = {};
  };

  // The copy of a callback.
  struct seen_callback {
    callback_function function = nullptr;
    const void* address = nullptr;
    fence_ref target = {};  // what it belongs to
    ref<access::entity_core> entity = {};
    detail::sync_name file{};
    bool is_export = false;
    int export_fd = -1;
  };

  // gather.cc
  void find_timelines();
  void find_sleepers();
  void find_fences();
  void look_at_slot(fence& slot);
  void add_sleepers();
  void add_sleeper(const sleeper& s);
  void wait_for_holder(std::uint32_t n, const void* lock);
  std::uint32_t node_of(fence& f);  // makes it; UINT32_MAX: no room
  void add_edge(std::uint32_t from, std::uint32_t to, std::string_view how, bool is_guess = false);
  void fill_timelines();

  // look.cc
  void look_at(std::uint32_t n);
  void look_into(fence& f, std::uint32_t n);
  void look_at_issuer(fence& f, std::uint32_t n);
  void look_at_backend(fence& f, std::uint32_t n);
  void look_at_import(fence& f, std::uint32_t n);
  void look_at_shared(fence& f, std::uint32_t n);
  void wait_for_process(std::uint32_t n, int id, bool is_gone);
  void look_at_job(access::entity_core& e, fence& f, std::uint32_t n);
  void tell_queued_job(access::job_look& job, std::uint32_t n);
  void look_at_scheduled();

  // callbacks.cc
  static seen_callback copy_callback(callback& c);
  void look_at_callbacks(fence& f, std::uint32_t n);
  std::string tell_callback(seen_callback& c, std::uint32_t n);

  // guess.cc
  void guess();
  void guess_from_callback(const foreign_callback& c);
  void guess_from_stack(const sleeper& s, std::uint32_t n);
  std::vector<std::uint32_t> referred_to_by(const void* from, std::size_t size, bool follows) const;

  const gather_options options_;
  snapshot found_;
  module_map modules_;
  std::vector<ref<timeline>> timelines_;
  std::unordered_map<const timeline*, std::uint32_t> timeline_at_;
  std::vector<sleeper> sleepers_;
  std::vector<std::uint32_t> sleeper_nodes_;
  std::vector<thread_stack> stacks_;  // once a thread waits for a lock
  std::vector<fence_ref> fences_;  // of the nodes; null: no fence
  std::unordered_map<const fence*, std::uint32_t> node_at_;
  std::vector<foreign_callback> foreign_;
  std::vector<ref<access::entity_core>> entities_;
  std::unordered_map<std::uintptr_t, std::vector<std::uint32_t>> wanted_;  // for guesses: by address
};

}  // namespace ufence::debug

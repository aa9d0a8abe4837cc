// Three hosts, an engine and a network with every fault that a seed asks for, over the real
// link_core: one thread, one virtual clock. A history is repeated by its seed.
//
// The network is worse than the engine's connections: it loses, repeats, delays and reorders single
// messages.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "ufence/net/link_core.h"

namespace ufence::testing {

/// What a history is broken by on purpose, so that the checks are seen to notice.
enum class sabotage : std::uint8_t {
  none,
  values_are_ahead,       // the network adds 1 to a value
  sequences_are_ignored,  // the engine stores whatever comes
  beats_are_forged,       // beats of owners that are dead go on
  silence,                // the engine answers no question and passes no record on
};

class simulation {
 public:
  simulation(std::uint64_t seed, sabotage broken);
  ~simulation();
  simulation(const simulation&) = delete;
  simulation& operator=(const simulation&) = delete;

  /// Runs the history. @return what promise was broken, or nothing
  [[nodiscard]] std::optional<std::string> run();
  /// What happened in it, for the sum over many.
  struct tally {
    std::uint64_t tells = 0, stores = 0, reached = 0, dead = 0, replaced_owners = 0,
                  cut_off_owners = 0, failed = 0, stale = 0;
  };
  [[nodiscard]] const tally& counts() const { return counts_; }

 private:
  static constexpr int host_count = 3;
  static constexpr std::int64_t millisecond = 1'000'000;
  static constexpr std::int64_t lease = 600 * millisecond;

  struct truth {  // what an owner has said to its exporter
    std::uint64_t value = 0;
    int error = 0;
  };
  struct exported {
    std::uint64_t timeline;
    std::shared_ptr<detail::exporter> in_core;
    std::shared_ptr<truth> said;
  };
  struct imported {
    detail::importer* in_core;
    std::uint64_t timeline;
    std::uint64_t value = 0;  // as it was at the last look
    int ended = 0;
  };
  struct host;
  struct event {
    std::int64_t at;
    std::uint64_t order;
    std::function<void()> act;
    bool operator>(const event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  struct kept {
    std::uint64_t sequence;
    std::vector<std::byte> bytes;
  };

  [[nodiscard]] std::uint64_t below(std::uint64_t n) { return random_() % n; }
  [[nodiscard]] bool chance(unsigned percent) { return below(100) < percent; }
  void at(std::int64_t when, std::function<void()> act);
  void run_until(std::int64_t when);
  void broken(const std::string& promise);

  void to_server(host& from, std::function<void()> act);
  void to_host(host& to, std::function<void(host&)> act);
  void send(bool is_cut, std::function<void()> act);
  void pass_on(const std::vector<std::byte>& bytes, std::uint64_t timeline);
  void serve_store(host& from, std::vector<std::byte> bytes, std::uint64_t timeline,
                   std::uint64_t expected, std::uint64_t attempt);
  void serve_question(host& from, std::uint64_t timeline, std::uint64_t attempt);

  void start(host& h);
  void tick(host& h, std::uint64_t incarnation);
  void look(host& h);
  void look_at(imported& one);
  void act();
  void act_on_timelines(host& h, std::uint64_t what);
  void act_as_owner(host& h);
  void act_as_fault(host& h, std::uint64_t what);
  void restart_engine(bool wipe);
  void heal();
  void forge_beats(std::uint64_t owner);
  void check_in_the_end();

  std::mt19937_64 random_;
  const sabotage sabotage_;
  bool is_calm_ = false;
  unsigned loss_ = 0, repeats_ = 0, long_delays_ = 0;  // percent
  std::int64_t now_ = 1'000 * millisecond;
  std::uint64_t order_ = 0;
  std::priority_queue<event, std::vector<event>, std::greater<>> events_;
  std::vector<std::unique_ptr<host>> hosts_;
  bool is_engine_up_ = true;
  std::uint64_t engine_life_ = 0;
  std::map<std::uint64_t, kept> stream_;
  std::uint64_t sequence_ = 0;
  bool was_wiped_ = false;
  std::uint64_t owners_ = 0;
  // By timeline, owner, epoch.
  std::map<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>, std::shared_ptr<truth>> said_;
  std::optional<std::string> broken_;
  tally counts_;
};

}  // namespace ufence::testing

// The objects that decide in run_linear().
#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "lab/engine/linear.h"

namespace ufence::lab {

/// Random executions, from a seed: every other one by priorities that change at a few random points
/// (PCT, Burckhardt et al., ASPLOS 2010), the rest by a coin at each step.
class random_chooser : public chooser {
 public:
  explicit random_chooser(std::uint64_t seed) : random_(seed) {}

  /// Call it before each execution.
  void next_execution();

  unsigned thread(const machine& m, unsigned ready) override;
  std::size_t store(const machine& m, const std::vector<event_id>& options,
                    std::size_t newest_rank) override;
  std::uint64_t number(std::uint64_t n) override { return below(n); }
  bool fails() override;
  void done() override { ++steps_; }

 private:
  std::uint64_t below(std::uint64_t n) noexcept { return random_() % n; }

  std::mt19937_64 random_;
  bool by_priority_ = false;
  std::array<unsigned, max_threads> priority_{};
  std::vector<std::size_t> change_at_;
  std::size_t steps_ = 0;
  std::size_t longest_ = 16;
};

/// All executions with at most so many preemptions and so many reads (or places) that are not the
/// newest; without bounds: all executions, many of them equivalent.
class bounded_chooser : public chooser {
 public:
  static constexpr unsigned unbounded = UINT32_MAX;
  bounded_chooser(unsigned preemptions, unsigned old_reads)
      : preemptions_max_(preemptions), old_reads_max_(old_reads) {}

  /// Goes to the next execution; false: that was all.
  bool next_execution();

  unsigned thread(const machine& m, unsigned ready) override;
  std::size_t store(const machine& m, const std::vector<event_id>& options,
                    std::size_t newest_rank) override;
  std::uint64_t number(std::uint64_t n) override { return decide(static_cast<std::size_t>(n)); }
  bool fails() override;

 private:
  struct decision {
    std::size_t taken;
    std::size_t count;
  };
  std::size_t decide(std::size_t count);

  const unsigned preemptions_max_;
  const unsigned old_reads_max_;
  std::vector<decision> path_;
  std::size_t depth_ = 0;
  bool began_ = false;
  unsigned preemptions_ = 0;
  unsigned old_reads_ = 0;
  unsigned current_ = 0;
};

/// Repeats an execution from its trace.
class replay_chooser : public chooser {
 public:
  explicit replay_chooser(std::string_view trace);

  unsigned thread(const machine& m, unsigned ready) override;
  std::size_t store(const machine& m, const std::vector<event_id>& options,
                    std::size_t newest_rank) override;
  std::uint64_t number(std::uint64_t n) override;
  bool fails() override { return at_ < moves_.size() && moves_[at_].fails; }
  unsigned started(unsigned usual) override {
    const std::uint64_t told = at_ < moves_.size() ? moves_[at_].number : 0;
    return told == 0 ? usual : static_cast<unsigned>(told);
  }
  [[nodiscard]] bool wants_all() const override { return at_ < moves_.size(); }
  unsigned looks(const machine& m) override;
  void done() override { ++at_; }
  [[nodiscard]] bool gives_up() const override { return !fits_; }

 private:
  struct move {
    unsigned thread;
    bool looks;
    std::uint64_t number;
    bool fails;
  };
  std::vector<move> moves_;
  std::size_t at_ = 0;
  bool fits_ = true;
};

}  // namespace ufence::lab

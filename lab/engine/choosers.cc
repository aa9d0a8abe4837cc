#include "lab/engine/choosers.h"

#include <algorithm>
#include <bit>
#include <cctype>

namespace ufence::lab {

// --- Random ---

void random_chooser::next_execution() {
  longest_ = std::max(longest_, steps_);
  steps_ = 0;
  by_priority_ = !by_priority_;
  for (unsigned t = 0; t < max_threads; ++t) priority_[t] = 1000 + t;
  std::ranges::shuffle(priority_, random_);
  change_at_.clear();
  for (std::uint64_t n = below(4); n > 0; --n) change_at_.push_back(below(longest_));
}

unsigned random_chooser::thread(const machine& m, unsigned ready) {
  if (std::has_single_bit(ready)) return static_cast<unsigned>(std::countr_zero(ready));
  if (!by_priority_) {
    auto n = below(static_cast<std::uint64_t>(std::popcount(ready)));
    for (; n > 0; --n) ready &= ready - 1;
    return static_cast<unsigned>(std::countr_zero(ready));
  }
  const auto highest = [&] {
    unsigned best = max_threads;
    for (unsigned t = 0; t < max_threads; ++t) {
      if ((ready >> t & 1) != 0 && (best == max_threads || priority_[t] > priority_[best]))
        best = t;
    }
    return best;
  };
  unsigned t = highest();
  // One that spins, or at a change point, falls behind all others.
  if (std::ranges::find(change_at_, steps_) != change_at_.end() ||
      m.pending(t)->what == action::pause) {
    std::erase(change_at_, steps_);
    for (unsigned& p : priority_) ++p;
    priority_[t] = 0;
    t = highest();
  }
  return t;
}

std::size_t random_chooser::store(const machine&, const std::vector<event_id>& options,
                                  std::size_t) {
  constexpr std::uint64_t one_in = 3;  // how often an older store is considered
  return below(one_in) == 0 ? below(options.size()) : 0;
}

bool random_chooser::fails() {
  constexpr std::uint64_t one_in = 8;
  return below(one_in) == 0;
}

// --- Bounded ---

bool bounded_chooser::next_execution() {
  if (began_) {
    while (!path_.empty() && path_.back().taken + 1 == path_.back().count) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().taken;
  }
  began_ = true;
  depth_ = 0;
  preemptions_ = 0;
  old_reads_ = 0;
  current_ = 0;
  return true;
}

std::size_t bounded_chooser::decide(std::size_t count) {
  if (count <= 1) return 0;
  if (depth_ == path_.size()) path_.push_back({0, count});
  return path_[depth_++].taken;
}

unsigned bounded_chooser::thread(const machine&, unsigned ready) {
  const bool may_stay = (ready >> current_ & 1) != 0;
  if (may_stay && preemptions_ >= preemptions_max_) return current_;
  // The first option is to stay; otherwise the next thread, cyclically.
  std::size_t n = decide(static_cast<std::size_t>(std::popcount(ready)));
  if (may_stay && n != 0) ++preemptions_;
  for (unsigned t = current_;; t = (t + 1) % max_threads) {
    if ((ready >> t & 1) == 0) continue;
    if (n == 0) return current_ = t;
    --n;
  }
}

std::size_t bounded_chooser::store(const machine&, const std::vector<event_id>& options,
                                   std::size_t) {
  if (old_reads_ >= old_reads_max_) return 0;
  const std::size_t taken = decide(options.size());
  if (taken != 0) ++old_reads_;
  return taken;
}

bool bounded_chooser::fails() {
  if (old_reads_ >= old_reads_max_ || decide(2) == 0) return false;
  ++old_reads_;
  return true;
}

// --- Replay ---

replay_chooser::replay_chooser(std::string_view trace) {
  for (std::size_t i = 0; i < trace.size();) {
    const bool looks = std::isupper(static_cast<unsigned char>(trace[i])) != 0;
    move next{static_cast<unsigned>(trace[i] - (looks ? 'A' : 'a')), looks, 0, false};
    for (++i; i < trace.size() && std::isdigit(static_cast<unsigned char>(trace[i])) != 0; ++i) {
      next.number = next.number * 10 + static_cast<std::uint64_t>(trace[i] - '0');
    }
    if (i < trace.size() && trace[i] == '!') {
      next.fails = true;
      ++i;
    }
    if (next.thread >= max_threads) fits_ = false;
    moves_.push_back(next);
  }
}

unsigned replay_chooser::looks(const machine& m) {
  if (at_ >= moves_.size() || !moves_[at_].looks) return max_threads;
  const unsigned t = moves_[at_].thread;
  const operation* op = t < m.thread_count() ? m.pending(t) : nullptr;
  if (op == nullptr || op->waits == waiting::no) {
    fits_ = false;
    return max_threads;
  }
  ++at_;
  return t;
}

unsigned replay_chooser::thread(const machine&, unsigned ready) {
  // Behind the end of the trace of a failure: a thread that only has to go on to find it.
  const unsigned t =
      at_ < moves_.size() ? moves_[at_].thread : static_cast<unsigned>(std::countr_zero(ready));
  if (t >= max_threads || (ready >> t & 1) == 0) {
    fits_ = false;
    return static_cast<unsigned>(std::countr_zero(ready));
  }
  return t;
}

std::size_t replay_chooser::store(const machine& m, const std::vector<event_id>& options,
                                  std::size_t newest_rank) {
  const std::uint64_t wanted = at_ < moves_.size() ? moves_[at_].number : 0;
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (newest_rank - m.events().rank_of(options[i]) == wanted) return i;
  }
  fits_ = false;
  return 0;
}

std::uint64_t replay_chooser::number(std::uint64_t n) {
  const std::uint64_t wanted = at_ < moves_.size() ? moves_[at_].number : 0;
  if (wanted < n) return wanted;
  fits_ = false;
  return 0;
}

}  // namespace ufence::lab

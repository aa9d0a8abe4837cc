#include "ufence/sched/sched_test_support.h"

namespace ufence::sched::testing {

const scheduler_ops ring::ops_{
    .run = &ring::run, .timed_out = &ring::timed_out, .cancel = &ring::cancel, .free = &ring::free};
const scheduler_ops ring::preparing_ops_{.run = &ring::run,
                                         .prepare = &ring::prepare,
                                         .timed_out = &ring::timed_out,
                                         .cancel = &ring::cancel,
                                         .free = &ring::free};

// The clock of the ring is far ahead of the real one, so that this does not matter.
ring::ring(manner how) : how_(how), clock_ns_(now_ns() + INT64_C(1) * 1'000'000'000'000) {}
ring::~ring() { EXPECT_TRUE(pending_.empty()); }

scheduler_options ring::options() const {
  return {.ops = on_prepare ? &preparing_ops_ : &ops_,
          .name = "ring",
          .device_name = "test device",
          .module_name = "test module"};
}

fence_ref ring::push(entity& e, int id, std::uint32_t credits) {
  ring_job* const j = make(id, credits);
  result<armed_job> armed = e.arm(*j);
  if (!armed) {
    delete j;
    return nullptr;
  }
  return armed->finished();
}

std::size_t ring::advance(std::size_t n, int error) {
  std::size_t done = 0;
  for (; done < n; ++done) {
    signaler right;
    {
      const std::scoped_lock guard(lock_);
      if (pending_.empty()) break;
      right = std::move(pending_.front().signal);
      pending_.pop_front();
    }
    right.signal(error);
  }
  return done;
}

std::size_t ring::pending() {
  const std::scoped_lock guard(lock_);
  return pending_.size();
}
std::vector<int> ring::ran() {
  const std::scoped_lock guard(lock_);
  return ran_;
}

result<fence_ref> ring::run(job& j) noexcept {
  auto& mine = static_cast<ring_job&>(j);
  ring& self = mine.of;
  if (fence_ref until = mine.not_before ? mine.not_before() : nullptr) {
    mine.put_back(std::move(until));
    return failure(EAGAIN);
  }
  {
    const std::scoped_lock guard(self.lock_);
    self.ran_.push_back(mine.id);
  }
  if (mine.on_run) mine.on_run(mine);
  if (mine.result != 0) return failure(-mine.result);
  if (self.how_ == manner::at_once || mine.is_nothing) return nullptr;
  const std::scoped_lock guard(self.lock_);
  if (self.how_ == manner::by_clock) {
    self.clock_ns_ += mine.length_ns;
    return fence::create_signaled(self.clock_ns_);
  }
  new_fence made = fence::create(self.context_, ++self.seqno_).value();
  self.pending_.push_back({&mine, self.seqno_, made.fence, std::move(made.signal)});
  return std::move(made.fence);
}

fence_ref ring::prepare(job& j) noexcept {
  auto& mine = static_cast<ring_job&>(j);
  ++mine.of.prepares;
  return mine.of.on_prepare(mine);
}

timeout_verdict ring::timed_out(job& j) noexcept {
  auto& mine = static_cast<ring_job&>(j);
  ++mine.of.timeouts;
  return mine.of.on_timeout ? mine.of.on_timeout(mine) : timeout_verdict::reset;
}

void ring::cancel(job& j) noexcept {
  auto& mine = static_cast<ring_job&>(j);
  ring& self = mine.of;
  ++self.cancels;
  if (self.on_cancel) return self.on_cancel(mine);
  signaler right;
  {
    const std::scoped_lock guard(self.lock_);
    for (auto at = self.pending_.begin(); at != self.pending_.end(); ++at) {
      if (at->of != &mine) continue;
      right = std::move(at->signal);
      self.pending_.erase(at);
      break;
    }
  }
  if (right) right.signal(-ECANCELED);
}

void ring::free(job& j) noexcept {
  auto& mine = static_cast<ring_job&>(j);
  EXPECT_TRUE(mine.scheduled()->is_signaled());
  EXPECT_TRUE(mine.finished()->is_signaled());
  ring& self = mine.of;
  ++self.freed_;
  const std::unique_ptr<ring_job> owned(&mine);
  if (mine.on_freed) mine.on_freed(mine);
}

reports::reports() { EXPECT_FALSE(set_report_handler(&reports::note, this)); }
reports::~reports() { EXPECT_FALSE(set_report_handler(nullptr, nullptr)); }
void reports::note(const report& what, void* self) noexcept {
  auto& mine = *static_cast<reports*>(self);
  const std::scoped_lock guard(mine.lock_);
  mine.all_.emplace_back(what.kind, std::string(what.text));
}
std::vector<std::string> reports::of(report_kind kind) {
  const std::scoped_lock guard(lock_);
  std::vector<std::string> texts;
  for (const auto& [k, text] : all_) {
    if (k == kind) texts.push_back(text);
  }
  return texts;
}

}  // namespace ufence::sched::testing

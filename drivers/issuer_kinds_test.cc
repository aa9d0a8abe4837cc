// What each kind of issuer does: ring, evict, tlb, userq, display, sw.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "drivers/display/display.h"
#include "drivers/evict/evict.h"
#include "drivers/ring/ring.h"
#include "drivers/sw/sw.h"
#include "drivers/testing/driver_test.h"
#include "drivers/tlb/tlb.h"
#include "drivers/userq/userq.h"
#include "ufence/base/fd.h"
#include "ufence/fence/wait.h"

namespace ufence::drivers {
namespace {

template <class Query, class Counters>
Counters counters_of(const device_ref& d, std::uint32_t opcode) {
  Counters c{};
  const result<fence_ref> f = d->submit({.opcode = opcode, .args = bytes_of(Query{&c}), .in_fences = {}});
  EXPECT_TRUE(f.has_value());
  EXPECT_FALSE((*f)->wait(patience()));
  EXPECT_EQ((*f)->error(), 0);
  return c;
}

// --- ring ---

class ring : public driver_test {
 protected:
  fence_ref copy(std::uint32_t flags = 0) {
    to_.emplace_back(from_.size());
    return give(d, UFENCE_RING_COPY,
                ufence_ring_copy{to_.back().data(), from_.data(), from_.size(), flags, 0});
  }
  ufence_ring_counters counters() const {
    return counters_of<ufence_ring_query, ufence_ring_counters>(d, UFENCE_RING_QUERY);
  }
  device_ref d = load("ring");
  std::vector<char> from_ = std::vector<char>(1000, 'x');
  std::vector<std::vector<char>> to_;
};

TEST_F(ring, copies_more_jobs_than_it_has_slots) {
  std::vector<fence_ref> all;
  for (int i = 0; i < 500; ++i) all.push_back(copy());
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(result_of(all[i]), 0);
    EXPECT_EQ(to_[i], from_);
  }
  EXPECT_EQ(counters().copies, 500U);
  EXPECT_EQ(give(d, UFENCE_RING_COPY, ufence_ring_copy{nullptr, nullptr, 1, 0, 0})->error(), -EINVAL);
}

TEST_F(ring, finds_a_completion_whose_interrupt_was_lost) {
  const fence_ref f = copy(UFENCE_RING_LOSE_INTERRUPT);
  // A callback does not look at the word.
  std::atomic<bool> ran = false;
  struct noting : callback {
    explicit noting(std::atomic<bool>& r) : callback(&note), ran(r) {}
    static void note(callback& self, fence&) noexcept { static_cast<noting&>(self).ran = true; }
    std::atomic<bool>& ran;
  } node(ran);
  const bool is_added = !f->add_callback(node);
  while (is_added && !ran) std::this_thread::yield();
  EXPECT_EQ(result_of(f), 0);
  EXPECT_EQ(counters().interrupts, 0U);
}

TEST_F(ring, a_reset_ends_the_job_that_hangs_and_goes_on_behind_it) {
  const fence_ref before = copy(), hung = copy(UFENCE_RING_HANG), after = copy();
  EXPECT_EQ(result_of(before), 0);
  EXPECT_EQ(result_of(hung), -ETIMEDOUT);
  EXPECT_EQ(result_of(after), 0);
  EXPECT_EQ(counters().resets, 1U);
  EXPECT_NE(to_[1], from_);
  EXPECT_EQ(to_[2], from_);
}

// --- evict ---

class evict : public driver_test {
 protected:
  fence_ref make_resident(std::uint64_t id = 1) {
    return give(d, UFENCE_EVICT_RESIDENT, ufence_evict_buffer{id, bytes_.data(), bytes_.size()});
  }
  fence_ref add(std::uint64_t n, std::uint64_t id = 1) {
    return give(d, UFENCE_EVICT_WORK, ufence_evict_work{id, n});
  }
  ufence_evict_counters counters() const {
    return counters_of<ufence_evict_query, ufence_evict_counters>(d, UFENCE_EVICT_QUERY);
  }
  device_ref d = load("evict");
  std::vector<std::uint8_t> bytes_ = std::vector<std::uint8_t>(100, 7);
};

TEST_F(evict, a_waiter_has_the_buffer_evicted_and_the_next_fence_brings_it_back) {
  const fence_ref resident = make_resident();
  EXPECT_EQ(result_of(add(3)), 0);
  EXPECT_EQ(resident->status(), 0);
  EXPECT_EQ(counters().evictions, 0U) << "nobody asked";
  EXPECT_EQ(result_of(resident), 0);
  EXPECT_THAT(bytes_, testing::Each(0));
  const fence_ref waiting = add(1);
  EXPECT_EQ(waiting->status(), 0) << "there is nothing to work on";
  const fence_ref again = make_resident();
  EXPECT_EQ(result_of(waiting), 0);
  EXPECT_THAT(bytes_, testing::Each(11));
  const ufence_evict_counters c = counters();
  EXPECT_EQ(c.asked, 1U);
  EXPECT_EQ(c.evictions, 1U);
  EXPECT_EQ(c.restores, 1U);
  EXPECT_EQ(c.works, 2U);
  unload(d, unload_policy::cancel);
  EXPECT_EQ(again->status(), -ECANCELED);
}

TEST_F(evict, waits_for_the_user_queue_first) {
  const fence_ref resident = make_resident();
  std::vector<fence_ref> works;
  for (int i = 0; i < 50; ++i) works.push_back(add(1));
  resident->enable_signaling();
  EXPECT_EQ(result_of(resident), 0);
  for (const fence_ref& f : works) EXPECT_EQ(f->status(), 1);
  EXPECT_EQ(counters().works, 50U);
}

TEST_F(evict, a_detach_signals_at_once_and_leaves_the_bytes) {
  const fence_ref resident = make_resident();
  EXPECT_EQ(give(d, UFENCE_EVICT_RESIDENT, ufence_evict_buffer{1, bytes_.data(), 100})->error(), -EEXIST);
  EXPECT_EQ(run(d, UFENCE_EVICT_DETACH, ufence_evict_work{1, 0}), 0);
  EXPECT_EQ(resident->status(), 1);
  EXPECT_THAT(bytes_, testing::Each(7));
  EXPECT_EQ(run(d, UFENCE_EVICT_DETACH, ufence_evict_work{2, 0}), -ENOENT);
  EXPECT_EQ(counters().detached, 1U);
}

// --- tlb ---

class tlb : public driver_test {
 protected:
  std::uint64_t translate(std::uint64_t page) const {
    std::uint64_t address = 0;
    EXPECT_EQ(run(d, UFENCE_TLB_TRANSLATE, ufence_tlb_translate{page, &address}), 0);
    return address;
  }
  device_ref d = load("tlb");
  std::array<std::uint64_t, 1000> table_{};
};

TEST_F(tlb, forgets_what_is_flushed_and_nothing_else) {
  std::iota(table_.begin(), table_.end(), 5000);
  ASSERT_EQ(run(d, UFENCE_TLB_TABLE, ufence_tlb_table{table_.data(), table_.size()}), 0);
  EXPECT_EQ(translate(3), 5003U);
  EXPECT_EQ(translate(4), 5004U);
  table_[3] = table_[4] = 1;
  EXPECT_EQ(translate(3), 5003U) << "cached";
  EXPECT_EQ(run(d, UFENCE_TLB_FLUSH, ufence_tlb_flush{3, 1, 0, 0}), 0);
  EXPECT_EQ(translate(3), 1U);
  EXPECT_EQ(translate(4), 5004U);
  EXPECT_EQ(run(d, UFENCE_TLB_FLUSH, ufence_tlb_flush{0, 1000, -EIO, 0}), -EIO);
  EXPECT_EQ(translate(4), 1U);
  std::uint64_t none = 0;
  EXPECT_EQ(run(d, UFENCE_TLB_TRANSLATE, ufence_tlb_translate{1000, &none}), -ENXIO);
}

TEST_F(tlb, comes_after_its_in_fences_and_is_done_at_once_without_memory) {
  new_fence before = fence::create(fence::allocate_contexts(1), 1).value();
  const std::array<fence_ref, 1> in{before.fence};
  const fence_ref f = give(d, UFENCE_TLB_FLUSH, ufence_tlb_flush{0, 1, 0, 0}, in);
  const fence_ref other = give(d, UFENCE_TLB_FLUSH, ufence_tlb_flush{0, 1, 0, 0});
  EXPECT_EQ(result_of(other), 0);
  EXPECT_EQ(f->status(), 0) << "in any order";
  before.signal.signal();
  EXPECT_EQ(result_of(f), 0);
  EXPECT_EQ(give(d, UFENCE_TLB_FLUSH, ufence_tlb_flush{0, 1, 0, UFENCE_TLB_NO_MEMORY})->status(), 1);
}

// --- userq ---

class userq : public driver_test {
 protected:
  void create(std::int64_t timeout_ns = INT64_MAX, int pidfd = -1) const {
    EXPECT_EQ(run(d, UFENCE_USERQ_CREATE, ufence_userq_create{1, page_.get(), pidfd, timeout_ns}), 0);
  }
  fence_ref emit() const { return give(d, UFENCE_USERQ_FENCE, ufence_userq_queue{1}); }
  void write(std::uint64_t number) const {
    EXPECT_EQ(pwrite(page_.get(), &number, sizeof number, 0), ssize_t{sizeof number});
  }
  ufence_userq_state state() const {
    ufence_userq_state s{};
    EXPECT_EQ(run(d, UFENCE_USERQ_QUERY, ufence_userq_query{1, &s}), 0);
    return s;
  }
  device_ref d = load("userq");
  unique_fd page_{memfd_create("queue", MFD_CLOEXEC)};
};

TEST_F(userq, signals_what_the_number_has_passed_and_believes_no_lie) {
  create();
  write(0);
  const fence_ref one = emit(), two = emit(), three = emit();
  write(2);
  EXPECT_EQ(result_of(two), 0);
  EXPECT_EQ(result_of(one), 0);
  EXPECT_EQ(three->status(), 0);
  write(4);  // was not emitted
  while (state().lies == 0) std::this_thread::yield();
  EXPECT_EQ(three->status(), 0);
  write(1);  // goes back
  for (const std::uint64_t seen = state().lies; state().lies < seen + 2;) std::this_thread::yield();
  EXPECT_EQ(state().read, 2U);
  write(3);
  EXPECT_TRUE(three->poll() || result_of(three) == 0);
  EXPECT_EQ(three->status(), 1);
}

TEST_F(userq, ends_what_is_pending_when_the_queue_is_destroyed) {
  create();
  const fence_ref one = emit(), two = emit();
  write(1);
  EXPECT_EQ(run(d, UFENCE_USERQ_DESTROY, ufence_userq_queue{1}), 0);
  EXPECT_EQ(one->status(), 1) << "it was done";
  EXPECT_EQ(two->status(), -ECANCELED);
  EXPECT_EQ(run(d, UFENCE_USERQ_FENCE, ufence_userq_queue{1}), -ENOENT);
  EXPECT_EQ(run(d, UFENCE_USERQ_CREATE, ufence_userq_create{1, -1, -1, 1}), -EBADF);
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const unique_fd in(ends[0]), out(ends[1]);
  EXPECT_EQ(run(d, UFENCE_USERQ_CREATE, ufence_userq_create{1, in.get(), -1, 1}), -EINVAL) << "no memory";
}

TEST_F(userq, a_queue_that_hangs_ends_by_its_timeout) {
  create(20'000'000);
  const fence_ref f = emit();
  EXPECT_EQ(result_of(f), -ETIMEDOUT);
  EXPECT_EQ(state().hangs, 1U);
  EXPECT_EQ(ftruncate(page_.get(), 0), 0);
  EXPECT_EQ(result_of(emit()), -ETIMEDOUT) << "there is no page to read";
}

TEST_F(userq, what_a_process_did_before_it_died_counts) {
  write(0);
  int go[2];
  ASSERT_EQ(pipe2(go, O_CLOEXEC), 0);
  const unique_fd wait_end(go[0]);
  unique_fd go_end(go[1]);
  const pid_t child = fork();
  if (child == 0) {
    char byte = 0;
    const std::uint64_t one = 1;
    // Its own work: one number, when it is told to, then it dies.
    close(go[1]);
    if (read(go[0], &byte, 1) == 1 && pwrite(page_.get(), &one, sizeof one, 0) < 0) _exit(1);
    _exit(0);
  }
  ASSERT_GT(child, 0);
  const unique_fd process(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  ASSERT_GE(process.get(), 0);
  create(INT64_MAX, process.get());
  const fence_ref done = emit(), lost = emit();
  EXPECT_EQ(::write(go_end.get(), "x", 1), 1);
  EXPECT_EQ(result_of(done), 0);
  EXPECT_EQ(result_of(lost), -EOWNERDEAD);
  EXPECT_EQ(waitpid(child, nullptr, 0), child);
}

// --- display ---

TEST_F(driver_test, display_shows_the_last_flip_of_a_frame_and_signals_all) {
  const device_ref d = load("display");
  const std::vector<std::uint32_t> pixels(100, 1);
  std::uint64_t sum = 0xcbf29ce484222325;
  for (const std::uint32_t p : pixels) sum = (sum ^ p) * 0x100000001b3;
  const auto flip = [&](std::uint64_t* checksum) {
    return give(d, UFENCE_DISPLAY_FLIP, ufence_display_flip{pixels.data(), pixels.size(), checksum});
  };
  std::uint64_t checksums[20] = {};
  std::vector<fence_ref> flips;
  for (std::uint64_t& c : checksums) flips.push_back(flip(&c));
  flips.back()->set_deadline(now_ns());
  for (const fence_ref& f : flips) EXPECT_EQ(result_of(f), 0);
  EXPECT_EQ(checksums[19], sum);
  const auto c = counters_of<ufence_display_query, ufence_display_counters>(d, UFENCE_DISPLAY_QUERY);
  EXPECT_EQ(c.flips, 20U);
  EXPECT_GE(c.vblanks, c.scanned);
  EXPECT_GE(c.scanned, 1U);
  EXPECT_GE(c.deadlines, 1U);
  EXPECT_GE(c.missed, 1U);
}

// --- sw ---

class sw : public driver_test {
 protected:
  fence_ref point(std::uint64_t value) const {
    return give(d, UFENCE_SW_POINT, ufence_sw_point{9, value});
  }
  int advance(std::uint64_t by) const { return run(d, UFENCE_SW_ADVANCE, ufence_sw_point{9, by}); }
  device_ref d = load("sw");
};

TEST_F(sw, a_point_is_signaled_when_the_value_has_reached_it) {
  const fence_ref three = point(3), one = point(1), two = point(2), other = give(
      d, UFENCE_SW_POINT, ufence_sw_point{8, 1});
  three->set_deadline(INT64_C(500));
  ufence_sw_state s{};
  EXPECT_EQ(run(d, UFENCE_SW_QUERY, ufence_sw_query{9, &s}), 0);
  EXPECT_EQ(s.pending, 3U);
  EXPECT_EQ(s.deadline_ns, 500);
  EXPECT_EQ(advance(2), 0);
  EXPECT_EQ(one->status(), 1);
  EXPECT_EQ(two->status(), 1);
  EXPECT_EQ(three->status(), 0);
  EXPECT_EQ(other->status(), 0);
  EXPECT_EQ(point(2)->status(), 1);
  EXPECT_EQ(advance(UINT64_MAX), -EOVERFLOW);
  EXPECT_EQ(run(d, UFENCE_SW_CLOSE, ufence_sw_point{9, 0}), 0);
  EXPECT_EQ(three->status(), -ENOENT);
  unload(d, unload_policy::cancel);
  EXPECT_EQ(other->status(), -ECANCELED);
}

}  // namespace
}  // namespace ufence::drivers

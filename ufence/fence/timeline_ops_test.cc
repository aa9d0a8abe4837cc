// Timelines of devices: the word they write, the interrupt that request_notify() enables,
// deadlines, one retire.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

using device_word = ufence::atomic<std::uint32_t>;

timeline_issuer make_device(scripted_backend* data, const device_word* word,
                            std::uint64_t initial = 0) {
  return make_timeline({.driver_name = "device",
                        .timeline_name = "ring",
                        .initial_seqno = initial,
                        .data = data,
                        .device_word = word});
}

}  // namespace

TEST(extend_seqno, follows_the_word_around_its_wrap) {
  constexpr std::uint64_t high = std::uint64_t{5} << 32;
  static_assert(extend_seqno(7, 7) == 7, "not later");
  static_assert(extend_seqno(8, 7) == 8);
  static_assert(extend_seqno(6, 7) == 7, "older: stands for the reference");
  static_assert(extend_seqno(8, high + 7) == high + 8);
  static_assert(extend_seqno(0, high + 0xFFFF'FFFF) == high + 0x1'0000'0000);
  static_assert(extend_seqno(9, high + 0xFFFF'FFF0) == high + 0x1'0000'0009);
  static_assert(extend_seqno(0xFFFF'FFFF, high) == high, "one before");
  static_assert(extend_seqno(0x7FFF'FFFF, high) == high + 0x7FFF'FFFF, "as far as it goes");
  static_assert(extend_seqno(0x8000'0000, high) == high, "too far is before");
  static_assert(extend_seqno(0x7FFF'FFFE, high + 0xFFFF'FFFF) == high + 0x1'7FFF'FFFE);
  static_assert(extend_seqno(0x7FFF'FFFF, high + 0xFFFF'FFFF) == high + 0xFFFF'FFFF);
}

TEST(is_later, wraps_for_device_words_only) {
  static_assert(is_later(std::uint32_t{0}, std::uint32_t{0xFFFF'FFFF}));
  static_assert(!is_later(std::uint32_t{0xFFFF'FFFF}, std::uint32_t{0}));
  static_assert(!is_later(std::uint32_t{3}, std::uint32_t{3}));
  static_assert(is_later(UINT64_MAX, std::uint64_t{0}));
  static_assert(!is_later(std::uint64_t{0}, UINT64_MAX));
}

TEST(device_word, completes_when_it_is_looked_at) {
  device_word word{0};
  timeline_issuer issuer = make_device(nullptr, &word);
  const fence_ref first = issuer.emit().value();
  const fence_ref second = issuer.emit().value();
  scripted_callback node;
  ASSERT_EQ(first->add_callback(node), no_error);
  EXPECT_EQ(issuer.notify(), no_error);
  EXPECT_EQ(node.runs(), 0);
  word.store(1, mo::release);
  EXPECT_FALSE(first->is_signaled()) << "nobody was notified";
  EXPECT_EQ(issuer.notify(), no_error);
  EXPECT_EQ(node.runs(), 1);
  EXPECT_EQ(first->status(), 1);
  EXPECT_EQ(second->status(), 0);
  word.store(2, mo::release);
  EXPECT_TRUE(second->poll()) << "poll() looks too";
  EXPECT_EQ(issuer.line()->completed(), 2U);
}

TEST(device_word, of_32_bits_wraps_under_64_bit_seqnos) {
  constexpr std::uint64_t initial = (std::uint64_t{7} << 32) - 3;
  device_word word{static_cast<std::uint32_t>(initial)};
  timeline_issuer issuer = make_device(nullptr, &word, initial);
  std::vector<fence_ref> fences;
  for (int i = 0; i < 6; ++i) fences.push_back(issuer.emit().value());
  for (const fence_ref& f : fences) {
    EXPECT_FALSE(f->is_signaled());
    word.store(static_cast<std::uint32_t>(f->seqno()), mo::release);
    EXPECT_EQ(issuer.notify(), no_error);
    EXPECT_EQ(f->status(), 1) << f->seqno();
    EXPECT_EQ(issuer.line()->completed(), f->seqno());
  }
}

TEST(device_word, that_goes_back_changes_nothing) {
  device_word word{0};
  timeline_issuer issuer = make_device(nullptr, &word);
  for (int i = 0; i < 4; ++i) static_cast<void>(issuer.emit());
  word.store(3, mo::release);
  EXPECT_EQ(issuer.notify(), no_error);
  word.store(1, mo::release);
  EXPECT_EQ(issuer.notify(), no_error);
  EXPECT_EQ(issuer.line()->completed(), 3U);
  issuer.signal_up_to(4);
}

TEST(device_word, beyond_what_was_emitted_is_reported_and_signals_nothing) {
  kept_reports reports;
  device_word word{0};
  timeline_issuer issuer = make_device(nullptr, &word);
  const fence_ref f = issuer.emit().value();
  word.store(2, mo::release);
  EXPECT_EQ(issuer.notify(), errno_code(EPROTO));
  EXPECT_EQ(f->status(), 0);
  EXPECT_EQ(issuer.line()->completed(), 0U);
  ASSERT_EQ(reports.count(report_kind::bad_device_word), 1);
  EXPECT_EQ(reports.all().front().context, issuer.line()->context());
  EXPECT_EQ(reports.all().front().driver_name, "device");
  word.store(1, mo::release);
  EXPECT_EQ(issuer.notify(), no_error);
  EXPECT_EQ(f->status(), 1);
}

TEST(device_word, is_not_read_after_the_timeline_failed) {
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(page, MAP_FAILED);
  auto* word = ::new (page) device_word{0};
  timeline_issuer issuer = make_device(nullptr, word);
  const fence_ref f = issuer.emit().value();
  issuer.fail(-EIO);
  word->store(1, mo::release);
  EXPECT_EQ(issuer.notify(), no_error);
  ASSERT_EQ(::munmap(page, 4096), 0);
  EXPECT_EQ(issuer.notify(), no_error);
  EXPECT_TRUE(f->poll());
  EXPECT_EQ(issuer.emit().value()->wait(), no_error);
  EXPECT_EQ(f->status(), -EIO);
}

TEST(device_word, notify_needs_one) {
  timeline_issuer issuer = make_timeline();
  EXPECT_EQ(issuer.notify(), errno_code(EINVAL));
}

TEST(device_word, decides_now_and_settles_later) {
  device_word word{0};
  timeline_issuer issuer = make_device(nullptr, &word);
  const fence_ref f = issuer.emit().value();
  scripted_callback node;
  ASSERT_EQ(f->add_callback(node), no_error);
  word.store(1, mo::release);
  {
    settlement later;
    EXPECT_EQ(issuer.decide_notify(later), no_error);
    EXPECT_TRUE(f->is_signaled());
    EXPECT_EQ(node.runs(), 0);
  }
  EXPECT_EQ(node.runs(), 1);
}

TEST(timeline_ops, request_notify_is_called_once_for_each_new_minimum) {
  scripted_backend data;
  std::vector<std::uint64_t> told;
  data.on_request_notify = [&](std::uint64_t seqno) { told.push_back(seqno); };
  timeline_issuer issuer = make_device(&data, nullptr);
  std::vector<fence_ref> fences;
  for (int i = 0; i < 9; ++i) fences.push_back(issuer.emit().value());
  const auto await = [&](std::uint64_t seqno) { fences[seqno - 1]->enable_signaling(); };
  EXPECT_TRUE(told.empty()) << "nobody waits";
  await(5);
  await(5);
  EXPECT_EQ(told, (std::vector<std::uint64_t>{5}));
  await(7);
  EXPECT_EQ(told.size(), 1U) << "later than the minimum";
  await(3);
  await(4);
  EXPECT_EQ(told, (std::vector<std::uint64_t>{5, 3}));
  issuer.signal_up_to(9);
  EXPECT_EQ(told, (std::vector<std::uint64_t>{5, 3}));
  await(1);
  EXPECT_EQ(told.size(), 2U) << "completed";
}

TEST(timeline_ops, request_notify_is_told_the_next_minimum_when_the_first_completes) {
  scripted_backend data;
  std::vector<std::uint64_t> told;
  data.on_request_notify = [&](std::uint64_t seqno) { told.push_back(seqno); };
  timeline_issuer issuer = make_device(&data, nullptr);
  std::vector<fence_ref> fences;
  for (int i = 0; i < 9; ++i) fences.push_back(issuer.emit().value());
  for (const std::size_t i : {1U, 3U, 5U}) fences[i]->enable_signaling();
  EXPECT_EQ(told, (std::vector<std::uint64_t>{2}));
  issuer.signal_up_to(2);
  EXPECT_EQ(told, (std::vector<std::uint64_t>{2, 4}));
  {
    settlement later;
    issuer.decide_up_to(4, later);
    EXPECT_EQ(told.size(), 2U) << "a decision calls nothing";
  }
  EXPECT_EQ(told, (std::vector<std::uint64_t>{2, 4, 6}));
  issuer.signal_up_to(9);
  EXPECT_EQ(told.size(), 3U);
}

TEST(timeline_ops, request_notify_is_told_of_a_fence_that_was_dropped_once_the_one_kept_for_it_is_waited_for) {
  for (const bool is_waited_for_first : {false, true}) {
    scripted_backend data;
    std::vector<std::uint64_t> told;
    data.on_request_notify = [&](std::uint64_t seqno) { told.push_back(seqno); };
    timeline_issuer issuer = make_device(&data, nullptr);
    fence_ref dropped = issuer.emit().value();
    const fence_ref kept = issuer.emit().value();
    scripted_callback node;
    if (is_waited_for_first) {
      ASSERT_EQ(kept->add_callback(node), no_error);
      EXPECT_EQ(told, (std::vector<std::uint64_t>{2}));
    }
    EXPECT_TRUE(kept->stands_for(*dropped));
    EXPECT_TRUE(kept->stands_for(*dropped)) << "twice is once";
    dropped.reset();
    if (!is_waited_for_first) {
      EXPECT_TRUE(told.empty()) << "nobody waits";
      ASSERT_EQ(kept->add_callback(node), no_error);
      EXPECT_EQ(told, (std::vector<std::uint64_t>{1}));
    } else {
      EXPECT_EQ(told, (std::vector<std::uint64_t>{2, 1}));
    }
    EXPECT_TRUE(issuer.signal(*kept));
    EXPECT_EQ(node.runs(), 0);
    issuer.signal_up_to(1);
    EXPECT_EQ(node.runs(), 1);
    issuer.signal_up_to(2);
    issuer.fail(-ECANCELED);
  }
}

TEST(timeline_ops, request_notify_is_told_of_a_silently_armed_fence_that_is_waited_for) {
  scripted_backend data;
  std::vector<std::uint64_t> told;
  data.on_request_notify = [&](std::uint64_t seqno) { told.push_back(seqno); };
  timeline_issuer issuer = make_device(&data, nullptr);
  const fence_ref f = issuer.emit().value();
  f->keep_turn();
  EXPECT_TRUE(told.empty());
  f->enable_signaling();
  f->enable_signaling();
  EXPECT_EQ(told, (std::vector<std::uint64_t>{1}));
  issuer.signal_up_to(1);
  issuer.fail(-ECANCELED);
}

TEST(timeline_ops, request_notify_is_told_the_next_minimum_when_the_first_is_signaled_alone) {
  scripted_backend data;
  std::vector<std::uint64_t> told;
  data.on_request_notify = [&](std::uint64_t seqno) { told.push_back(seqno); };
  timeline_issuer issuer = make_device(&data, nullptr);
  const fence_ref first = issuer.emit().value();
  const fence_ref second = issuer.emit().value();
  scripted_callback node;
  first->enable_signaling();
  ASSERT_EQ(second->add_callback(node), no_error);
  EXPECT_TRUE(issuer.signal(*first, -EIO));
  EXPECT_EQ(told, (std::vector<std::uint64_t>{1, 2}));
  issuer.signal_up_to(2);
  EXPECT_EQ(node.runs(), 1);
}

TEST(hole_request_notify, a_completion_written_before_request_notify_took_effect_is_not_lost) {
  // The device completes while request_notify() runs: its interrupt is not enabled yet, it tells
  // nobody.
  device_word word{0};
  scripted_backend data;
  timeline_issuer issuer = make_device(&data, &word);
  data.on_request_notify = [&](std::uint64_t) { word.store(1, mo::seq_cst); };
  const fence_ref f = issuer.emit().value();
  scripted_callback node;
  EXPECT_EQ(f->add_callback(node), no_error);
  EXPECT_EQ(node.runs(), 1) << "the library looks after request_notify() returned";
  EXPECT_EQ(f->wait(no_wait), no_error);

  data.on_request_notify = [&](std::uint64_t) { word.store(2, mo::seq_cst); };
  EXPECT_EQ(issuer.emit().value()->wait(patience()), no_error) << "a wait does as well";

  data.on_request_notify = [&](std::uint64_t seqno) {
    if (seqno == 4) word.store(4, mo::seq_cst);
  };
  const fence_ref third = issuer.emit().value();
  const fence_ref fourth = issuer.emit().value();
  third->enable_signaling();
  fourth->enable_signaling();
  word.store(3, mo::seq_cst);
  EXPECT_EQ(issuer.notify(), no_error);
  EXPECT_EQ(fourth->wait(patience()), no_error) << "and when the minimum rises";
}

TEST(timeline_ops, run_without_any_lock_of_ours) {
  scripted_backend data;
  timeline_issuer issuer = make_device(&data, nullptr);
  const fence_ref f = issuer.emit().value();
  int free = 0;
  const auto use_elsewhere = [&] {
    std::jthread other([&] {
      scripted_callback node;
      static_cast<void>(f->add_callback(node));
      static_cast<void>(f->remove_callback(node));
      static_cast<void>(issuer.emit());
      ++free;
    });
  };
  data.on_request_notify = [&](std::uint64_t) { use_elsewhere(); };
  data.on_set_deadline = [&](std::int64_t) { use_elsewhere(); };
  data.on_retire = [&](retired_by) { use_elsewhere(); };
  f->enable_signaling();
  f->set_deadline(INT64_C(1));
  issuer.fail(-EIO);
  EXPECT_EQ(free, 3);
}

TEST(timeline_ops, request_notify_may_signal) {
  scripted_backend data;
  timeline_issuer issuer = make_device(&data, nullptr);
  data.on_request_notify = [&](std::uint64_t seqno) { issuer.signal_up_to(seqno); };
  const fence_ref f = issuer.emit().value();
  scripted_callback node;
  EXPECT_EQ(f->add_callback(node), no_error) << "it was awaited, then completed";
  EXPECT_EQ(node.runs(), 1);
  EXPECT_EQ(issuer.emit().value()->wait(), no_error);
}

TEST(timeline_ops, deadlines_reach_the_op_and_the_soonest_counts) {
  scripted_backend data;
  std::int64_t soonest = INT64_MAX;
  data.on_set_deadline = [&](std::int64_t ns) { soonest = std::min(soonest, ns); };
  timeline_issuer issuer = make_device(&data, nullptr);
  const fence_ref first = issuer.emit().value();
  const fence_ref second = issuer.emit().value();
  second->set_deadline(INT64_C(3000));
  first->set_deadline(INT64_C(1000));
  second->set_deadline(INT64_C(2000));
  EXPECT_EQ(soonest, 1000);
  issuer.signal_up_to(1);
  const int calls = data.deadlines;
  first->set_deadline(INT64_C(500));
  EXPECT_EQ(data.deadlines, calls) << "signaled: no hint needed";
  issuer.signal_up_to(2);
}

TEST(timeline_ops, set_deadline_of_later_fences_counts_once_the_earlier_ones_are_complete) {
  scripted_backend data;
  std::vector<std::int64_t> hints;
  data.on_set_deadline = [&](std::int64_t ns) { hints.push_back(ns); };
  timeline_issuer issuer = make_device(&data, nullptr);
  for (int frame = 1; frame <= 3; ++frame) {
    issuer.emit().value()->set_deadline(INT64_C(16) * frame);
    issuer.signal_up_to(static_cast<std::uint64_t>(frame));
  }
  EXPECT_EQ(hints, (std::vector<std::int64_t>{16, 32, 48}));
}

TEST(timeline_ops, retire_once_for_the_timeline_when_it_closes) {
  scripted_backend data;
  {
    timeline_issuer issuer = make_device(&data, nullptr);
    for (int i = 0; i < 10; ++i) issuer.emit().value()->enable_signaling();
    issuer.signal_up_to(10);
    EXPECT_EQ(data.retires, 0) << "not for each fence";
    EXPECT_EQ(issuer.wait_quiesced(no_wait), errno_code(ETIME));
    issuer.fail(-ECANCELED);
    EXPECT_EQ(data.retires, 1);
    EXPECT_EQ(issuer.wait_quiesced(no_wait), no_error);
    const int ops = data.ops();
    issuer.emit().value()->enable_signaling();
    EXPECT_EQ(data.ops(), ops) << "no op starts any more";
  }
  EXPECT_EQ(data.retires, 1);
}

TEST(timeline_ops, retire_when_the_issuing_handle_is_dropped) {
  auto data = std::make_unique<scripted_backend>();
  data->on_retire = [&](retired_by) { data.reset(); };
  fence_ref f;
  {
    timeline_issuer issuer = make_device(data.get(), nullptr);
    f = issuer.emit().value();
    f->enable_signaling();
    issuer.signal_up_to(1);
  }
  EXPECT_EQ(data, nullptr);
  f->set_deadline(INT64_C(1));
  EXPECT_TRUE(f->poll());
}

TEST(timeline_ops, retire_by_the_last_op_to_leave) {
  scripted_backend data;
  door leave;
  data.on_request_notify = [&](std::uint64_t) { leave.pass(); };
  timeline_issuer issuer = make_device(&data, nullptr);
  const fence_ref f = issuer.emit().value();
  std::thread awaits([&] { f->enable_signaling(); });
  ASSERT_TRUE(eventually([&] { return data.notify_requests == 1; }));
  issuer.fail(-EIO);
  EXPECT_EQ(f->status(), -EIO) << "does not wait for the op";
  EXPECT_EQ(data.retires, 0);
  EXPECT_EQ(issuer.wait_quiesced(deadline_after(millisecond_ns)), errno_code(ETIME));
  leave.open();
  awaits.join();
  EXPECT_EQ(data.retires_by_last_op, 1);
  EXPECT_EQ(issuer.wait_quiesced(no_wait), no_error);
}

TEST(timeline_ops, quiesce_inside_an_op_is_EDEADLK) {
  scripted_backend data;
  timeline_issuer issuer = make_device(&data, nullptr);
  std::error_code answer;
  data.on_request_notify = [&](std::uint64_t) { answer = issuer.wait_quiesced(); };
  issuer.emit().value()->enable_signaling();
  EXPECT_EQ(answer, errno_code(EDEADLK));
  issuer.signal_up_to(1);
}

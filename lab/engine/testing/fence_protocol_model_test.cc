// The fence protocol as it should be is safe in each combination of threads; with any one of its
// orders weakened some combination fails.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "lab/engine/explore.h"
#include "lab/engine/testing/fence_protocol.h"

namespace ufence::lab::protocol {
namespace {

// What the threads do, beside the one that signals.
enum class part {
  add_remove,
  add_self_freeing,
  op,
  op_that_signals,
  look,
  quiesce,
  wait_settled,
  second_signal,
  settle_elsewhere
};
// Dropping references is independent of the rest, and multiplies the executions by the orders in
// which they are dropped: in most combinations the main thread holds the only one.
struct combination {
  std::vector<part> parts;
  bool each_drops = false;
};

struct shared {
  fence& f;
  cell<int> ran[2] = {};
  atomic<int> handed{0};
  cell<bool> added{false};
};

void take_part(part what, shared& s) {
  switch (what) {
    case part::add_remove: {
      auto* c = new node(s.ran[0], false);
      if (s.f.add(*c)) {
        const bool removed = s.f.remove(*c);
        LAB_CHECK(s.ran[0].get() == (removed ? 0 : 1));
      } else {
        LAB_CHECK(s.ran[0].get() == 0);
      }
      delete c;
      break;
    }
    case part::add_self_freeing: {
      auto* c = new node(s.ran[1], true);
      const bool added = s.f.add(*c);
      s.added.set(added);
      if (!added) delete c;
      break;
    }
    case part::op:
    case part::op_that_signals:
      if (driver_data* data = s.f.enter()) {
        LAB_CHECK(data->alive.get() == 1);
        if (what == part::op_that_signals) {
          if (const int how = s.f.decide(-9, false)) s.f.settle(how);
          LAB_CHECK(data->alive.get() == 1);
        }
        s.f.leave(data);
      }
      break;
    case part::look:
      if (s.f.is_signaled()) LAB_CHECK(s.f.error() == -5 || s.f.error() == -9);
      break;
    case part::quiesce:
      s.f.wait_quiesced();
      LAB_CHECK(s.f.retires() == 1);
      LAB_CHECK(s.f.error() != 0);
      break;
    case part::wait_settled:
      s.f.wait_settled();
      LAB_CHECK(s.ran[1].get() <= 1);
      break;
    case part::second_signal:
      if (const int how = s.f.decide(-5, false)) s.f.settle(how);
      break;
    case part::settle_elsewhere: {
      int how = 0;  // what the first thread decided
      while ((how = s.handed.load(mo::acquire)) == 0) spin_pause();
      s.f.settle(how);
      break;
    }
  }
}

void meet(const combination& c, const orders& o, bool fast) {
  bool hands_over = false;
  for (const part p : c.parts) hands_over = hands_over || p == part::settle_elsewhere;
  shared s{.f = *new fence(o, c.each_drops ? static_cast<int>(c.parts.size()) + 1 : 1)};
  const auto drop = [&] {
    if (c.each_drops) s.f.put();
  };
  {
    thread signal("signal", [&] {
      if (const int how = s.f.decide(-5, fast)) {
        if (hands_over) {
          s.handed.store(how, mo::release);
        } else {
          s.f.settle(how);
        }
      }
      drop();
    });
    thread first("first", [&] { take_part(c.parts[0], s), drop(); });
    if (c.parts.size() > 1) {
      thread second("second", [&] { take_part(c.parts[1], s), drop(); });
    }
  }
  if (!c.each_drops) s.f.put();
  LAB_CHECK(s.ran[1].get() == (s.added.get() ? 1 : 0));
}

std::string name(const combination& c) {
  static constexpr const char* names[] = {"add_remove",
                                          "add_self_freeing",
                                          "op",
                                          "op_that_signals",
                                          "look",
                                          "quiesce",
                                          "wait_settled",
                                          "second_signal",
                                          "settle_elsewhere"};
  std::string text;
  for (const part p : c.parts) text += std::string(" ") + names[static_cast<int>(p)];
  return text + (c.each_drops ? ", each drops" : "");
}

using enum part;
const std::vector<combination> combinations{{{add_remove, look}},
                                            {{add_remove, op}},
                                            {{add_self_freeing, op}},
                                            {{op, quiesce}},
                                            {{op, op}},
                                            {{op_that_signals, quiesce}},
                                            {{op_that_signals, add_self_freeing}},
                                            {{add_self_freeing, look}},
                                            {{settle_elsewhere, add_remove}},
                                            {{settle_elsewhere, add_self_freeing}},
                                            {{settle_elsewhere, op}},
                                            {{second_signal, op}},
                                            {{second_signal, add_remove}},
                                            {{add_self_freeing, wait_settled}},
                                            {{look, op}, true},
                                            {{look, add_remove}, true},
                                            {{quiesce, wait_settled}, true}};

report explore_meeting(const combination& c, const orders& o, bool fast) {
  settings with;
  with.how = search::exhaustive;
  with.seconds = 30;
  return explore([&] { meet(c, o, fast); }, with);
}

class every_combination : public testing::TestWithParam<std::size_t> {};

TEST_P(every_combination, is_safe) {
  const combination& c = combinations[GetParam()];
  for (const bool fast : {false, true}) {
    const report r = explore_meeting(c, orders{}, fast);
    EXPECT_TRUE(r.is_safe()) << name(c) << ": " << r;
    EXPECT_TRUE(r.is_exhaustive()) << name(c) << ": " << r;
    std::cout << name(c) << (fast ? " fast" : "") << ": " << r << "\n";
  }
}
INSTANTIATE_TEST_SUITE_P(fence_protocol, every_combination,
                         testing::Range(std::size_t{0}, combinations.size()));

struct weakened {
  const char* name;
  std::memory_order orders::*which;
  std::memory_order to;
  combination shown_by;
};
const std::vector<weakened> weakenings{
    {"lock", &orders::lock, mo::relaxed, {{add_remove, look}}},
    {"unlock", &orders::unlock, mo::relaxed, {{add_remove, look}}},
    {"decide_relaxed", &orders::decide, mo::relaxed, {{add_remove, look}}},
    {"decide_release", &orders::decide, mo::release, {{op, op}}},
    {"decide_acquire", &orders::decide, mo::acquire, {{add_remove, look}}},
    {"leave_relaxed", &orders::leave, mo::relaxed, {{op, op}}},
    {"leave_release", &orders::leave, mo::release, {{op, op}}},
    {"leave_acquire", &orders::leave, mo::acquire, {{op, op}}},
    {"looks", &orders::looks, mo::relaxed, {{add_remove, look}}},
    {"settled", &orders::settled, mo::relaxed, {{add_self_freeing, wait_settled}}},
    {"waits_settled", &orders::waits_settled, mo::relaxed, {{add_self_freeing, wait_settled}}},
    {"retired", &orders::retired, mo::relaxed, {{op, quiesce}}},
    {"quiesces", &orders::quiesces, mo::relaxed, {{op, quiesce}}},
    {"runs", &orders::runs, mo::relaxed, {{add_remove, add_self_freeing}}},
    {"has_run", &orders::has_run, mo::relaxed, {{add_remove, look}}},
    {"waits_running", &orders::waits_running, mo::relaxed, {{add_remove, look}}},
    {"put_relaxed", &orders::put, mo::relaxed, {{look, op}, true}},
    {"put_release", &orders::put, mo::release, {{look, op}, true}},
    {"put_acquire", &orders::put, mo::acquire, {{look, op}, true}},
};

class every_weaker_order : public testing::TestWithParam<std::size_t> {};

TEST_P(every_weaker_order, is_caught) {
  const weakened& w = weakenings[GetParam()];
  orders o;
  o.*w.which = w.to;
  for (const bool fast : {false, true}) {
    const report r = explore_meeting(w.shown_by, o, fast);
    if (!r.is_safe()) return;
  }
  ADD_FAILURE() << w.name;
}
INSTANTIATE_TEST_SUITE_P(fence_protocol, every_weaker_order,
                         testing::Range(std::size_t{0}, weakenings.size()),
                         [](const auto& of) { return std::string(weakenings[of.param].name); });

// The backend word is read before the CAS that enters. What a weaker CAS would let through is that
// the read happens after the decision that the CAS came before: load buffering, which the explorer
// leaves out.
TEST(fence_protocol, a_weaker_order_of_entering_would_show_by_load_buffering_alone) {
  for (const std::memory_order weaker : {mo::relaxed, mo::acquire, mo::release}) {
    orders o;
    o.enter = weaker;
    for (const combination& c : {combination{{op, op}}, {{op, quiesce}}, {{second_signal, op}}}) {
      const report r = explore_meeting(c, o, false);
      EXPECT_TRUE(r.is_safe() && r.is_exhaustive()) << name(c) << ": " << r;
    }
  }
}

}  // namespace
}  // namespace ufence::lab::protocol

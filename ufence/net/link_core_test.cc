// Single steps of the protocol, by hand; histories of all of it are net_simulation.
#include "ufence/net/link_core.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace ufence::detail {
namespace {

constexpr std::int64_t lease = 600'000'000;
constexpr std::int64_t beat_time = lease / 6;
constexpr std::int64_t interval = link_times{}.value_interval_ns;

const std::uint64_t id = name_number("line");

value_record record_of(std::uint64_t owner, std::uint64_t epoch, std::uint64_t value,
                       int error = 0) {
  value_record r{.timeline_id = id, .owner = owner, .epoch = epoch, .value = value};
  r.error = error;
  r.lease_ns = lease;
  r.timeline_name = "line";
  return r;
}

struct link_core_test : ::testing::Test, transport {
  struct stored {
    value_record record;
    std::uint64_t expected, attempt;
  };
  std::vector<value_record> told;
  std::vector<stored> stores;
  std::vector<std::uint64_t> questions;  // attempts
  std::vector<beat> beats;
  std::vector<point_hint> hints;
  std::int64_t now = 1'000'000'000;
  link_core core{*this, 7, {.lease_ns = lease}, now};

  void tell(const value_record& record) override { told.push_back(record); }
  void store(const value_record& record, std::uint64_t expected, std::uint64_t attempt) override {
    stores.push_back({record, expected, attempt});
  }
  void ask_last(std::uint64_t, std::uint64_t attempt) override { questions.push_back(attempt); }
  void send_beat(const beat& sign) override { beats.push_back(sign); }
  void send_hint(const point_hint& hint) override { hints.push_back(hint); }

  // All beats come back.
  void run(std::int64_t for_ns) {
    for (const std::int64_t until = now + for_ns; now < until; now += beat_time) {
      core.tick(now);
      if (!beats.empty()) core.on_beat(beats.back(), now);
    }
  }
  std::shared_ptr<exporter> export_it(std::uint64_t epoch = 5) {
    value_record first = record_of(0, epoch, 0);
    auto made = core.add_exporter(std::move(first), now);
    core.tick(*made, now);
    return made;
  }
  // What it has to say goes in two steps.
  void tell_and_store(exporter& it) {
    core.tick(it, now += interval);
    core.tick(it, now += interval);
  }
  void answer(const std::optional<stored_value>& last) {
    core.on_last(id, questions.back(), last, now);
  }
  importer& import_it(std::uint64_t epoch = 0) {
    importer_options options{.timeline_id = id, .epoch = epoch, .find_within_ns = lease};
    return core.add_importer(std::move(options), now);
  }
};

TEST_F(link_core_test, each_store_names_the_sequence_of_the_one_before) {
  const auto it = export_it();
  ASSERT_EQ(questions.size(), 1U);
  answer(std::nullopt);
  core.tick(*it, now);
  ASSERT_EQ(stores.size(), 1U);
  EXPECT_EQ(stores[0].expected, 0U);
  core.on_stored(id, stores[0].attempt, 41, now);
  it->set_value(3, now);
  tell_and_store(*it);
  ASSERT_EQ(stores.size(), 2U);
  EXPECT_EQ(stores[1].expected, 41U);
}

TEST_F(link_core_test, a_value_is_told_at_once_and_the_newest_is_stored_a_moment_later) {
  const auto it = export_it();
  answer(std::nullopt);
  core.tick(*it, now);
  core.on_stored(id, stores[0].attempt, 1, now);
  EXPECT_TRUE(told.empty()) << "before it has the timeline it tells nobody";
  now += interval;
  it->set_value(3, now);
  core.tick(*it, now);
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].value, 3U);
  EXPECT_FALSE(it->has_stored(3, 0));
  it->set_value(4, now);
  core.tick(*it, now + interval - 1);
  EXPECT_EQ(told.size() + stores.size(), 2U);
  EXPECT_EQ(it->due_ns(), now + interval);
  core.tick(*it, now += interval);
  ASSERT_EQ(stores.size(), 2U);
  EXPECT_EQ(stores[1].record.value, 4U);
  core.on_stored(id, stores[1].attempt, 2, now);
  EXPECT_TRUE(it->is_stored());
  // Of messages that are stored and that are not, there is one in each interval.
  it->set_value(5, now);
  core.tick(*it, now + interval - 1);
  EXPECT_EQ(told.size(), 1U);
  core.tick(*it, now += interval);
  EXPECT_EQ(told.size(), 2U);
  EXPECT_EQ(stores.size(), 2U);
}

TEST_F(link_core_test, an_error_is_stored_at_once) {
  const auto it = export_it();
  answer(std::nullopt);
  core.tick(*it, now);
  core.on_stored(id, stores[0].attempt, 1, now);
  it->fail(-EIO, now);
  core.tick(*it, now += interval);
  EXPECT_TRUE(told.empty());
  ASSERT_EQ(stores.size(), 2U);
  EXPECT_EQ(stores[1].record.error, -EIO);
}

TEST_F(link_core_test, values_signaled_while_one_is_under_way_go_together) {
  const auto it = export_it();
  answer(std::nullopt);
  core.tick(*it, now);
  for (std::uint64_t value = 1; value <= 1000; ++value) {
    it->set_value(value, now);
    core.tick(*it, now += 1000);
  }
  EXPECT_EQ(stores.size(), 1U);
  core.on_stored(id, stores[0].attempt, 1, now);
  tell_and_store(*it);
  ASSERT_EQ(stores.size(), 2U);
  EXPECT_EQ(stores[1].record.value, 1000U);
}

TEST_F(link_core_test, a_new_owner_has_a_later_epoch_than_the_one_that_it_finds) {
  const auto it = export_it(5);
  answer(stored_value{.sequence = 9, .record = record_of(3, 100, 77)});
  core.tick(*it, now);
  ASSERT_EQ(stores.size(), 1U);
  EXPECT_EQ(stores[0].record.epoch, 101U);
  EXPECT_EQ(stores[0].record.value, 0U);
  EXPECT_EQ(stores[0].expected, 9U);
}

TEST_F(link_core_test, an_owner_that_is_refused_by_a_later_epoch_ends_and_stores_no_more) {
  const auto it = export_it();
  answer(std::nullopt);
  core.tick(*it, now);
  core.on_refused(id, stores[0].attempt);
  core.tick(*it, now);
  answer(stored_value{.sequence = 2, .record = record_of(3, 6, 0)});
  EXPECT_EQ(it->ended(), -ESTALE);
  it->set_value(8, now);
  core.tick(*it, now + 1'000'000);
  EXPECT_EQ(stores.size(), 1U);
}

TEST_F(link_core_test, an_owner_that_is_refused_by_its_own_record_goes_on) {
  const auto it = export_it();
  answer(std::nullopt);
  core.tick(*it, now);
  it->set_value(4, now);
  core.on_refused(id, stores[0].attempt);  // the answer to an earlier attempt was lost
  core.tick(*it, now);
  answer(stored_value{.sequence = 2, .record = stores[0].record});
  tell_and_store(*it);
  ASSERT_EQ(stores.size(), 2U);
  EXPECT_EQ(stores[1].expected, 2U);
  EXPECT_EQ(stores[1].record.value, 4U);
}

TEST_F(link_core_test, an_owner_stores_again_what_a_wiped_stream_lacks) {
  const auto it = export_it();
  answer(std::nullopt);
  core.tick(*it, now);
  core.on_stored(id, stores[0].attempt, 41, now);
  core.on_connected();
  core.tick(*it, now);
  answer(std::nullopt);
  core.tick(*it, now += 1'000'000);
  ASSERT_EQ(stores.size(), 2U);
  EXPECT_EQ(stores[1].expected, 0U);
}

TEST_F(link_core_test, an_owner_that_was_stopped_for_a_lease_notices_before_it_stores) {
  const auto it = export_it();
  answer(std::nullopt);
  core.tick(*it, now);
  core.on_stored(id, stores[0].attempt, 1, now);
  run(2 * lease);
  EXPECT_EQ(it->ended(), 0);
  now += lease + beat_time;  // SIGSTOP, SIGCONT
  it->set_value(3, now);
  core.tick(*it, now);
  EXPECT_EQ(it->ended(), -ENOLINK);
  EXPECT_EQ(stores.size(), 1U);
  EXPECT_NE(core.owner(), 7U) << "beats of the old owner would keep importers waiting";
}

TEST_F(link_core_test, an_owner_whose_beats_do_not_come_back_notices) {
  const auto it = export_it();
  answer(std::nullopt);
  core.tick(*it, now);
  core.on_stored(id, stores[0].attempt, 1, now);
  for (int i = 0; i < 8; ++i) core.tick(now += beat_time);
  EXPECT_EQ(it->ended(), -ENOLINK);
}

TEST_F(link_core_test, an_importer_takes_the_largest_value_of_its_epoch_alone) {
  importer& it = import_it();
  core.on_record(record_of(3, 5, 10), now);
  core.on_record(record_of(3, 5, 8), now);   // late
  core.on_record(record_of(3, 4, 99), now);  // of an earlier owner
  core.on_record(record_of(4, 5, 99), now);  // nobody's
  EXPECT_EQ(it.value(), 10U);
  EXPECT_EQ(it.ended(), 0);
  EXPECT_EQ(core.take_changed().size(), 1U);
  core.on_record(record_of(3, 5, 12, -EIO), now);
  EXPECT_EQ(it.value(), 12U);
  EXPECT_EQ(it.ended(), -EIO);
}

// Its time is told to people, and decides nothing.
TEST_F(link_core_test, a_wall_clock_that_is_set_back_or_forth_holds_up_no_value_and_no_lease) {
  importer& it = import_it();
  std::uint64_t value = 0;
  for (const std::int64_t wall :
       {INT64_C(1'700'000'000'000'000'000), INT64_C(0), INT64_MAX, INT64_C(5)}) {
    value_record from_owner = record_of(3, 5, ++value);
    from_owner.owner_time_ns = wall;
    core.on_record(from_owner, now);
    EXPECT_EQ(it.value(), value);
    EXPECT_EQ(it.ended(), 0);
  }
  const auto owner = export_it(9);
  answer(std::nullopt);
  owner->set_value(1, INT64_MAX);
  owner->set_value(2, 0);
  core.tick(*owner, now);
  ASSERT_FALSE(stores.empty());
  EXPECT_EQ(stores.back().record.value, 2U);
  EXPECT_EQ(owner->ended(), 0);
}

TEST_F(link_core_test, an_importer_ends_with_the_owner_that_is_replaced) {
  importer& it = import_it();
  core.on_record(record_of(3, 5, 10), now);
  core.on_record(record_of(4, 6, 0), now);
  EXPECT_EQ(it.ended(), -EOWNERDEAD);
  core.on_record(record_of(3, 5, 11), now);
  EXPECT_EQ(it.value(), 10U) << "an end is the end";
}

TEST_F(link_core_test, an_importer_ends_a_lease_after_the_last_sign_of_life) {
  importer& it = import_it();
  core.on_record(record_of(3, 5, 10), now);
  for (int i = 0; i < 12; ++i) {
    core.on_beat({.owner = 3, .sent_ns = 1}, now);
    core.tick(now += beat_time);
  }
  EXPECT_EQ(it.ended(), 0);
  for (int i = 0; i < 5; ++i) core.tick(now += beat_time);
  EXPECT_EQ(it.ended(), 0);
  for (int i = 0; i < 2; ++i) core.tick(now += beat_time);
  EXPECT_EQ(it.ended(), -EOWNERDEAD);
}

TEST_F(link_core_test, an_importer_that_was_stopped_itself_does_not_blame_the_owner) {
  importer& it = import_it();
  core.on_record(record_of(3, 5, 10), now);
  core.tick(now);
  core.tick(now += 10 * lease);
  EXPECT_EQ(it.ended(), 0);
}

TEST_F(link_core_test, an_importer_of_an_epoch_that_is_over_ends) {
  importer& it = import_it(5);
  core.on_record(record_of(3, 4, 10), now);
  EXPECT_FALSE(it.is_following());
  core.on_record(record_of(3, 6, 10), now);
  EXPECT_EQ(it.ended(), -ESTALE);
}

TEST_F(link_core_test, an_importer_that_finds_nobody_ends) {
  importer& it = import_it();
  for (int i = 0; i < 8; ++i) core.tick(now += beat_time);
  EXPECT_EQ(it.ended(), -ENOENT);
}

TEST_F(link_core_test, an_importer_ends_if_the_stream_lacks_its_epoch_for_long) {
  importer& it = import_it();
  core.on_record(record_of(3, 5, 10), now);
  for (int i = 0; i < 200 && it.ended() == 0; ++i) {
    core.on_beat({.owner = 3, .sent_ns = 1}, now);  // the link lives, with other timelines
    core.tick(now += beat_time);
    core.on_last(id, questions.back(), std::nullopt, now);
  }
  EXPECT_EQ(it.ended(), -EOWNERDEAD);
}

TEST_F(link_core_test, a_hint_goes_to_the_owner_once_for_each_news) {
  importer& it = import_it();
  it.want(12, now + 5000);
  core.tick(now);
  EXPECT_TRUE(hints.empty()) << "there is no owner yet";
  core.on_record(record_of(3, 5, 10), now);
  core.tick(now);
  core.tick(now);
  ASSERT_EQ(hints.size(), 1U);
  EXPECT_EQ(hints[0], (point_hint{.timeline_id = id, .epoch = 5, .point = 12, .within_ns = 5000}));
  it.want(9, INT64_MAX);
  core.tick(now);
  EXPECT_EQ(hints.size(), 1U) << "it was reached";
}

}  // namespace
}  // namespace ufence::detail

#include <algorithm>
#include <cerrno>
#include <functional>
#include <utility>

#include "ufence/net/testing/simulation.h"

namespace ufence::testing {

namespace {

const std::string& timeline_name(std::uint64_t number) {
  static const std::vector<std::string> names{"zero", "one", "two"};
  return names[number];
}

}  // namespace

struct simulation::host final : detail::transport {
  simulation& world;
  const int number;
  std::unique_ptr<detail::link_core> core;  // none: it is down
  std::uint64_t incarnation = 0;
  std::vector<exported> exports;
  std::vector<imported> imports;
  bool is_paused = false;
  std::vector<std::function<void()>> held;  // until it goes on
  bool is_cut_out = false, is_cut_in = false;
  std::int64_t engine_heard = 0;  // when a beat was sent that has reached the engine

  host(simulation& w, int n) : world(w), number(n) {}

  // What it says of a timeline, by tell() or store().
  void note_said(const detail::value_record& record) {
    const auto by = std::ranges::find(exports, record.timeline_id, &exported::timeline);
    if (by == exports.end() || by->in_core->ended() != 0) world.broken("an ended owner stores");
    if (world.now_ - engine_heard > lease)
      world.broken("an owner that nobody heard for a lease stores");
    if (by == exports.end()) return;
    auto& known = world.said_[{record.timeline_id, record.owner, record.epoch}];
    if (known && known != by->said) world.broken("two exports have one epoch");
    known = by->said;
  }
  void tell(const detail::value_record& record) override {
    ++world.counts_.tells;
    note_said(record);
    world.to_server(*this, [this, bytes = to_bytes(record), id = record.timeline_id] {
      world.pass_on(bytes, id);
    });
  }
  void store(const detail::value_record& record, std::uint64_t expected,
             std::uint64_t attempt) override {
    ++world.counts_.stores;
    note_said(record);
    world.to_server(*this, [this, bytes = to_bytes(record), id = record.timeline_id, expected,
                            attempt] { world.serve_store(*this, bytes, id, expected, attempt); });
  }
  void ask_last(std::uint64_t id, std::uint64_t attempt) override {
    world.to_server(*this, [this, id, attempt] { world.serve_question(*this, id, attempt); });
  }
  void send_beat(const detail::beat& sign) override {
    world.to_server(*this, [this, bytes = to_bytes(sign), sign, of = incarnation] {
      if (of == incarnation) engine_heard = std::max(engine_heard, sign.sent_ns);
      for (auto& to : world.hosts_) {
        world.to_host(*to, [this, bytes, sign](host& h) {
          if (const auto read = detail::parse_beat(bytes, sign.owner))
            h.core->on_beat(*read, world.now_);
        });
      }
    });
  }
  void send_hint(const detail::point_hint& hint) override {
    if (!detail::parse_hint(to_bytes(hint), hint.timeline_id))
      world.broken("a hint is not readable");
  }
};

simulation::simulation(std::uint64_t seed, sabotage broken) : random_(seed), sabotage_(broken) {
  is_calm_ = chance(12);
  if (!is_calm_) {
    loss_ = chance(50) ? static_cast<unsigned>(below(20)) : 0;
    repeats_ = chance(50) ? static_cast<unsigned>(below(30)) : 0;
    long_delays_ = chance(50) ? static_cast<unsigned>(below(10)) : 0;
  }
  for (int i = 0; i < host_count; ++i) {
    hosts_.push_back(std::make_unique<host>(*this, i));
    start(*hosts_.back());
  }
}

simulation::~simulation() = default;

void simulation::broken(const std::string& promise) {
  if (!broken_) broken_ = promise;
}

void simulation::at(std::int64_t when, std::function<void()> what) {
  events_.push({when, ++order_, std::move(what)});
}

void simulation::run_until(std::int64_t when) {
  while (!events_.empty() && events_.top().at <= when && !broken_) {
    event next = events_.top();
    events_.pop();
    now_ = std::max(now_, next.at);
    next.act();
  }
  now_ = when;
}

// --- The network ---

void simulation::send(bool is_cut, std::function<void()> what) {
  for (unsigned copies = chance(repeats_) ? 2 : 1; copies > 0; --copies) {
    const auto delay = static_cast<std::int64_t>(
        below(static_cast<std::uint64_t>(chance(long_delays_) ? 3 * lease : 10 * millisecond)));
    if (!is_cut && !chance(loss_)) at(now_ + delay, what);
  }
}

void simulation::to_server(host& from, std::function<void()> what) {
  // Connections end with the engine: what is under way to one that stops does not reach the next.
  send(from.is_cut_out, [this, what = std::move(what), life = engine_life_] {
    if (is_engine_up_ && life == engine_life_) what();
  });
}

void simulation::to_host(host& to, std::function<void(host&)> what) {
  send(to.is_cut_in, [this, &to, what = std::move(what), of = to.incarnation] {
    if (!to.core || to.incarnation != of) return;
    if (to.is_paused) {
      to.held.push_back([&to, what, of] {
        if (to.core && to.incarnation == of) what(to);
      });
      return;
    }
    what(to);
    look(to);
  });
}

// --- The engine ---

void simulation::pass_on(const std::vector<std::byte>& bytes, std::uint64_t timeline) {
  for (auto& to : hosts_) {
    if (sabotage_ == sabotage::silence) break;
    to_host(*to, [this, bytes, timeline](host& h) {
      auto record = detail::parse_value(bytes, timeline);
      if (!record) return broken("a record is not readable");
      if (sabotage_ == sabotage::values_are_ahead) ++record->value;
      h.core->on_record(*record, now_);
    });
  }
}

void simulation::serve_store(host& from, std::vector<std::byte> bytes, std::uint64_t timeline,
                             std::uint64_t expected, std::uint64_t attempt) {
  pass_on(bytes, timeline);
  const auto last = stream_.find(timeline);
  const bool is_expected = (last == stream_.end() ? 0 : last->second.sequence) == expected;
  if (!is_expected && sabotage_ != sabotage::sequences_are_ignored) {
    to_host(from, [timeline, attempt](host& h) { h.core->on_refused(timeline, attempt); });
    return;
  }
  if (last != stream_.end() && !was_wiped_) {
    const auto before = detail::parse_value(last->second.bytes, timeline);
    const auto record = detail::parse_value(bytes, timeline);
    if (record->epoch < before->epoch) broken("an owner that was replaced stores over the new one");
  }
  stream_[timeline] = {++sequence_, std::move(bytes)};
  to_host(from, [this, timeline, attempt, as = sequence_](host& h) {
    h.core->on_stored(timeline, attempt, as, now_);
  });
}

void simulation::serve_question(host& from, std::uint64_t timeline, std::uint64_t attempt) {
  std::optional<detail::stored_value> answer;
  if (const auto last = stream_.find(timeline); last != stream_.end()) {
    const auto record = detail::parse_value(last->second.bytes, timeline);
    answer = {.sequence = last->second.sequence,
              .record = record ? std::optional(*record) : std::nullopt};
  }
  if (sabotage_ == sabotage::silence && answer && answer->record) answer->record.reset();
  to_host(from, [this, timeline, attempt, answer](host& h) {
    h.core->on_last(timeline, attempt, answer, now_);
  });
}

void simulation::restart_engine(bool wipe) {
  is_engine_up_ = false;
  ++engine_life_;
  for (auto& h : hosts_) {
    if (h->core && !h->is_paused) h->core->on_disconnected();
  }
  at(now_ + static_cast<std::int64_t>(below(2 * lease)), [this, wipe] {
    is_engine_up_ = true;
    if (wipe) {
      stream_.clear();
      sequence_ = 0;
      was_wiped_ = true;
    }
    for (auto& h : hosts_) {
      const auto connect = [&to = *h, of = h->incarnation] {
        if (to.core && to.incarnation == of) to.core->on_connected();
      };
      if (h->is_paused) {
        h->held.push_back(connect);
      } else {
        connect();
      }
    }
  });
}

// --- Hosts ---

void simulation::start(host& h) {
  h.exports.clear();
  h.imports.clear();
  h.held.clear();
  h.is_paused = false;
  ++h.incarnation;
  h.engine_heard = now_;
  h.core = std::make_unique<detail::link_core>(h, ++owners_, detail::link_times{.lease_ns = lease},
                                               now_);
  tick(h, h.incarnation);
}

void simulation::tick(host& h, std::uint64_t incarnation) {
  if (!h.core || h.incarnation != incarnation) return;
  at(now_ + lease / 6, [this, &h, incarnation] { tick(h, incarnation); });
  if (h.is_paused) return;
  h.core->tick(now_);
  look(h);
}

// What has become of its imports, and, for owners that are done, exports. Then it sends what is
// news.
void simulation::look(host& h) {
  // The core has forgotten them.
  std::erase_if(h.exports, [](const exported& one) { return one.in_core.use_count() == 1; });
  for (exported& one : h.exports) h.core->tick(*one.in_core, now_);
  static_cast<void>(h.core->take_changed());
  for (imported& one : h.imports) look_at(one);
}

void simulation::look_at(imported& one) {
  const detail::importer& now = *one.in_core;
  if (now.value() < one.value) broken("a value fell");
  if (one.ended != 0 && (now.ended() != one.ended || now.value() != one.value)) {
    broken("an end was not the end");
  }
  if (now.value() == one.value && now.ended() == one.ended) return;
  const auto said = said_.find({one.timeline, now.owner(), now.epoch()});
  if (now.is_following() && said == said_.end()) return broken("nobody has said this");
  if (now.value() > one.value && now.value() > said->second->value) {
    broken("a point was reached that nobody signaled");
  }
  counts_.reached += now.value() - one.value;
  one.value = now.value();
  if (now.ended() != one.ended) {
    one.ended = now.ended();
    counts_.dead += now.ended() == -EOWNERDEAD;
    counts_.stale += now.ended() == -ESTALE;
    counts_.failed += now.ended() == -EIO;
    const bool is_owners = now.is_following() && now.ended() == said->second->error;
    const bool is_ours =
        now.ended() == -EOWNERDEAD || now.ended() == -ESTALE || now.ended() == -ENOENT;
    if (!is_owners && !is_ours) broken("an error that nobody gave");
    if (is_owners && now.value() != said->second->value) broken("an end before the last value");
    if (is_calm_ && !is_owners && now.ended() != -ENOENT)
      broken("an owner that lives was taken for dead");
  }
}

void simulation::act() {
  host& h = *hosts_[below(host_count)];
  const std::uint64_t what = below(100);
  if (!is_calm_ && what < 20) return act_as_fault(h, what);
  if (!h.core || h.is_paused) return;
  act_on_timelines(h, what);
  look(h);
}

void simulation::act_on_timelines(host& h, std::uint64_t what) {
  // In a calm history each timeline has one host, and so one owner at a time.
  const std::uint64_t timeline =
      is_calm_ && what < 40 ? static_cast<std::uint64_t>(h.number) : below(host_count);
  const std::uint64_t id = detail::name_number(timeline_name(timeline));
  if (what < 40) {
    const bool has_it = std::ranges::any_of(h.exports, [&](const exported& one) {
      return one.timeline == id && !one.in_core->is_released();
    });
    if (has_it) return;
    if (is_calm_ && !h.exports.empty()) return;
    std::erase_if(h.exports, [&](const exported& one) { return one.timeline == id; });
    detail::value_record first{.timeline_id = id, .epoch = 1 + below(1'000'000)};
    first.timeline_name = timeline_name(timeline);
    const std::shared_ptr<detail::exporter> made = h.core->add_exporter(std::move(first), now_);
    if (made == nullptr) return broken("a released exporter is in the way");
    h.engine_heard = std::max(h.engine_heard, h.core->contact_ns());
    h.exports.push_back({id, made, std::make_shared<truth>()});
  } else if (what < 60) {
    detail::importer_options options{.timeline_id = id, .find_within_ns = 5 * lease};
    if (chance(30)) {
      // By an epoch that is or was there.
      for (const auto& from : hosts_) {
        for (const exported& one : from->exports) {
          if (one.timeline == id) options.epoch = one.in_core->epoch();
        }
      }
      if (is_calm_) options.epoch = 0;
    }
    h.imports.push_back({&h.core->add_importer(std::move(options), now_), id});
  } else if (what < 65 && !h.imports.empty()) {
    const std::size_t which = below(h.imports.size());
    h.core->remove(*h.imports[which].in_core);
    h.imports.erase(h.imports.begin() + static_cast<std::ptrdiff_t>(which));
  } else {
    act_as_owner(h);
  }
}

void simulation::act_as_owner(host& h) {
  if (h.exports.empty()) return;
  exported& one = h.exports[below(h.exports.size())];
  if (one.in_core->is_released()) return;
  const std::uint64_t what = below(20);
  if (what == 0) {
    if (one.said->error == 0) one.said->error = -EIO;
    one.in_core->fail(-EIO, now_);
  } else if (what == 1) {
    if (one.said->error == 0) one.said->error = -ECANCELED;
    one.in_core->fail(-ECANCELED, now_);
    one.in_core->release();
  } else if (one.said->error == 0) {
    one.said->value += 1 + below(1000);
    one.in_core->set_value(one.said->value, now_);
  }
}

void simulation::act_as_fault(host& h, std::uint64_t what) {
  if (what < 4) {  // kill -9, and a new process later
    h.core.reset();
    const std::uint64_t of = ++h.incarnation;
    at(now_ + static_cast<std::int64_t>(below(3 * lease)), [this, &h, of] {
      if (!h.core && h.incarnation == of) start(h);
    });
  } else if (what < 9) {
    if (chance(50)) h.is_cut_out = true;
    if (chance(50)) h.is_cut_in = true;
    const bool is_noticed = chance(50);  // else it was too short for the connection to break
    if (is_noticed && h.core && !h.is_paused) h.core->on_disconnected();
    at(now_ + static_cast<std::int64_t>(below(3 * lease)), [&h, is_noticed, of = h.incarnation] {
      h.is_cut_out = h.is_cut_in = false;
      if (is_noticed && h.core && h.incarnation == of) h.core->on_connected();
    });
  } else if (what < 14) {
    if (!h.core || h.is_paused) return;
    h.is_paused = true;  // SIGSTOP, and SIGCONT later
    at(now_ + static_cast<std::int64_t>(below(3 * lease)), [this, &h, of = h.incarnation] {
      if (!h.core || h.incarnation != of) return;
      h.is_paused = false;
      std::vector<std::function<void()>> held = std::exchange(h.held, {});
      // Its own threads and what came meanwhile run in any order.
      if (chance(50)) look(h);
      for (auto& one : held) one();
      look(h);
    });
  } else if (is_engine_up_) {
    restart_engine(what >= 17);
  }
}

// --- The whole history ---

std::optional<std::string> simulation::run() {
  const std::uint64_t steps = 20 + below(100);
  for (std::uint64_t i = 0; i < steps && !broken_; ++i) {
    act();
    run_until(now_ + static_cast<std::int64_t>(below(chance(10) ? 2 * lease : lease / 8)));
  }
  heal();
  run_until(now_ + 45 * lease);
  if (!broken_) check_in_the_end();
  return broken_;
}

void simulation::heal() {
  if (sabotage_ == sabotage::beats_are_forged) {
    for (std::uint64_t owner = 1; owner <= owners_; ++owner) forge_beats(owner);
  }
  loss_ = repeats_ = long_delays_ = 0;
  run_until(now_ + 4 * lease);  // whatever was to end has ended: pauses, partitions, restarts
}

void simulation::forge_beats(std::uint64_t owner) {
  for (auto& to : hosts_) {
    to_host(*to, [this, owner](host& h) { h.core->on_beat({.owner = owner, .sent_ns = 0}, now_); });
  }
  at(now_ + lease / 6, [this, owner] { forge_beats(owner); });
}

void simulation::check_in_the_end() {
  std::map<std::uint64_t, int> owners;
  for (const auto& h : hosts_) {
    for (const exported& one : h->exports) {
      counts_.replaced_owners += one.in_core->ended() == -ESTALE;
      counts_.cut_off_owners += one.in_core->ended() == -ENOLINK;
      if (is_calm_ && one.in_core->ended() != 0) return broken("an owner without a fault ended");
      if (one.in_core->ended() != 0) continue;
      if (++owners[one.timeline] > 1) return broken("two owners have one timeline");
      const auto last = stream_.find(one.timeline);
      if (last == stream_.end()) return broken("the stream has not what its owner said");
      const auto record = detail::parse_value(last->second.bytes, one.timeline);
      if (!record || record->value != one.said->value || record->error != one.said->error) {
        return broken("the stream has something else than its owner said");
      }
    }
  }
  for (const auto& h : hosts_) {
    for (const imported& one : h->imports) {
      if (one.ended != 0) continue;
      if (!one.in_core->is_following()) return broken("an import waits for ever for an owner");
      bool has_owner = false;
      for (const auto& from : hosts_) {
        for (const exported& by : from->exports) {
          if (by.in_core->news().owner != one.in_core->owner() ||
              by.in_core->epoch() != one.in_core->epoch() || by.timeline != one.timeline ||
              by.in_core->ended() != 0) {
            continue;
          }
          has_owner = true;
          if (by.said->error != 0) return broken("an error did not arrive");
          if (by.said->value != one.value) return broken("a value did not arrive");
        }
      }
      if (!has_owner) return broken("an import waits for ever for an owner that is gone");
    }
  }
}

}  // namespace ufence::testing

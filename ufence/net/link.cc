#include "ufence/net/link.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <system_error>

#include "ufence/base/clock.h"
#include "ufence/io/random.h"

namespace ufence::detail {
namespace {

std::int64_t real_time_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return std::max<std::int64_t>(0, now.tv_sec * INT64_C(1'000'000'000) + now.tv_nsec);
}

// Of a new export: later than any before by the clock, and not that of another host that starts in
// the same moment. If the clock was set back, the exporter takes the next after the one that it
// finds.
std::uint64_t new_epoch() noexcept {
  std::uint32_t random = 0;
  static_cast<void>(fill_random(&random, sizeof random));
  const auto milliseconds = static_cast<std::uint64_t>(real_time_ns()) / 1'000'000;
  return (((milliseconds << 20) | (random & 0xfffff)) & remote_point::epoch_max) | 1;
}

std::string own_host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

}  // namespace

// --- The thread ---

result<std::shared_ptr<link>> link::connect(const host_link_options& options) {
  std::uint64_t owner = 0;
  if (!fill_random(&owner, sizeof owner)) return failure(EAGAIN);
  const auto made = std::make_shared<link>(options, std::max<std::uint64_t>(1, owner));
  made->engine_ = std::make_unique<nats_engine>(made);
  if (const std::error_code failed = made->engine_->connect(options))
    return std::unexpected(failed);
  if (const std::error_code failed = made->start_thread()) return std::unexpected(failed);
  const auto all = std::make_shared<users>(made);
  made->users_ = all;
  return made->user();
}

link::link(const host_link_options& options, std::uint64_t owner)
    : options_(options),
      host_name_(options.host_name.empty() ? own_host_name() : options.host_name),
      core_(outbox_, owner, {.lease_ns = options.lease_ns}, now_ns()) {}

// As one of its users.
std::shared_ptr<link> link::user() const {
  const std::shared_ptr<users> all = users_.lock();
  return {all, all->of.get()};
}

void link::shut_down() noexcept {
  const std::shared_ptr<sleep> box = sleep_;
  const bool is_own = box->thread.get_id() == std::this_thread::get_id();
  {
    const net_lock hold(box->lock);
    box->is_over = is_own;
    if (!is_own) box->dying = shared_from_this();
  }
  if (is_own) {
    engine_->close();
    box->thread.detach();
    return;
  }
  const std::uint64_t one = 1;
  static_cast<void>(::write(box->wake.get(), &one, sizeof one) != 0);
  if (nats_engine::is_in_callback()) {
    box->thread.detach();
  } else {
    box->thread.join();
  }
}

bool link::has_ended(sleep& box) {
  std::shared_ptr<link> last;
  {
    const net_lock hold(box.lock);
    if (box.is_over) return true;
    last = std::move(box.dying);
  }
  if (last) last->engine_->close();
  return last != nullptr;
}

std::error_code link::start_thread() {
  sleep_ = std::make_shared<sleep>();
  sleep_->wake = unique_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!sleep_->wake) {
    sleep_.reset();
    return errno_code(EMFILE);
  }
  sleep_->of = weak_from_this();
  // It takes no signals: those are the program's.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::error_code failed;
  try {
    sleep_->thread = std::thread(run, sleep_);
    pthread_setname_np(sleep_->thread.native_handle(), "ufence-net");
  } catch (const std::system_error&) {
    failed = errno_code(EAGAIN);
    sleep_.reset();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return failed;
}

void link::run(const std::shared_ptr<sleep>& box) {
  for (;;) {
    std::int64_t until = now_ns() + 1'000'000'000;  // it is being ended
    if (const std::shared_ptr<link> one = box->of.lock()) {
      until = one->work();
      if (!one->goes_to_sleep()) continue;
    }
    if (has_ended(*box)) return;
    const std::int64_t rest = std::max<std::int64_t>(0, until - now_ns());
    const timespec timeout{.tv_sec = rest / 1'000'000'000, .tv_nsec = rest % 1'000'000'000};
    pollfd woken{.fd = box->wake.get(), .events = POLLIN, .revents = 0};
    if (::ppoll(&woken, 1, &timeout, nullptr) > 0) {
      std::uint64_t count = 0;
      static_cast<void>(::read(box->wake.get(), &count, sizeof count) != 0);
    }
  }
}

bool link::goes_to_sleep() noexcept {
  const net_lock hold(news_lock_);
  if (has_work_ || !news_.empty()) {
    has_work_ = false;
    return false;
  }
  is_asleep_ = true;
  return true;
}

void link::wake() noexcept {
  bool is_asleep = false;
  {
    const net_lock hold(news_lock_);
    is_asleep = std::exchange(is_asleep_, false);
    has_work_ = true;
  }
  const std::uint64_t one = 1;
  if (is_asleep && sleep_) static_cast<void>(::write(sleep_->wake.get(), &one, sizeof one) != 0);
}

void link::has_news(export_state& one) noexcept {
  {
    const net_lock hold(news_lock_);
    if (one.is_news_) return;
    one.is_news_ = true;
    news_.push_back(&one);
  }
  wake();
}

void link::fail(export_state& one, int error) noexcept {
  {
    const net_lock hold(lock_);
    one.in_core_->set_value(one.issuer_.line()->completed(), real_time_ns());
    one.in_core_->fail(error, real_time_ns());
  }
  has_news(one);
}

void link::take_news_locked() {
  std::vector<export_state*> news;
  {
    const net_lock hold(news_lock_);
    has_work_ = false;
    is_asleep_ = false;
    news.swap(news_);
    for (export_state* one : news) one->is_news_ = false;
  }
  // They are not dropped meanwhile: that takes lock_.
  const std::int64_t real_time = news.empty() ? 0 : real_time_ns();
  for (const export_state* one : news) {
    one->in_core_->set_value(one->issuer_.line()->completed(), real_time);
    attend_locked(one->in_core_->news().timeline_id);
  }
}

std::int64_t link::work() {
  settlement later;
  std::vector<outbox::message> out;
  std::int64_t next = 0;
  bool wants_stream = false;
  {
    const net_lock hold(lock_);
    const std::int64_t now = now_ns();
    take_news_locked();
    if (now >= core_.next_tick_ns()) core_.tick(now);
    next = core_.next_tick_ns();
    std::erase_if(busy_, [&](const std::shared_ptr<exporter>& one) UFENCE_NO_TSA {
      const std::int64_t due = std::max(core_.tick(*one, now), now);
      const bool stays = due < core_.next_tick_ns();
      if (stays) next = std::min(next, due);
      return !stays;
    });
    static_cast<void>(finish_locked(later));
    look_at_exports_locked(later);
    if (wants_stream_ && now - created_stream_ns_ > core_.times().answer_ns()) {
      wants_stream = true;
      created_stream_ns_ = now;
    }
    wants_stream_ = false;
    out = outbox_.take();
    counts_.sent += static_cast<std::uint64_t>(std::ranges::count_if(out, [](const auto& one) {
      return one.what == outbox::message::kind::tell || one.what == outbox::message::kind::store;
    }));
  }
  if (wants_stream) engine_->create_stream();
  for (const outbox::message& one : out) engine_->send(one);
  return next;
}

// --- What is known of fences ---

void link::attend_locked(std::uint64_t timeline_id) {
  const auto known = exports_.find(timeline_id);
  if (known == exports_.end()) return;
  const std::shared_ptr<exporter>& one = known->second->in_core_;
  if (std::ranges::find(busy_, one) == busy_.end()) busy_.push_back(one);
}

bool link::finish_locked(settlement& later) {
  for (const importer* changed : core_.take_changed()) {
    if (const auto in = imports_.find(changed); in != imports_.end()) {
      advance_locked(*in->second, later);
    }
  }
  return !outbox_.is_empty() || !busy_.empty();
}

void link::advance_locked(import_state& in, settlement& later) {
  const int ended = in.in_core_.ended();
  in.arrival_ns_ = now_ns();
  in.pending_.advance(in.in_core_, later);
  if (in.found_->is_signaled()) return;
  if (in.in_core_.is_following()) {
    in.found_right_.decide(0, later);
  } else if (ended != 0) {
    in.found_right_.decide(ended, later);
  }
}

void link::look_at_export_locked(export_state& one, settlement& later) {
  const exporter& now = *one.in_core_;
  std::erase_if(one.awaited_, [&](awaited_value& waiter) {
    if (now.ended() == 0 && !now.has_stored(waiter.value, waiter.error)) return false;
    waiter.right.decide(now.ended(), later);
    return true;
  });
  const bool has_failed = now.news().error != 0 && now.is_stored();
  if ((now.ended() != 0 || has_failed) && !one.ended_->is_signaled()) {
    one.ended_right_.decide(now.ended(), later);
  }
}

void link::look_at_exports_locked(settlement& later) {
  for (const auto& [id, one] : exports_) {
    look_at_export_locked(*one, later);
    wants_stream_ |= one->in_core_->is_unanswered();
  }
}

// --- What comes from the engine ---

void link::connected() {
  settlement later;
  {
    const net_lock hold(lock_);
    is_connected_ = true;
    ++counts_.reconnects;
    created_stream_ns_ = 0;
    wants_stream_ = !exports_.empty();
    core_.on_connected();
    for (const auto& [id, one] : exports_) attend_locked(id);
    core_.tick(now_ns());  // importers ask at once
    static_cast<void>(finish_locked(later));
  }
  wake();
}

void link::disconnected() {
  const net_lock hold(lock_);
  is_connected_ = false;
  core_.on_disconnected();
}

void link::lost_messages() {
  settlement later;
  {
    const net_lock hold(lock_);
    if (!is_connected_) return;
    core_.on_connected();
    core_.tick(now_ns());
    static_cast<void>(finish_locked(later));
  }
  wake();
}

void link::not_permitted() {
  const net_lock hold(lock_);
  was_not_permitted_ = true;
}

void link::value_arrived(std::uint64_t timeline_id, std::span<const std::byte> bytes) {
  const auto record = parse_value(bytes, timeline_id);
  settlement later;
  bool has_work = false;
  {
    const net_lock hold(lock_);
    ++(record ? counts_.received : counts_.refused);
    if (!record) return;
    core_.on_record(*record, now_ns());
    has_work = finish_locked(later);
  }
  if (has_work) wake();
}

void link::beat_arrived(std::uint64_t owner, std::span<const std::byte> bytes) {
  const auto sign = parse_beat(bytes, owner);
  const net_lock hold(lock_);
  if (!sign) {
    ++counts_.refused;
  } else {
    core_.on_beat(*sign, now_ns());
  }
}

void link::hint_arrived(std::uint64_t timeline_id, std::span<const std::byte> bytes) {
  const auto hint = parse_hint(bytes, timeline_id);
  std::shared_ptr<hint_sink> sink;
  {
    const net_lock hold(lock_);
    if (!hint) {
      ++counts_.refused;
      return;
    }
    const auto known = exports_.find(timeline_id);
    if (known == exports_.end() || known->second->in_core_->epoch() != hint->epoch) return;
    sink = known->second->hint_;
  }
  const std::lock_guard hold(sink->lock);
  if (sink->tell) {
    sink->tell(hint->point, hint->within_ns < 0 ? no_deadline : deadline_after(hint->within_ns));
  }
}

void link::last_arrived(std::uint64_t timeline_id, std::uint64_t attempt, std::uint64_t sequence,
                        std::span<const std::byte> bytes) {
  std::optional<stored_value> last;
  if (sequence != 0) {
    auto record = parse_value(bytes, timeline_id);
    last = {.sequence = sequence,
            .record = record ? std::optional(*std::move(record)) : std::nullopt};
  }
  settlement later;
  {
    const net_lock hold(lock_);
    if (last && !last->record) ++counts_.refused;
    core_.on_last(timeline_id, attempt, last, now_ns());
    attend_locked(timeline_id);
    if (!finish_locked(later)) return;
  }
  wake();
}

void link::stored(std::uint64_t timeline_id, std::uint64_t attempt, std::uint64_t sequence) {
  settlement later;
  {
    const net_lock hold(lock_);
    core_.on_stored(timeline_id, attempt, sequence, now_ns());
    if (const auto known = exports_.find(timeline_id); known != exports_.end()) {
      look_at_export_locked(*known->second, later);
      if (known->second->in_core_->is_stored()) return;
    }
    attend_locked(timeline_id);
  }
  wake();
}

void link::refused(std::uint64_t timeline_id, std::uint64_t attempt) {
  {
    const net_lock hold(lock_);
    core_.on_refused(timeline_id, attempt);
    attend_locked(timeline_id);
  }
  wake();
}

void link::stream_created() {
  {
    const net_lock hold(lock_);
    if (!is_connected_) return;
    core_.on_connected();
    for (const auto& [id, one] : exports_) attend_locked(id);
  }
  wake();
}

bool link::was_connected() {
  const net_lock hold(lock_);
  return is_connected_;
}

host_link::counters link::counts() {
  const net_lock hold(lock_);
  return counts_;
}

// --- Exports ---

export_state::export_state(std::shared_ptr<link> of, timeline_issuer issuer,
                           const export_options& options)
    : link_(std::move(of)), issuer_(std::move(issuer)), hint_(std::make_shared<hint_sink>()) {
  hint_->tell = options.on_hint;
}

value_record link::first_record(const timeline& line, std::string_view name) const {
  value_record first{
      .timeline_id = name_number(name), .epoch = new_epoch(), .value = line.completed()};
  first.owner_time_ns = real_time_ns();
  first.timeline_name = name;
  first.origin = {.host = host_name_,
                  .process = static_cast<std::uint32_t>(::getpid()),
                  .driver = std::string(line.driver_name())};
  return first;
}

result<std::shared_ptr<export_state>> link::add_export(timeline_issuer issuer,
                                                       std::string_view name,
                                                       const export_options& options) {
  const std::int64_t deadline = deadline_after(options.within_ns);
  auto made = std::make_shared<export_state>(user(), std::move(issuer), options);
  auto ended = fence::create(fence::allocate_contexts(1), 1);
  if (!ended) return std::unexpected(ended.error());
  made->ended_ = std::move(ended->fence);
  made->ended_right_ = std::move(ended->signal);
  const std::uint64_t id = name_number(name);
  if (options.on_hint) {
    const auto hints = engine_->follow_hints(id);
    if (!hints) return std::unexpected(hints.error());
    made->hints_ = *hints;
  }
  {
    const net_lock hold(lock_);
    made->in_core_ = core_.add_exporter(first_record(*made->issuer_.line(), name), now_ns());
    if (made->in_core_) {
      exports_[id] = made.get();
      was_not_permitted_ = false;
      wants_stream_ = true;
      attend_locked(id);
    }
  }
  if (!made->in_core_) {
    drop(*made);
    return failure(EEXIST);
  }
  const auto is_stored = when_stored(*made);
  const std::error_code failed =
      is_stored ? (*is_stored)->wait_result(deadline) : is_stored.error();
  if (failed) {
    drop(*made);
    const net_lock hold(lock_);
    return was_not_permitted_ ? failure(EACCES) : std::unexpected(failed);
  }
  const net_lock hold(lock_);
  made->base_ = {
      .namespace_id = namespace_id(), .timeline_id = id, .epoch = made->in_core_->epoch()};
  return made;
}

result<fence_ref> link::when_stored(export_state& one) {
  auto made = fence::create(fence::allocate_contexts(1), 1);
  if (!made) return std::unexpected(made.error());
  {
    settlement later;
    const net_lock hold(lock_);
    exporter& now = *one.in_core_;
    now.set_value(one.issuer_.line()->completed(), real_time_ns());
    one.awaited_.push_back({now.news().value, std::move(made->signal), now.news().error});
    attend_locked(now.news().timeline_id);
    look_at_export_locked(one, later);
  }
  wake();
  return std::move(made->fence);
}

void link::drop(export_state& gone) noexcept {
  const auto hints = std::exchange(gone.hints_, nullptr);
  if (hints != nullptr) {
    nats_engine::unfollow(hints);
    const std::lock_guard hold(gone.hint_->lock);
    gone.hint_->tell = nullptr;
  }
  std::vector<outbox::message> out;
  {
    settlement later;
    const net_lock hold(lock_);
    {
      const net_lock news(news_lock_);
      std::erase(news_, &gone);
    }
    if (gone.in_core_) {
      gone.in_core_->set_value(gone.issuer_.line()->completed(), real_time_ns());
      gone.in_core_->fail(-ECANCELED, real_time_ns());
      gone.in_core_->release();
      // If nothing is under way it goes now, though the link may end in a moment.
      static_cast<void>(core_.tick(*gone.in_core_, now_ns()));
      out = outbox_.take();
      if (gone.in_core_->ended() == 0) busy_.push_back(gone.in_core_);
      const auto known = exports_.find(gone.in_core_->news().timeline_id);
      if (known != exports_.end() && known->second == &gone) exports_.erase(known);
      for (awaited_value& waiter : gone.awaited_) waiter.right.decide(-ECANCELED, later);
      gone.awaited_.clear();
    }
    if (gone.ended_ && !gone.ended_->is_signaled()) gone.ended_right_.decide(0, later);
  }
  for (const outbox::message& one : out) engine_->send(one);
  wake();
}

// --- Imports ---

import_state::import_state(std::shared_ptr<link> of, importer& in_core)
    : link_(std::move(of)), in_core_(in_core), context_(fence::allocate_contexts(1)) {}

import_state::~import_state() { link_->drop(*this); }

result<std::shared_ptr<import_state>> link::add_import(importer_options options) {
  const std::uint64_t id = options.timeline_id;
  auto found = fence::create(fence::allocate_contexts(1), 1);
  if (!found) return std::unexpected(found.error());
  std::shared_ptr<import_state> made;
  {
    const net_lock hold(lock_);
    made = std::make_shared<import_state>(user(), core_.add_importer(std::move(options), now_ns()));
    made->found_ = std::move(found->fence);
    made->found_right_ = std::move(found->signal);
    imports_[&made->in_core_] = made.get();
  }
  // First what comes, then what was there: so nothing is missed.
  const auto values = engine_->follow_values(id);
  if (!values) return std::unexpected(values.error());
  made->values_ = *values;
  const auto news = engine_->follow_news(id);
  if (!news) return std::unexpected(news.error());
  made->news_ = *news;
  {
    const net_lock hold(lock_);
    core_.tick(made->in_core_, now_ns());
  }
  wake();
  return made;
}

void link::drop(import_state& gone) noexcept {
  for (natsSubscription* one : {gone.news_, gone.values_}) {
    if (one != nullptr) nats_engine::unfollow(one);
  }
  settlement later;
  const net_lock hold(lock_);
  imports_.erase(&gone.in_core_);
  core_.remove(gone.in_core_);
  gone.pending_.fail(-ECANCELED, later);
  if (!gone.found_->is_signaled()) gone.found_right_.decide(-ECANCELED, later);
}

namespace {

// Of a pending fence of an import: a waiter is a hint for the owner.
struct point_data : backend {
  std::weak_ptr<import_state> of;
  std::uint64_t point;
};

const backend_ops point_ops{
    .enable_signaling =
        [](backend* data) noexcept {
          const auto* const one = static_cast<point_data*>(data);
          if (const auto in = one->of.lock()) in->want(one->point, no_deadline);
          return 0;
        },
    .set_deadline =
        [](backend* data, std::int64_t deadline_ns) noexcept {
          const auto* const one = static_cast<point_data*>(data);
          if (const auto in = one->of.lock()) in->want(one->point, deadline_ns);
        },
    .retire = [](backend* data, retired_by) noexcept { delete static_cast<point_data*>(data); },
};

}  // namespace

void import_state::want(std::uint64_t point, std::int64_t deadline_ns) noexcept {
  link_->want(*this, point, deadline_ns);
}

void link::want(import_state& in, std::uint64_t point, std::int64_t deadline_ns) {
  {
    const net_lock hold(lock_);
    in.in_core_.want(point, deadline_ns);
    core_.tick(in.in_core_, now_ns());
    if (outbox_.is_empty()) return;
  }
  wake();
}

result<fence_ref> link::fence_at(import_state& in, std::uint64_t point) {
  auto data = std::make_unique<point_data>(backend{&point_ops}, in.weak_from_this(), point);
  auto made = fence::create(in.context_, point, data.get());
  if (!made) return std::unexpected(made.error());
  static_cast<void>(data.release());  // retire
  settlement later;
  const net_lock hold(lock_);
  in.pending_.add(point, std::move(made->signal));
  advance_locked(in, later);
  return std::move(made->fence);
}

}  // namespace ufence::detail

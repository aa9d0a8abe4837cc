#include "tools/ufence/run/engine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "tools/ufence/cli/interrupt.h"
#include "tools/ufence/cli/units.h"
#include "ufence/base/clock.h"

namespace ufence::tool {
namespace {

constexpr std::size_t lines_waiting_max = 1UL << 18U;
constexpr std::int64_t progress_interval_ns = 200'000'000;

std::string error_text(int errno_value) {
  if (errno_value == EOPNOTSUPP) return "Not a regular file";  // as `uring` says it
  return std::generic_category().message(errno_value);
}

}  // namespace

struct engine::client {
  client(std::vector<std::string> roots, engine& e, const run_options& options,
         const run_limits& limits, const shared_blocks* shared, std::size_t number)
      : inputs(std::move(roots)),
        walk(inputs, options.keeps_order, e),
        blocks(options.block_bytes,
               std::max<std::size_t>(limits.blocks / options.clients.size(), 2), shared),
        services{.jobs = e.jobs_,
                 .reads = e.reads_,
                 .blocks = blocks,
                 .box = e.box_,
                 .counters = e.counters_,
                 .block_bytes = options.block_bytes,
                 .blocks_per_file_max = limits.blocks_per_file,
                 .client = number} {}

  const std::vector<std::string> inputs;
  input_walk walk;
  block_pool blocks;
  file_services services;
  std::deque<sum_line> lines;  // in the order of the walk; elements stay in place
  std::size_t active = 0;      // files
  bool has_more = true;        // files to come from the walk
  client_totals totals;
};

struct engine::active_file {
  active_file(client& c, file_location where, sum_line& l)
      : of(c), line(l), hash(c.services, std::move(where), l.digest), begin_ns(now_ns()) {
    hash.owner = this;
    ++c.active;
  }
  ~active_file() { --of.active; }
  active_file(const active_file&) = delete;
  active_file& operator=(const active_file&) = delete;

  client& of;
  sum_line& line;
  file_hash hash;
  const std::int64_t begin_ns;
  std::size_t index = 0;           // in active_
  bool is_listed_blocked = false;  // in blocked_
};

engine::engine(const run_options& options, const run_limits& limits, console& con, sum_output& out,
               mailbox& box, job_issuer& jobs, client_queues& queues, read_service& reads,
               const shared_blocks* shared)
    : console_(con),
      output_(out),
      box_(box),
      jobs_(jobs),
      queues_(queues),
      reads_(reads),
      files_max_(std::max<std::size_t>(limits.files / options.clients.size(), 1)),
      begin_ns_(now_ns()),
      progress_at_ns_(begin_ns_ + progress_interval_ns) {
  const std::size_t count = options.clients.size();
  std::vector<std::vector<std::string>> dealt(count);
  for (std::size_t i = 0; i < options.inputs.size(); ++i) {
    dealt[i % count].push_back(options.inputs[i]);
  }
  for (std::size_t i = 0; i < count; ++i) {
    clients_.push_back(
        std::make_unique<client>(std::move(dealt[i]), *this, options, limits, shared, i));
  }
}

engine::~engine() = default;

engine::outcome engine::run() {
  for (;;) {
    queues_.run_ready();
    const bool had_events = take_events();
    retry_blocked();
    admit();
    write_ready_lines();
    show_progress();
    if (active_.empty() && is_stopping_) return outcome::finished;
    if (!is_stopping_) {
      if (!goes_on()) return outcome::interrupted;
      if (has_failed_ || output_.has_failed()) return outcome::failed;
      const auto has_more = [](const auto& c) { return c->has_more; };
      if (active_.empty() && std::ranges::none_of(clients_, has_more)) return outcome::finished;
    }
    if (!had_events) wait();
  }
}

void engine::stop() {
  is_stopping_ = true;
  for (const auto& f : active_) f->hash.stop();
  // Those that have nothing in flight finish at once, and are taken out of active_.
  for (std::size_t i = active_.size(); i-- > 0;) advance(*active_[i]);
}

void engine::take_news() { take_events(); }

bool engine::goes_on() const { return interrupt_watch::signal_number() == 0; }

file_totals engine::totals() const {
  file_totals sum = totals_;
  sum.resubmitted = counters_.resubmitted;
  for (const auto& c : clients_) {
    sum.files += c->totals.files;
    sum.bytes += c->totals.bytes;
    sum.clients.push_back(c->totals);
  }
  return sum;
}

// --- Files. ---

bool engine::may_begin(const client& c) const {
  return c.has_more && !is_stopping_ && c.active < files_max_ && !c.blocks.empty() &&
         c.lines.size() < lines_waiting_max / clients_.size() &&
         jobs_.is_available(driver::uring) && jobs_.is_available(driver::cpu);
}

void engine::admit() {
  for (bool has_begun = true; has_begun;) {
    has_begun = false;
    for (const auto& c : clients_) {
      if (!may_begin(*c)) continue;
      has_begun = true;
      c->has_more = c->walk.next();
      if (c->has_more) begin_file(*c);
      note_end(*c);
    }
  }
}

// From the first client's end on not all of them want their share.
void engine::note_end(const client& c) {
  if (c.has_more || c.active != 0 || !std::exchange(all_have_work_, false)) return;
  const std::vector<std::int64_t> times = queues_.device_time_ns();
  for (std::size_t i = 0; i < times.size(); ++i) clients_[i]->totals.device_ns = times[i];
}

void engine::begin_file(client& c) {
  const tree_walk& at = c.walk.current();
  const char* const name = at.path().c_str() + at.name_begin();
  const int directory = at.directory() ? at.directory()->get() : AT_FDCWD;
  struct stat status {};
  if (::fstatat(directory, name, &status, at.is_root() ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
    failed(at.path(), error_text(errno));
    return;
  }
  if (output_.is_own_file(status)) return;
  if (!S_ISREG(status.st_mode)) return skipped();  // it was a file a moment ago

  sum_line& line = c.lines.emplace_back(sum_line{.path = at.path()});
  file_location where{.directory = at.directory(),
                      .name = line.path.c_str() + at.name_begin(),
                      .follows_link = at.is_root(),
                      .size_hint = static_cast<std::uint64_t>(status.st_size),
                      .client = c.services.client};
  auto begun = std::make_unique<active_file>(c, std::move(where), line);
  begun->index = active_.size();
  active_.push_back(std::move(begun));
  advance(*active_.back());
}

void engine::advance(active_file& f) {
  if (f.hash.advance()) {
    finish(f);
  } else if (f.hash.is_blocked() && !f.is_listed_blocked) {
    f.is_listed_blocked = true;
    blocked_.push_back(&f);
  }
}

void engine::finish(active_file& f) {
  if (f.hash.is_hashed()) {
    f.line.state = sum_line::progress::hashed;
    client_totals& totals = f.of.totals;
    ++totals.files;
    totals.bytes += f.hash.bytes();
    totals.file_ns.push_back(now_ns() - f.begin_ns);
  } else {
    f.line.state = sum_line::progress::dropped;
    if (f.hash.error() != 0) failed(f.line.path, error_text(-f.hash.error()));
  }
  if (f.is_listed_blocked) std::erase(blocked_, &f);
  const std::size_t index = f.index;
  const client& c = f.of;
  std::swap(active_[index], active_.back());
  active_[index]->index = index;
  active_.pop_back();
  note_end(c);
}

// Files that waited for a module or for memory, if there is some now.
void engine::retry_blocked() {
  if (blocked_.empty() || !counters_.has_news_for_blocked) return;
  counters_.has_news_for_blocked = false;
  for (active_file* f : std::exchange(blocked_, {})) {
    f->is_listed_blocked = false;
    advance(*f);
  }
}

// --- Events. ---

// The reader's news first: they name files, and an event might finish one of them.
bool engine::take_events() {
  const auto advance_file = [this](file_hash& f) { advance(*static_cast<active_file*>(f.owner)); };
  const bool had_news = reads_.take_news(advance_file);
  if (had_news) {
    counters_.has_news_for_blocked = true;
    if (const std::string why = reads_.failure(); !why.empty() && !has_failed_) {
      console_.problem("reader", why);
      has_failed_ = true;
    }
  }
  const bool had_events = box_.take(
      [&](watch& event) {
        --counters_.watches_queued;
        advance_file(*static_cast<file_hash*>(event.owner));
      },
      [this](news what) { take(std::move(what)); });
  return had_news || had_events;
}

void engine::take(news what) {
  if (!what.note.empty()) console_.note(what.note);
  if (what.loaded) {
    jobs_.use(std::move(what.loaded));
    counters_.has_news_for_blocked = true;
  } else if (!what.problem.empty()) {
    console_.problem(name_of(what.which), what.problem);
    has_failed_ = true;
  }
}

// Sleeps until half of what is awaited has come: each wake-up then finds much to do, and those who
// work are not left without it meanwhile.
void engine::wait() {
  const std::size_t events_min = std::max<std::size_t>(1, counters_.watches_queued / 2);
  const std::int64_t progress_at_ns = console_.shows_progress() ? progress_at_ns_ : no_deadline;
  box_.wait(events_min, std::min(progress_at_ns, reads_.news_at_ns()), reads_.news_fd());
}

// --- Output. ---

// The client whose line comes next; null: that is not known yet, or there is none.
engine::client* engine::least_line() const {
  client* least = nullptr;
  for (const auto& c : clients_) {
    if (c->lines.empty()) {
      if (c->has_more) return nullptr;
    } else if (least == nullptr || c->lines.front().path < least->lines.front().path) {
      least = c.get();
    }
  }
  return least;
}

void engine::write_ready_lines() {
  for (client* c; (c = least_line()) != nullptr;) {
    const sum_line& line = c->lines.front();
    if (line.state == sum_line::progress::running) return;
    if (line.state == sum_line::progress::hashed)
      append_sum_line(output_.lines(), line.digest, line.path);
    c->lines.pop_front();
    output_.flush_if_full();
  }
}

void engine::show_progress() {
  if (!console_.shows_progress()) return;
  const std::int64_t now = now_ns();
  if (now < progress_at_ns_) return;
  progress_at_ns_ = now + progress_interval_ns;
  std::uint64_t files = 0, bytes = 0;
  for (const auto& c : clients_) files += c->totals.files, bytes += c->totals.bytes;
  for (const auto& f : active_) bytes += f->hash.bytes();
  const auto done = static_cast<double>(bytes);
  const double seconds = static_cast<double>(now - begin_ns_) / 1e9;
  console_.progress(fmt::format("{} files, {}, {}/s", grouped(files), byte_size(done),
                                byte_size(done / seconds)));
}

}  // namespace ufence::tool

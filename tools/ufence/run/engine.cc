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

struct engine::active_file {
  active_file(file_services& services, file_location where, sum_line& l)
      : line(l), hash(services, std::move(where), l.digest) {
    hash.owner = this;
  }

  sum_line& line;
  file_hash hash;
  std::size_t index = 0;           // in active_
  bool is_listed_blocked = false;  // in blocked_
};

engine::engine(const run_options& options, const run_limits& limits, console& con, sum_output& out,
               mailbox& box, job_issuer& jobs, read_service& reads, const shared_blocks* shared)
    : console_(con),
      output_(out),
      box_(box),
      jobs_(jobs),
      reads_(reads),
      blocks_(options.block_bytes, limits.blocks, shared),
      services_{.jobs = jobs,
                .reads = reads,
                .blocks = blocks_,
                .box = box,
                .block_bytes = options.block_bytes,
                .blocks_per_file_max = limits.blocks_per_file},
      walk_(options.inputs, options.keeps_order, *this),
      files_max_(limits.files),
      begin_ns_(now_ns()),
      progress_at_ns_(begin_ns_ + progress_interval_ns) {}

engine::~engine() = default;

engine::outcome engine::run() {
  for (;;) {
    const bool had_events = take_events();
    retry_blocked();
    admit();
    write_ready_lines();
    show_progress();
    if (active_.empty() && is_stopping_) return outcome::finished;
    if (!is_stopping_) {
      if (!goes_on()) return outcome::interrupted;
      if (has_failed_ || output_.has_failed()) return outcome::failed;
      if (active_.empty() && !has_more_) return outcome::finished;
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
  sum.resubmitted = services_.resubmitted;
  return sum;
}

// --- Files. ---

void engine::admit() {
  while (has_more_ && !is_stopping_ && active_.size() < files_max_ && !blocks_.empty() &&
         lines_.size() < lines_waiting_max && jobs_.is_available(driver::uring) &&
         jobs_.is_available(driver::cpu)) {
    has_more_ = walk_.next();
    if (has_more_) begin_file(walk_.current());
  }
}

void engine::begin_file(const tree_walk& at) {
  const char* const name = at.path().c_str() + at.name_begin();
  const int directory = at.directory() ? at.directory()->get() : AT_FDCWD;
  struct stat status {};
  if (::fstatat(directory, name, &status, at.is_root() ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
    failed(at.path(), error_text(errno));
    return;
  }
  if (output_.is_own_file(status)) return;
  if (!S_ISREG(status.st_mode)) return skipped();  // it was a file a moment ago

  sum_line& line = lines_.emplace_back(sum_line{.path = at.path()});
  file_location where{.directory = at.directory(),
                      .name = line.path.c_str() + at.name_begin(),
                      .follows_link = at.is_root(),
                      .size_hint = static_cast<std::uint64_t>(status.st_size)};
  auto begun = std::make_unique<active_file>(services_, std::move(where), line);
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
    ++totals_.files;
    totals_.bytes += f.hash.bytes();
  } else {
    f.line.state = sum_line::progress::dropped;
    if (f.hash.error() != 0) failed(f.line.path, error_text(-f.hash.error()));
  }
  if (f.is_listed_blocked) std::erase(blocked_, &f);
  const std::size_t index = f.index;
  std::swap(active_[index], active_.back());
  active_[index]->index = index;
  active_.pop_back();
}

// Files that waited for a module or for memory, if there is some now.
void engine::retry_blocked() {
  if (blocked_.empty() || !services_.has_news_for_blocked) return;
  services_.has_news_for_blocked = false;
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
    services_.has_news_for_blocked = true;
    if (const std::string why = reads_.failure(); !why.empty() && !has_failed_) {
      console_.problem("reader", why);
      has_failed_ = true;
    }
  }
  const bool had_events = box_.take(
      [&](watch& event) {
        --services_.watches_queued;
        advance_file(*static_cast<file_hash*>(event.owner));
      },
      [this](news what) { take(std::move(what)); });
  return had_news || had_events;
}

void engine::take(news what) {
  if (!what.note.empty()) console_.note(what.note);
  if (what.loaded) {
    jobs_.use(std::move(what.loaded));
    services_.has_news_for_blocked = true;
  } else if (!what.problem.empty()) {
    console_.problem(name_of(what.which), what.problem);
    has_failed_ = true;
  }
}

// Sleeps until half of what is awaited has come: each wake-up then finds much to do, and those who
// work are not left without it meanwhile.
void engine::wait() {
  const std::size_t events_min = std::max<std::size_t>(1, services_.watches_queued / 2);
  const std::int64_t progress_at_ns = console_.shows_progress() ? progress_at_ns_ : no_deadline;
  box_.wait(events_min, std::min(progress_at_ns, reads_.news_at_ns()), reads_.news_fd());
}

// --- Output. ---

void engine::write_ready_lines() {
  while (!lines_.empty() && lines_.front().state != sum_line::progress::running) {
    const sum_line& line = lines_.front();
    if (line.state == sum_line::progress::hashed)
      append_sum_line(output_.lines(), line.digest, line.path);
    lines_.pop_front();
    output_.flush_if_full();
  }
}

void engine::show_progress() {
  if (!console_.shows_progress()) return;
  const std::int64_t now = now_ns();
  if (now < progress_at_ns_) return;
  progress_at_ns_ = now + progress_interval_ns;
  std::uint64_t bytes = totals_.bytes;
  for (const auto& f : active_) bytes += f->hash.bytes();
  const auto done = static_cast<double>(bytes);
  const double seconds = static_cast<double>(now - begin_ns_) / 1e9;
  console_.progress(fmt::format("{} files, {}, {}/s", grouped(totals_.files), byte_size(done),
                                byte_size(done / seconds)));
}

}  // namespace ufence::tool

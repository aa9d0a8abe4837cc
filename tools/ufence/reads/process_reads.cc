#include "tools/ufence/reads/process_reads.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <span>
#include <string_view>
#include <utility>

#include "tools/ufence/hash/file_hash.h"
#include "ufence/base/check.h"
#include "ufence/base/clock.h"
#include "ufence/sync/sync_file.h"

namespace ufence::tool {
namespace {

// Readers that end by themselves, one after the other, without a single read: it would go on so.
constexpr std::uint64_t in_vain_max = 5;
// A reader that has not completed a read is killed later, and each time that was in vain twice as
// late: else a run on a slow machine might never end.
constexpr std::int64_t kill_postponed_ns = 1'000'000'000;
constexpr std::int64_t finish_ns = 5'000'000'000;
// Between two attempts to send where there was no room.
constexpr std::int64_t retry_ns = 2'000'000;

timeline_issuer make_timeline() {
  auto made =
      timeline_issuer::create({.driver_name = name_of(driver::uring), .timeline_name = "reader"});
  if (!made) throw std::bad_alloc();
  return *std::move(made);
}

}  // namespace

// --- One file. ---

class process_reads::opened_file final : public file_reads {
 public:
  opened_file(process_reads& service, file_location where)
      : service_(service), where_(std::move(where)) {}
  ~opened_file() override { leave_timeline(); }

  [[nodiscard]] result<issued_fence> submit(block& b) override {
    if (!fd_) {
      if (const int error = open(); error != 0) return service_.ended_fence(-error);
    }
    if (service_.via_ == read_path::syncobj) return submit_to_timeline(b);
    const read_message wanted{.block = static_cast<std::uint32_t>(b.index), .offset = b.offset};
    if (const std::error_code failed = service_.ask(wanted, fd_.get())) {
      return std::unexpected(failed);
    }
    service_.await_fence(b, wanted);
    return issued_fence{};
  }
  [[nodiscard]] const std::uint64_t& size_of(const block& b) const override {
    return b.read == block::step::done ? b.bytes_read : *service_.memory_.bytes_read(b.index);
  }
  [[nodiscard]] std::error_code take(block& b) override {
    // Read once: the reader might change it.
    const std::uint64_t size =
        *static_cast<const volatile std::uint64_t*>(service_.memory_.bytes_read(b.index));
    if (size > service_.memory_.block_bytes()) return errno_code(EPROTO);
    b.bytes_read = size;
    const bool is_whole_file = b.is_first && file_size_ != 0 && size == file_size_;
    b.is_at_end = size < service_.memory_.block_bytes() || is_whole_file;
    service_.note_completed();
    return {};
  }
  [[nodiscard]] bool was_cut(const issued_fence& /*f*/, int error) const override {
    // The reader's end; or an unload there.
    return error == -EOWNERDEAD || error == -ECANCELED || error == -ENODEV || error == -ESHUTDOWN;
  }
  [[nodiscard]] std::uint64_t file_size() const override { return file_size_; }

  // The timeline that was asked for; null: there will be none.
  void take_timeline(shared_timeline_ref line) {
    if (!line) timeline_id_ = 0;
    timeline_ = std::move(line);
  }

 private:
  // A timeline that has ended is followed by another one.
  result<issued_fence> submit_to_timeline(block& b) {
    if (timeline_ && timeline_->error() != 0) leave_timeline();
    if (timeline_id_ == 0) {
      timeline_id_ = service_.begin_timeline(*this);
      points_ = 0;
    }
    const read_message wanted{.block = static_cast<std::uint32_t>(b.index),
                              .offset = b.offset,
                              .timeline = timeline_id_,
                              .point = points_ + 1};
    if (const std::error_code failed = service_.ask(wanted, fd_.get())) {
      return std::unexpected(failed);
    }
    ++points_;
    if (timeline_) {
      if (issued_fence f = service_.fence_of(*timeline_, points_)) return f;
    }
    service_.await_fence(b, wanted);
    return issued_fence{};
  }
  void leave_timeline() {
    if (timeline_id_ != 0) service_.forget_timeline(timeline_id_);
    take_timeline(nullptr);
  }

  // As the module `uring` does it. 0 or a positive errno.
  int open() {
    const int directory = where_.directory ? where_.directory->get() : AT_FDCWD;
    const int flags =
        O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (where_.follows_link ? 0 : O_NOFOLLOW);
    unique_fd opened(::openat(directory, where_.name, flags));
    struct stat status {};
    if (!opened || ::fstat(opened.get(), &status) != 0) return errno;
    if (S_ISDIR(status.st_mode)) return EISDIR;
    if (!S_ISREG(status.st_mode)) return EOPNOTSUPP;
    if (::fcntl(opened.get(), F_SETFL, O_RDONLY) != 0) return errno;
    file_size_ = static_cast<std::uint64_t>(status.st_size);
    fd_ = std::move(opened);
    where_.directory.reset();
    return 0;
  }

  process_reads& service_;
  file_location where_;
  unique_fd fd_;
  std::uint64_t file_size_ = 0;
  std::uint64_t timeline_id_ = 0;  // 0: none
  std::uint64_t points_ = 0;       // of it that were given to reads
  shared_timeline_ref timeline_;   // null: it is to come
};

std::unique_ptr<file_reads> process_reads::open(file_location where) {
  return std::make_unique<opened_file>(*this, std::move(where));
}

// --- Readers come and go. ---

process_reads::process_reads(const run_options& options, std::string driver_path,
                             const shared_blocks& memory, job_issuer& jobs)
    : program_(options.reader_program),
      driver_path_(std::move(driver_path)),
      via_(options.via),
      kill_interval_(options.kill_reader_every_ms),
      reload_every_ms_(options.reload_every_ms),
      cancels_at_reload_(options.policy == unload_policy::cancel),
      memory_(memory),
      jobs_(jobs),
      own_fences_(make_timeline()),
      asked_(memory.count()) {}

void process_reads::start() {
  auto started = reader_process::start(program_);
  if (!started) {
    failure_ = started.error();
    return;
  }
  reader_ = *std::move(started);
  ++totals_.started;
  completed_ = 0;
  was_killed_ = false;
  kill_at_ns_ = no_deadline;
  if (kill_interval_.count() != 0) {
    const std::int64_t interval_ns = std::chrono::nanoseconds(kill_interval_).count();
    const auto doubled = static_cast<int>(std::min<std::uint64_t>(in_vain_, 10));
    kill_at_ns_ = deadline_after(std::max(interval_ns, kill_postponed_ns << doubled));
  }
  auto issuer = std::make_unique<instance>(nullptr, driver::uring);
  issuer_ = issuer.get();
  jobs_.use(std::move(issuer));
  is_set_up_ = false;
  send_setup();
}

void process_reads::send_setup() {
  setup_message setup{.cancels_at_reload = cancels_at_reload_ ? 1U : 0U,
                      .block_bytes = memory_.block_bytes(),
                      .block_count = memory_.count(),
                      .reload_every_ms = reload_every_ms_};
  if (driver_path_.size() >= setup.driver_path.size()) {
    failure_ = fmt::format("{}: {}", driver_path_, errno_code(ENAMETOOLONG).message());
    return;
  }
  std::ranges::copy(driver_path_, setup.driver_path.begin());
  const std::array memory{memory_.fd()};
  const std::error_code failed = post(bytes_of(setup), memory);
  is_set_up_ = !failed;
  if (failed && failed != errno_code(ENODEV)) failure_ = failed.message();
}

void process_reads::end(bool is_idle) {
  is_ending_ = true;
  if (!reader_) return;
  std::string how;
  if (is_idle) {
    how = reader_.finish(deadline_after(finish_ns));
  } else {
    reader_.end();  // a signal to all processes of the run may have ended it before
  }
  if (!how.empty() && failure_.empty()) failure_ = how;
  forget_reader();
}

// @param why  it is ended by us; empty: it has closed its end of the socket
void process_reads::ended(std::string_view why) {
  std::string how = reader_.end();
  if (!why.empty()) how = why;
  if (was_killed_) {
    ++totals_.killed;
  } else {
    ++totals_.lost;
  }
  in_vain_ = completed_ == 0 ? in_vain_ + 1 : 0;
  forget_reader();
  if (is_ending_ || !failure_.empty()) return;
  if (!how.empty() && in_vain_ >= in_vain_max) {
    failure_ = fmt::format("{}, {} times without having read anything", how, in_vain_);
    return;
  }
  start();
}

// Nothing of it comes any more: what was asked of it is cut off.
void process_reads::forget_reader() {
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    if (asked_[i].what != nullptr) deliver(i, ended_fence(-EOWNERDEAD));
  }
  for (const auto& [id, f] : std::exchange(timelines_, {})) f->take_timeline(nullptr);
  forgotten_.clear();
  retry_at_ns_ = no_deadline;
  totals_.fences_outliving += jobs_.retire(driver::uring);
  kill_at_ns_ = no_deadline;
}

void process_reads::note_completed() {
  if (completed_++ != 0 || kill_interval_.count() == 0 || !reader_) return;
  kill_at_ns_ = deadline_after(std::chrono::nanoseconds(kill_interval_).count());
}

void process_reads::kill_if_due() {
  if (!reader_ || now_ns() < kill_at_ns_) return;
  kill_at_ns_ = no_deadline;
  was_killed_ = true;
  reader_.kill();
}

std::int64_t process_reads::news_at_ns() const {
  return told_.empty() ? std::min(kill_at_ns_, retry_at_ns_) : 0;
}

// --- Messages. ---

// -ENODEV: the reader is gone, which will be told; or has much to do: again a little later.
std::error_code process_reads::send(std::span<const std::byte> message, std::span<const int> fds) {
  if (!reader_) return errno_code(ENODEV);
  if (!is_set_up_) send_setup();
  return is_set_up_ ? post(message, fds) : errno_code(ENODEV);
}

std::error_code process_reads::post(std::span<const std::byte> message, std::span<const int> fds) {
  const std::error_code failed = send_message(reader_.socket(), message, fds);
  switch (failed.value()) {
    case EPIPE:
    case ECONNRESET: return errno_code(ENODEV);
    case EAGAIN:
    case ENOBUFS:
    case ETOOMANYREFS: retry_at_ns_ = deadline_after(retry_ns); return errno_code(ENODEV);
    default: return failed;
  }
}

std::error_code process_reads::ask(const read_message& wanted, int file) {
  return send(bytes_of(wanted), std::span(&file, 1));
}

void process_reads::await_fence(block& b, const read_message& asked) {
  UFENCE_CHECK(b.index < asked_.size() && asked_[b.index].what == nullptr);
  asked_[b.index] = {.what = &b, .timeline = asked.timeline, .point = asked.point};
}

bool process_reads::take_news(const std::function<void(file_hash&)>& on_file) {
  kill_if_due();
  tell_forgotten();
  bool has_any = now_ns() >= retry_at_ns_;
  if (has_any) retry_at_ns_ = no_deadline;
  while (reader_) {
    answer said{};
    auto got = receive_message(reader_.socket(), room_of(said));
    if (!got && got.error() == errno_code(EAGAIN)) break;
    if (!got && (got.error() == errno_code(ECONNRESET) || got.error() == errno_code(EINTR)))
      continue;
    has_any = true;
    if (!got || got->size == 0) {
      ended({});
    } else if (got->is_cut || !take_answer(said, *got)) {
      ended("said what makes no sense");
    }
  }
  // Blocks of one file may have come together; after the first call it may be gone.
  std::vector<file_hash*> files = std::exchange(told_, {});
  std::ranges::sort(files);
  const auto doubles = std::ranges::unique(files);
  files.erase(doubles.begin(), doubles.end());
  for (file_hash* f : files) on_file(*f);
  return has_any || !files.empty();
}

// False: it makes no sense.
bool process_reads::take_answer(const answer& said, received_message& got) {
  if (said.kind == reader_message::fences && got.size == sizeof(fences_message)) {
    return take_fences(said.fences, got);
  }
  if (said.kind == reader_message::timeline && got.size == sizeof(timeline_message)) {
    return take_timeline(said.timeline, got);
  }
  if (said.kind == reader_message::failed && got.size == sizeof(failed_message)) {
    const auto& why = said.failed.why;
    failure_ = std::string(why.data(), ::strnlen(why.data(), why.size()));
    return true;
  }
  return false;
}

bool process_reads::take_fences(const fences_message& said, received_message& got) {
  if (said.count == 0 || said.count > said.reads.size()) return false;
  std::size_t next_fd = 0;
  for (const fences_message::entry& e : std::span(said.reads).first(said.count)) {
    if (e.block >= asked_.size() || e.error > 0) return false;
    if (asked_[e.block].what == nullptr || asked_[e.block].timeline != 0) return false;
    if (e.error != 0) {
      deliver(e.block, ended_fence(e.error));
      continue;
    }
    if (next_fd == got.fd_count) return false;
    const unique_fd file = std::move(got.fds[next_fd++]);
    result<fence_ref> f = sync_file_get_fence(file.get());
    // The read is under way, and can't be waited for: only the reader's end ends it.
    if (!f) return false;
    deliver(e.block, jobs_.adopt(*std::move(f), *issuer_));
  }
  return next_fd == got.fd_count;
}

void process_reads::deliver(std::size_t index, issued_fence f) {
  block& b = *std::exchange(asked_[index], {}).what;
  b.read_fence = std::move(f);
  told_.push_back(static_cast<file_hash*>(b.read_watch.owner));
}

// The fence of a read that no reader has begun.
issued_fence process_reads::ended_fence(int error) {
  result<new_fence> made = own_fences_.create_unordered();
  if (!made) throw std::bad_alloc();
  made->signal.signal(error < -4095 ? -EPROTO : error);
  return jobs_.adopt(std::move(made->fence), *issuer_);
}

// --- Timelines. ---

std::uint64_t process_reads::begin_timeline(opened_file& of) {
  timelines_.emplace(++last_timeline_, &of);
  return last_timeline_;
}

void process_reads::forget_timeline(std::uint64_t id) {
  if (timelines_.erase(id) != 0) forgotten_.push_back(id);  // else: another reader's
}

void process_reads::tell_forgotten() {
  while (!forgotten_.empty()) {
    if (send(bytes_of(forget_message{.timeline = forgotten_.back()}), {})) return;
    forgotten_.pop_back();
  }
}

// Empty: it is to come, with the reader's end, since nobody could wait for the read.
issued_fence process_reads::fence_of(shared_timeline& line, std::uint64_t point) {
  result<fence_ref> f = line.fence_at(point);
  if (f) return jobs_.adopt(*std::move(f), *issuer_);
  reader_.kill();
  return {};
}

bool process_reads::take_timeline(const timeline_message& said, received_message& got) {
  if (said.error > 0 || got.fd_count != (said.error == 0 ? 1U : 0U)) return false;
  const auto found = timelines_.find(said.timeline);
  if (found == timelines_.end()) return true;  // it was forgotten meanwhile
  opened_file* const of = found->second;
  shared_timeline_ref line;
  if (said.error == 0) {
    auto imported = shared_timeline::import(got.fds[0].get());
    if (!imported) return false;
    line = *std::move(imported);
  }
  for (std::size_t i = 0; i < asked_.size(); ++i) {
    if (asked_[i].timeline != said.timeline) continue;
    issued_fence f = line ? fence_of(*line, asked_[i].point) : ended_fence(said.error);
    if (!f) return false;
    deliver(i, std::move(f));
  }
  if (!line) timelines_.erase(found);
  of->take_timeline(std::move(line));
  return true;
}

}  // namespace ufence::tool

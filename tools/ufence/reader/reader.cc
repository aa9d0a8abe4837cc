#include "tools/ufence/reader/reader.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "drivers/uring/uring.h"
#include "tools/ufence/reader/fd_message.h"
#include "tools/ufence/reader/reader_wire.h"
#include "tools/ufence/reads/shared_blocks.h"
#include "tools/ufence/run/driver_modules.h"
#include "tools/ufence/run/job_issuer.h"
#include "tools/ufence/run/mailbox.h"
#include "tools/ufence/run/reloader.h"
#include "tools/ufence/run/told_reports.h"
#include "ufence/base/clock.h"
#include "ufence/sync/shared_timeline.h"
#include "ufence/sync/sync_file.h"

namespace ufence::tool {
namespace {

// Between two attempts to send where the system had no room.
constexpr int retry_ms = 2;

// Sleeps until the socket is readable, or writable; or its other end is closed.
bool wait_for(int socket, short events, int timeout_ms = -1) {
  pollfd ready{.fd = socket, .events = events, .revents = 0};
  return ::poll(&ready, 1, timeout_ms) > 0;
}

class reader {
 public:
  reader(unique_fd socket, const setup_message& setup, shared_blocks memory)
      : socket_(std::move(socket)),
        setup_(setup),
        memory_(std::move(memory)),
        modules_(setup.driver_path.data(), 1),
        jobs_(false) {}

  int run();

 private:
  // A file's timeline: a point is reached when its read has ended, and all before. One read that
  // fails ends it, but not before all that were begun have ended: the run takes what has ended for
  // its own again.
  struct file_line {
    shared_timeline_ref line;  // null: it could not be made
    std::uint64_t reached = 0;
    std::size_t under_way = 0;
    std::set<std::uint64_t> ended;   // beyond `reached`
    std::uint64_t failed_point = 0;  // the first one that is known to have failed; 0: none
    int error = 0;                   // its error, a negative errno
  };
  // A read under way.
  struct service {
    watch end;
    unique_fd file;
    issued_fence fence;
    std::shared_ptr<file_line> line;  // null: its fence was sent as a sync file
    std::uint64_t point = 0;
    std::list<service>::iterator self;
  };
  struct request {
    read_message what;
    unique_fd file;
  };
  // Answers to a few requests, to be sent together.
  struct answers {
    fences_message message;
    std::array<unique_fd, message_fds_max> files;
    std::size_t file_count = 0;
  };

  void serve();
  bool take_requests();
  [[nodiscard]] std::optional<request> next_request(answers& to);
  bool begin(request& r, answers& to);
  [[nodiscard]] std::shared_ptr<file_line> line_of(const read_message& what);
  static void advance(file_line& l, std::uint64_t point, int error);
  void answer(answers& to, std::uint32_t block, const fence_ref& f);
  [[nodiscard]] static int make_room_for_descriptors();
  static void refuse(answers& to, std::uint32_t block, int error);
  void send(std::span<const std::byte> message, std::span<const int> files);
  void finish(service& s);
  void take(news what);
  void fail(std::string_view why);

  const unique_fd socket_;
  const setup_message setup_;
  const shared_blocks memory_;
  driver_modules modules_;
  mailbox box_;
  job_issuer jobs_;
  std::list<service> services_;
  std::unordered_map<std::uint64_t, std::shared_ptr<file_line>> lines_;  // by the run's number
  std::optional<request> held_;  // while there is no module to take it
  bool is_over_ = false;
  bool has_failed_ = false;
};

int reader::run() {
  auto loaded = modules_.load(driver::uring);
  if (!loaded) {
    fail(loaded.error());
    return 1;
  }
  jobs_.use(*std::move(loaded));
  std::optional<reloader> reloads;
  if (setup_.reload_every_ms != 0) {
    reloads.emplace(modules_, box_,
                    reload_plan{.every = std::chrono::milliseconds(setup_.reload_every_ms)},
                    setup_.cancels_at_reload != 0 ? unload_policy::cancel : unload_policy::drain,
                    std::vector{jobs_.current(driver::uring)});
  }
  serve();
  reloads.reset();
  const auto take_end = [this](watch& end) { finish(*static_cast<service*>(end.owner)); };
  const auto take_news = [this](news what) {
    if (what.loaded) jobs_.use(std::move(what.loaded));
  };
  box_.take(take_end, take_news);
  instance& last = *jobs_.current(driver::uring);
  // A module that is still mapped may still write to the memory that it was given: only the end of the process helps.
  if (!last.is_gone && !modules_.unload_for_good(last, unload_policy::cancel)) ::_exit(1);
  box_.take(take_end, take_news);
  return has_failed_ ? 1 : 0;
}

void reader::serve() {
  while (!is_over_) {
    bool has_any = box_.take([this](watch& end) { finish(*static_cast<service*>(end.owner)); },
                             [this](news what) { take(std::move(what)); });
    if (take_requests()) has_any = true;
    if (has_any || is_over_) continue;
    // With sync files nobody waits for what is done at the end of a read: not for each of them.
    const std::size_t ends_min =
        lines_.empty() ? std::max<std::size_t>(1, services_.size() / 2) : 1;
    box_.wait(ends_min, no_deadline, held_ ? -1 : socket_.get());
  }
}

// --- Requests. ---

bool reader::take_requests() {
  answers to{};
  while (to.message.count < to.message.reads.size() && !is_over_) {
    std::optional<request> r = held_ ? std::exchange(held_, std::nullopt) : next_request(to);
    if (!r) break;
    if (!begin(*r, to)) {
      held_ = std::move(r);
      break;
    }
  }
  if (to.message.count == 0) return false;
  std::array<int, message_fds_max> files{};
  std::ranges::transform(to.files, files.begin(), &unique_fd::get);
  send(bytes_of(to.message), std::span(files).first(to.file_count));
  return true;
}

std::optional<reader::request> reader::next_request(answers& to) {
  while (to.message.count < to.message.reads.size()) {
    union {
      reader_message kind;
      read_message read;
      forget_message forget;
    } said{};
    auto got = receive_message(socket_.get(), room_of(said));
    if (!got && got.error() == errno_code(EINTR)) continue;
    if (!got && got.error() == errno_code(EAGAIN)) return std::nullopt;
    if (got && got->size == sizeof said.forget && said.kind == reader_message::forget) {
      lines_.erase(said.forget.timeline);
      continue;
    }
    if (!got || got->size != sizeof said.read || said.kind != reader_message::read ||
        said.read.block >= memory_.count()) {
      is_over_ = true;
      return std::nullopt;
    }
    if (got->fd_count == 1) return request{.what = said.read, .file = std::move(got->fds[0])};
    // Its own was lost on the way.
    const int error = make_room_for_descriptors();
    if (said.read.timeline == 0) {
      refuse(to, said.read.block, error);
    } else if (const auto line = line_of(said.read); line->line) {
      ++line->under_way;
      advance(*line, said.read.point, error);
    }
  }
  return std::nullopt;
}

// False: there is no module at the moment.
bool reader::begin(request& r, answers& to) {
  const std::shared_ptr<file_line> line = r.what.timeline != 0 ? line_of(r.what) : nullptr;
  // Requests behind a failure end with it.
  if (line && (!line->line || line->error != 0)) return true;
  const ufence_uring_read args{.fd = r.file.get(),
                               .flags = 0,
                               .offset = r.what.offset,
                               .buffer = memory_.buffer(r.what.block),
                               .size = memory_.block_bytes(),
                               .bytes_read = memory_.bytes_read(r.what.block)};
  auto submitted = jobs_.submit(driver::uring, request_of(UFENCE_URING_READ, args));
  if (!submitted && submitted.error() == errno_code(ENODEV)) return false;
  if (line) ++line->under_way;
  if (!submitted) {
    const int error = -submitted.error().value();
    line ? advance(*line, r.what.point, error) : refuse(to, r.what.block, error);
    return true;
  }
  service& s = services_.emplace_back();
  s.self = std::prev(services_.end());
  s.file = std::move(r.file);
  s.fence = *std::move(submitted);
  s.line = line;
  s.point = r.what.point;
  s.end.box = &box_;
  s.end.owner = &s;
  if (!line) answer(to, r.what.block, s.fence.fence);
  if (s.fence.fence->add_callback(s.end)) finish(s);  // it has ended already
  return true;
}

void reader::answer(answers& to, std::uint32_t block, const fence_ref& f) {
  result<unique_fd> file = sync_file_create(f);
  if (!file) {
    // It is under way all the same, and must not be when it is refused.
    static_cast<void>(f->wait());
    return refuse(to, block, -file.error().value());
  }
  to.files[to.file_count++] = *std::move(file);
  to.message.reads[to.message.count++] = {.block = block, .error = 0};
}

// -ECANCELED: there is room, so the read may be submitted again.
int reader::make_room_for_descriptors() {
  const result<unique_fd> probe = sync_file_create(fence::stub());
  return probe ? -ECANCELED : -probe.error().value();
}

void reader::refuse(answers& to, std::uint32_t block, int error) {
  to.message.reads[to.message.count++] = {.block = block, .error = error};
}

void reader::send(std::span<const std::byte> message, std::span<const int> files) {
  for (;;) {
    const std::error_code failed = send_message(socket_.get(), message, files);
    if (!failed) return;
    if (failed == errno_code(EINTR)) continue;
    if (failed == errno_code(EAGAIN)) {
      wait_for(socket_.get(), POLLOUT);
      continue;
    }
    const bool has_no_room = failed == errno_code(ETOOMANYREFS) || failed == errno_code(ENOBUFS);
    if (!has_no_room || wait_for(socket_.get(), 0, retry_ms)) break;
  }
  is_over_ = true;
}

// --- Timelines. ---

// Makes it with its first read, and sends it.
std::shared_ptr<reader::file_line> reader::line_of(const read_message& what) {
  std::shared_ptr<file_line>& known = lines_[what.timeline];
  if (known) return known;
  known = std::make_shared<file_line>();
  timeline_message told{.timeline = what.timeline};
  auto made = shared_timeline::create({.name = "read"});
  result<unique_fd> page =
      made ? (*made)->export_fd(shared_access::wait) : failure(made.error().value());
  if (page) {
    known->line = *std::move(made);
    const int file = page->get();
    send(bytes_of(told), std::span(&file, 1));
  } else {
    told.error = -page.error().value();
    send(bytes_of(told), {});
  }
  return known;
}

// A read has ended, or can't be begun.
void reader::advance(file_line& l, std::uint64_t point, int error) {
  --l.under_way;
  l.ended.insert(point);
  if (error != 0 && (l.error == 0 || point < l.failed_point)) {
    l.failed_point = point;
    l.error = error;
  }
  const std::uint64_t before = l.reached;
  while (l.reached + 1 != l.failed_point && l.ended.erase(l.reached + 1) != 0) ++l.reached;
  if (l.reached != before) static_cast<void>(l.line->signal(l.reached));
  if (l.error != 0 && l.under_way == 0) static_cast<void>(l.line->fail(l.error));
}

// --- Events. ---

void reader::finish(service& s) {
  if (s.line) advance(*s.line, s.point, s.fence.fence->error());
  jobs_.drop(s.fence);
  services_.erase(s.self);
}

void reader::take(news what) {
  if (what.loaded) {
    jobs_.use(std::move(what.loaded));
  } else {
    fail(what.problem);
  }
}

void reader::fail(std::string_view why) {
  failed_message said{};
  std::ranges::copy(why.substr(0, said.why.size() - 1), said.why.begin());
  static_cast<void>(send_message(socket_.get(), bytes_of(said)));
  is_over_ = has_failed_ = true;
}

}  // namespace

int run_reader(unique_fd socket) {
  // Ctrl-C is for the run, which ends its reader.
  for (const int number : {SIGINT, SIGHUP, SIGPIPE}) ::signal(number, SIG_IGN);
  const told_reports reports;
  setup_message setup{};
  result<received_message> got = failure(EAGAIN);
  for (;;) {
    got = receive_message(socket.get(), room_of(setup));
    if (got || (got.error() != errno_code(EAGAIN) && got.error() != errno_code(EINTR))) break;
    wait_for(socket.get(), POLLIN);
  }
  if (!got || got->size != sizeof setup || setup.kind != reader_message::setup ||
      got->fd_count != 1 || setup.driver_path.back() != 0) {
    return 1;
  }
  auto memory = shared_blocks::map(std::move(got->fds[0]), setup.block_count, setup.block_bytes);
  if (!memory) {
    failed_message said{};
    std::ranges::copy(memory.error().message(), said.why.begin());
    static_cast<void>(send_message(socket.get(), bytes_of(said)));
    return 1;
  }
  return reader(std::move(socket), setup, *std::move(memory)).run();
}

}  // namespace ufence::tool

#include "tools/net/job/run.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "tools/net/job/block_sender.h"
#include "tools/net/job/bus.h"
#include "tools/net/job/files.h"
#include "tools/net/job/members.h"
#include "tools/net/job/wire.h"
#include "tools/ufence/cli/console.h"
#include "tools/ufence/cli/interrupt.h"
#include "tools/ufence/cli/units.h"
#include "tools/ufence/hash/sum_line.h"
#include "tools/ufence/hash/sum_output.h"
#include "ufence/base/clock.h"
#include "ufence/base/fd.h"
#include "ufence/net/host_link.h"

namespace ufence::tool {
namespace {

// The timeline by which two runs of a namespace see each other.
constexpr const char* run_name = "ufence run";
// Items in the queue that nobody has taken: workers always find one, and little is left behind.
constexpr std::size_t waiting_max = 64;
// Without a claim for so long, what waits goes into the queue again: it may have been lost.
constexpr std::int64_t hand_out_again_ns = 5'000'000'000;
constexpr std::int64_t progress_ns = 200'000'000;
constexpr std::int64_t lonely_ns = 2'000'000'000;

struct question {
  std::string bytes;
  std::string reply;
};

class host_run {
 public:
  explicit host_run(const host_run_options& o);
  int run();

 private:
  bool open();
  bool connect();
  bool is_alone();
  bool claim_namespace();
  void loop();
  void keep_namespace();
  void hand_out();
  void hand_out(const job_file& one);
  void take_questions();
  [[nodiscard]] std::optional<verdict> answer(const std::string& bytes);
  [[nodiscard]] std::optional<verdict> answer(const work_claim& claim);
  void take_ended();
  void show_progress();
  void tell();
  void wait();
  void wake() const noexcept;
  bool problem(const std::string& of, const std::error_code& what);
  [[nodiscard]] static bool is_interrupted() { return interrupt_watch::signal_number() != 0; }
  [[nodiscard]] std::int64_t lease_ns() const { return link_options_.lease_ns; }
  [[nodiscard]] int exit_status() const;

  const host_run_options& options_;
  const host_link_options link_options_;
  unique_fd wake_fd_;
  console console_;
  interrupt_watch interrupts_;
  sum_output output_;
  job_files files_;
  std::mutex lock_;
  std::vector<question> questions_;  // lock_
  std::vector<question> deferred_;   // to be answered when a point has come
  std::unique_ptr<bus> server_;
  std::optional<host_link> link_;
  std::optional<exported_timeline> line_;
  std::unique_ptr<members> members_;
  member_totals told_;
  std::unique_ptr<block_sender> sender_;
  std::uint64_t run_ = 0;
  std::uint64_t hand_outs_ = 0;
  const std::int64_t begin_ns_ = now_ns();
  std::int64_t end_ns_ = begin_ns_;
  std::int64_t last_claim_ns_ = begin_ns_;
  std::int64_t progress_at_ns_ = begin_ns_;
  bool has_told_lonely_ = false;
  bool has_failed_ = false;
  bool is_complete_ = false;
};

host_run::host_run(const host_run_options& o)
    : options_(o),
      link_options_(o.server.options()),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      console_(o.quiet),
      interrupts_(wake_fd_.get()),
      files_(o.input, console_, output_) {}

int host_run::run() {
  if (open() && connect() && is_alone() && claim_namespace()) {
    loop();
    if (is_complete_ || output_.has_failed()) {
      const std::error_code failed = output_.commit();
      is_complete_ = !failed;
      if (failed && !is_interrupted()) console_.problem(output_.name(), failed.message());
    }
  }
  end_ns_ = now_ns();
  if (server_) server_->close();
  sender_.reset();
  if (members_) told_ = members_->totals();
  members_.reset();
  tell();
  return exit_status();
}

bool host_run::problem(const std::string& of, const std::error_code& what) {
  if (!what) return true;
  console_.problem(of, what.message());
  return false;
}

bool host_run::open() {
  if (!problem(options_.input, files_.find_root())) return false;
  if (options_.output.empty()) {
    if (!options_.json) output_.open_stdout();
    return true;
  }
  return problem(options_.output, output_.open_file(options_.output));
}

bool host_run::connect() {
  const std::string& name = options_.server.link.servers.front();
  auto server = bus::connect(link_options_);
  if (!server) return problem(name, server.error());
  server_ = *std::move(server);
  auto link = host_link::connect(link_options_);
  if (!link) return problem(name, link.error());
  link_ = *std::move(link);
  std::string why;
  const std::error_code failed = server_->make_streams(&why);
  if (failed == errno_code(ETIME)) {
    console_.problem(name, "no answer from JetStream: has the server it, and may we use it?");
    return false;
  }
  if (failed == errno_code(EPROTO)) {
    console_.problem(name, "it refuses the queues of the job: " + printable(why));
    return false;
  }
  return problem(name, failed);
}

// A run that died counts as one until its lease is over.
bool host_run::is_alone() {
  const auto all = link_->look_around(0);
  if (!all) return problem(link_options_.namespace_, all.error());
  const auto other = std::ranges::find_if(*all, [](const known_timeline& one) {
    return one.origin.timeline == run_name && one.error == 0;
  });
  if (other == all->end()) return true;
  auto line = link_->import_point(other->at);
  if (!line) return problem(link_options_.namespace_, line.error());
  const auto end = line->fence_at(remote_point::point_max);
  if (!end) return problem(link_options_.namespace_, end.error());
  const std::int64_t patience = 2 * std::max(lease_ns(), other->lease_ns) + 2'000'000'000;
  const std::int64_t until = deadline_after(patience);
  while (!is_interrupted() && (*end)->wait(std::min(until, deadline_after(progress_ns))) &&
         now_ns() < until) {
  }
  if ((*end)->is_signaled()) return true;
  if (!is_interrupted()) {
    console_.problem(link_options_.namespace_,
                     fmt::format("another run has this namespace: process {} on {}",
                                 other->origin.process, printable(other->origin.host)));
  }
  return false;
}

bool host_run::claim_namespace() {
  if (::getentropy(&run_, sizeof run_) != 0) return problem("random", errno_code(errno));
  auto issuer = timeline_issuer::create({.driver_name = "ufence run", .timeline_name = run_name});
  if (!issuer) return problem(link_options_.namespace_, issuer.error());
  // A question that is lost is asked again after a third of the lease.
  auto line =
      link_->export_timeline(*std::move(issuer), run_name,
                             {.within_ns = std::max<std::int64_t>(lease_ns(), 10'000'000'000)});
  if (!line) return problem(link_options_.namespace_, line.error());
  line_ = *std::move(line);
  server_->purge_work();
  members_ = std::make_unique<members>(*link_, lease_ns(), [this] { wake(); });
  if (options_.sends_files) sender_ = std::make_unique<block_sender>(*server_);
  return problem(link_options_.namespace_,
                 server_->answer(run_, [this](std::string_view bytes, const char* reply) {
                   {
                     const std::lock_guard hold(lock_);
                     questions_.push_back({std::string(bytes), reply});
                   }
                   wake();
                 }));
}

void host_run::wake() const noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(::write(wake_fd_.get(), &one, sizeof one) != 0);
}

void host_run::loop() {
  while (!is_interrupted() && !has_failed_ && !output_.has_failed()) {
    take_ended();
    take_questions();
    keep_namespace();
    hand_out();
    files_.write_ready();
    show_progress();
    if (files_.is_complete()) {
      is_complete_ = true;
      line_->fail(-ESHUTDOWN);
      static_cast<void>(line_->flush(deadline_after(lease_ns())));
      return;
    }
    wait();
  }
}

// Its timeline ends if the server is away for a lease: that is no end for the job.
void host_run::keep_namespace() {
  if (line_) {
    if (!line_->ended()->is_signaled()) {
      line_->signal_up_to(files_.hashed());
      return;
    }
    if (line_->ended()->error() == -ESTALE) {
      console_.problem(link_options_.namespace_, "another run has taken this namespace");
      has_failed_ = true;
      return;
    }
    line_.reset();
  }
  if (!link_->was_connected()) return;
  auto issuer = timeline_issuer::create({.driver_name = "ufence run", .timeline_name = run_name});
  if (!issuer) return;
  auto line = link_->export_timeline(*std::move(issuer), run_name, {.within_ns = lease_ns()});
  if (line) line_ = *std::move(line);
}

void host_run::hand_out(const job_file& one) {
  server_->hand_out(to_bytes(work_item{.run = run_,
                                       .number = one.number,
                                       .attempt = one.attempt,
                                       .is_sent = options_.sends_files,
                                       .root = files_.root(),
                                       .path = files_.below_root(one)}));
}

void host_run::hand_out() {
  while (files_.waiting() < waiting_max) {
    const job_file* const one = files_.next();
    if (one == nullptr) break;
    hand_out(*one);
    ++hand_outs_;
  }
  const bool was_lost = server_->take_reconnected();
  if (was_lost) static_cast<void>(server_->make_streams());
  if (!was_lost && now_ns() - last_claim_ns_ < hand_out_again_ns) return;
  last_claim_ns_ = now_ns();
  files_.for_each_waiting([this](const job_file& one) { hand_out(one); });
}

// --- What workers say ---

void host_run::take_questions() {
  std::vector<question> all;
  {
    const std::lock_guard hold(lock_);
    all.swap(questions_);
  }
  all.insert(all.begin(), deferred_.begin(), deferred_.end());
  deferred_.clear();
  for (question& one : all) {
    if (const auto said = answer(one.bytes)) {
      server_->publish(one.reply, to_bytes(*said));
    } else {
      deferred_.push_back(std::move(one));
    }
  }
}

// Nothing: not yet.
std::optional<verdict> host_run::answer(const std::string& bytes) {
  if (const auto claim = parse_claim(bytes); claim && claim->run == run_) return answer(*claim);
  if (auto said = parse_result(bytes); said && said->run == run_) {
    return members_->report(*std::move(said));
  }
  return verdict::no;
}

std::optional<verdict> host_run::answer(const work_claim& claim) {
  last_claim_ns_ = now_ns();
  job_file* const one = files_.find(claim.number);
  const bool is_free =
      one != nullptr && one->state == job_file::progress::waiting && one->attempt == claim.attempt;
  const auto said = members_->claim(claim, is_free);
  if (said != verdict::yes || !is_free) return said;
  files_.claim(*one);
  if (sender_ && claim.blocks != 0) {
    sender_->begin(claim.blocks, claim.attempt, files_.root() + '/' + files_.below_root(*one));
  }
  return said;
}

void host_run::take_ended() {
  for (const ended_claim& ended : members_->take_ended()) {
    job_file* const one = files_.find(ended.number);
    if (one == nullptr) continue;
    if (!ended.outcome) {
      if (sender_ && ended.blocks != 0) sender_->drop(ended.blocks);
      files_.give_back(*one);
      hand_out(*one);
      ++hand_outs_;
      console_.note(fmt::format("ufence: {} is gone: {} is handed out again", printable(ended.host),
                                printable(one->path)));
    } else if (ended.outcome->error != 0) {
      files_.fail(*one, static_cast<int>(-ended.outcome->error));
    } else {
      sha256_digest digest{};
      std::memcpy(digest.data(), ended.outcome->digest.data(), digest.size());
      files_.finish(*one, digest, ended.outcome->bytes);
    }
  }
}

// --- What people see ---

void host_run::show_progress() {
  const std::int64_t now = now_ns();
  if (!has_told_lonely_ && members_->totals().workers == 0 && now - begin_ns_ > lonely_ns) {
    has_told_lonely_ = true;
    console_.note(fmt::format("ufence: no worker yet; start `ufence worker --hosts {} --server {}`",
                              link_options_.namespace_, options_.server.link.servers.front()));
  }
  if (!console_.shows_progress() || now < progress_at_ns_) return;
  progress_at_ns_ = now + progress_ns;
  console_.progress(fmt::format("{} files, {}, {} workers on {} hosts", grouped(files_.hashed()),
                                byte_size(static_cast<double>(files_.bytes())), members_->alive(),
                                members_->totals().hosts));
}

void host_run::wait() {
  pollfd woken{.fd = wake_fd_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&woken, 1, static_cast<int>(progress_ns / 1'000'000)) <= 0) return;
  std::uint64_t count = 0;
  static_cast<void>(::read(wake_fd_.get(), &count, sizeof count) != 0);
}

void host_run::tell() {
  console_.clear_progress();
  if (is_interrupted() && !is_complete_) console_.note("ufence: interrupted");
  const member_totals& all = told_;
  const double seconds = 1e-9 * static_cast<double>(end_ns_ - begin_ns_);
  if (!options_.json) {
    if (!is_complete_) return;
    console_.note(fmt::format("ufence: {} files, {} in {} by {} workers on {} hosts, {} deaths",
                              grouped(files_.hashed()),
                              byte_size(static_cast<double>(files_.bytes())), duration(seconds),
                              all.workers, all.hosts, all.deaths));
    return;
  }
  const nlohmann::ordered_json out{{"files", files_.hashed()},
                                   {"bytes", files_.bytes()},
                                   {"seconds", seconds},
                                   {"skipped", files_.skipped_count()},
                                   {"errors", console_.problems()},
                                   {"hosts", all.hosts},
                                   {"workers", all.workers},
                                   {"deaths", all.deaths},
                                   {"hand_outs", hand_outs_},
                                   {"late_results", all.late_results}};
  fmt::print("{}\n", out.dump());
  if (std::fflush(stdout) != 0) {
    console_.problem("standard output", errno_code(errno).message());
  }
}

int host_run::exit_status() const {
  if (is_interrupted() && !is_complete_) return 128 + interrupt_watch::signal_number();
  return console_.problems() == 0 ? 0 : 1;
}

}  // namespace

int run_on_hosts(const host_run_options& options) { return host_run(options).run(); }

}  // namespace ufence::tool

#include "tools/ufence/run/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/ufence/cli/console.h"
#include "tools/ufence/cli/interrupt.h"
#include "tools/ufence/hash/sum_output.h"
#include "tools/ufence/reads/module_reads.h"
#include "tools/ufence/reads/process_reads.h"
#include "tools/ufence/reads/shared_blocks.h"
#include "tools/ufence/run/client_queues.h"
#include "tools/ufence/run/driver_modules.h"
#include "tools/ufence/run/engine.h"
#include "tools/ufence/run/held_check.h"
#include "tools/ufence/run/job_issuer.h"
#include "tools/ufence/run/mailbox.h"
#include "tools/ufence/run/reloader.h"
#include "tools/ufence/run/run_limits.h"
#include "tools/ufence/run/run_report.h"
#include "tools/ufence/run/told_reports.h"
#include "ufence/base/clock.h"
#include "ufence/base/result.h"

namespace ufence::tool {
namespace {

/// The parts of a run, in the order in which they depend on each other.
class session {
 public:
  explicit session(const run_options& options)
      : options_(options),
        limits_(limits_of(options)),
        console_(options.quiet),
        interrupts_(box_.wake_fd()),
        modules_(driver_directory(options.driver_path), options.workers, options.watches),
        queues_(options.clients, options.timeout_ms, options.workers, box_.wake_fd()),
        jobs_(options.holds, &queues_) {}

  int run();

 private:
  bool open_output();
  bool load_modules();
  bool start_reader();
  void hash_files();
  void start_reloads(std::optional<reloader>& reloads);
  bool unload_modules(unload_policy policy);
  void check_held();
  void finish_output();
  void tell();
  [[noreturn]] void abandon();
  [[nodiscard]] bool is_interrupted() const {
    return !is_complete_ && interrupt_watch::signal_number() != 0;
  }
  [[nodiscard]] int exit_status() const;
  [[nodiscard]] run_report report() const;
  [[nodiscard]] std::vector<client_report> client_reports() const;

  const run_options& options_;
  const run_limits limits_;
  console console_;
  mailbox box_;
  interrupt_watch interrupts_;
  sum_output output_;
  driver_modules modules_;
  client_queues queues_;
  job_issuer jobs_;
  shared_blocks memory_;  // with a reader process
  std::unique_ptr<process_reads> reader_;
  file_totals files_;
  std::int64_t begin_ns_ = now_ns();
  std::int64_t end_ns_ = begin_ns_;
  bool is_complete_ = false;  // every file was hashed or told as a problem, and the sums are out
};

int session::run() {
  if (open_output() && load_modules() && start_reader()) {
    hash_files();
    check_held();
    finish_output();
  }
  tell();
  return exit_status();
}

bool session::open_output() {
  if (options_.output.empty()) {
    if (!options_.json) output_.open_stdout();
    return true;
  }
  const std::error_code failed = output_.open_file(options_.output);
  if (failed && !is_interrupted()) console_.problem(options_.output, failed.message());
  return !failed;
}

bool session::load_modules() {
  for (const driver d : all_drivers) {
    if (d == driver::uring && options_.via != read_path::direct) continue;
    auto loaded = modules_.load(d);
    if (!loaded) {
      console_.problem(loaded.error());
      unload_modules(unload_policy::cancel);
      return false;
    }
    jobs_.use(*std::move(loaded));
  }
  return true;
}

bool session::start_reader() {
  if (options_.via == read_path::direct) return true;
  std::string why;
  if (auto memory = shared_blocks::make(limits_.blocks, options_.block_bytes)) {
    memory_ = *std::move(memory);
    reader_ = std::make_unique<process_reads>(options_, modules_.directory(), memory_, jobs_);
    reader_->start();
    why = reader_->failure();
  } else {
    why = "no memory to share: " + memory.error().message();
  }
  if (why.empty()) return true;
  console_.problem("reader", why);
  unload_modules(unload_policy::cancel);
  return false;
}

void session::hash_files() {
  module_reads direct(jobs_, options_.block_bytes);
  read_service& reads = reader_ ? static_cast<read_service&>(*reader_) : direct;
  engine files(options_, limits_, console_, output_, box_, jobs_, queues_, reads,
               reader_ ? &memory_ : nullptr);
  std::optional<reloader> reloads;
  start_reloads(reloads);
  try {
    is_complete_ = files.run() == engine::outcome::finished;
  } catch (const std::exception& error) {  // no memory: what is in flight must not lose its own
    console_.problem(error.what());
    queues_.set_replace(nullptr);
    reloads.reset();
    abandon();
  }
  if (!is_complete_) files.stop();
  end_ns_ = now_ns();
  queues_.set_replace(nullptr);
  reloads.reset();
  if (reader_) reader_->end(is_complete_);
  files.take_news();
  files_ = files.totals();
  queues_.kill();
  const bool all_gone = unload_modules(is_complete_ ? unload_policy::drain : unload_policy::cancel);
  if (is_complete_) return;
  if (!all_gone) abandon();
  static_cast<void>(files.run());
  files_ = files.totals();
}

void session::start_reloads(std::optional<reloader>& reloads) {
  if (options_.reload_every_ms == 0 && !options_.watches && options_.timeout_ms == 0) return;
  std::vector<instance*> running;
  for (const driver d : all_drivers) {
    if (jobs_.current(d)->device) running.push_back(jobs_.current(d));
  }
  reload_plan plan{.every = std::nullopt, .watches = options_.watches};
  if (options_.reload_every_ms != 0)
    plan.every = std::chrono::milliseconds(options_.reload_every_ms);
  reloads.emplace(modules_, box_, plan, options_.policy, std::move(running));
  queues_.set_replace(
      [&r = *reloads](driver d, const device& late) { return r.replace_now(d, late); });
}

// False: a module stays, and may still write to what it was given.
bool session::unload_modules(unload_policy policy) {
  bool all_gone = true;
  for (const driver d : all_drivers) {
    instance* const i = jobs_.current(d);
    if (i == nullptr || i->is_gone || !i->device) continue;
    if (!modules_.unload_for_good(*i, policy)) all_gone = false;
  }
  for (const std::string& pin : modules_.totals().pins) console_.problem(pin);
  return all_gone;
}

// Jobs in flight can't be ended, and its memory can't be freed: only the end of the process
// helps.
void session::abandon() {
  console_.problem("jobs in flight can't be ended: giving up");
  tell();
  output_.discard();
  ::_exit(exit_status());
}

void session::check_held() {
  for (const std::string& what : find_inconsistent(jobs_.held(), begin_ns_, now_ns())) {
    console_.problem(what);
  }
}

void session::finish_output() {
  if (is_complete_ || output_.has_failed()) {
    const std::error_code failed = output_.commit();
    is_complete_ = !failed;
    if (failed && !is_interrupted()) console_.problem(output_.name(), failed.message());
  }
}

void session::tell() {
  console_.clear_progress();
  if (is_interrupted()) console_.note("ufence: interrupted");
  if (!options_.json) {
    if (!modules_.totals().unload_ns.empty()) console_.note(to_text(report()));
    return;
  }
  fmt::print("{}\n", to_json(report()));
  if (std::fflush(stdout) != 0) {
    console_.problem("standard output", errno_code(errno).message());
  }
}

int session::exit_status() const {
  if (is_interrupted()) return 128 + interrupt_watch::signal_number();
  return console_.problems() == 0 ? 0 : 1;
}

run_report session::report() const {
  const module_totals& modules = modules_.totals();
  const reader_totals readers = reader_ ? reader_->totals() : reader_totals{};
  std::vector<std::int64_t> unload_ns = modules.unload_ns;
  std::ranges::sort(unload_ns);
  return {.files = files_.files,
          .bytes = files_.bytes,
          .seconds = static_cast<double>(end_ns_ - begin_ns_) / 1e9,
          .skipped = files_.skipped,
          .errors = console_.problems(),
          .resubmitted = files_.resubmitted,
          .fences_issued = jobs_.fences_issued(),
          .fences_awaited = jobs_.fences_awaited(),
          .fences_held_at_exit = jobs_.held().size(),
          .fences_outliving_issuer =
              modules.fences_outliving + jobs_.fences_born_late() + readers.fences_outliving,
          .retired_by_settlement = modules.retired_by_settlement,
          .retired_by_last_op = modules.retired_by_last_op,
          .module_loads = modules.loads,
          .module_unloads = modules.unloads,
          .unloads_unmapped = modules.unmapped,
          .unloads_deferred = modules.deferred,
          .unloads_pinned = modules.pinned,
          .unload_us_p50 = percentile_us(unload_ns, 0.50),
          .unload_us_p99 = percentile_us(unload_ns, 0.99),
          .readers_started = readers.started,
          .readers_killed = readers.killed,
          .readers_lost = readers.lost,
          .timeouts = queues_.late().timeouts,
          .resets = queues_.late().resets,
          .clients = client_reports()};
}

std::vector<client_report> session::client_reports() const {
  std::int64_t device_ns = 0;
  for (const client_totals& c : files_.clients) device_ns += c.device_ns;
  std::vector<client_report> reports;
  for (std::size_t i = 0; i < files_.clients.size(); ++i) {
    const client_totals& c = files_.clients[i];
    std::vector<std::int64_t> file_ns = c.file_ns;
    std::ranges::sort(file_ns);
    reports.push_back(
        {.priority = options_.clients[i].name,
         .files = c.files,
         .bytes = c.bytes,
         .share =
             device_ns == 0 ? 0 : static_cast<double>(c.device_ns) / static_cast<double>(device_ns),
         .file_us_p50 = percentile_us(file_ns, 0.50),
         .file_us_p99 = percentile_us(file_ns, 0.99)});
  }
  return reports;
}

// A standard stream that was closed leaves its number to the next file that is opened, and what is
// said on the stream would land there: in the sums, if it is their file. Such a stream is held by a
// descriptor that refuses all use.
bool hold_closed_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    // The lowest number that is free, so this one.
    if (::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) return false;
  }
  return true;
}

}  // namespace

int run(const run_options& options) {
  if (!hold_closed_streams()) return 1;  // and nowhere to say so
  const told_reports reports;
  return session(options).run();
}

}  // namespace ufence::tool

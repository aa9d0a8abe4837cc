// `ufence record` and `ufence report`: what happened to the fences of programs.
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "tools/command_line/output_file.h"
#include "tools/ufence/cli/child_program.h"
#include "tools/ufence/cli/commands.h"
#include "tools/ufence/look/process_look.h"
#include "tools/ufence/trace/page.h"
#include "tools/ufence/trace/perfetto.h"
#include "tools/ufence/trace/recording.h"
#include "tools/ufence/trace/recording_parts.h"
#include "tools/ufence/trace/story.h"
#include "ufence/base/atomic.h"
#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/trace/record.h"

namespace ufence::tool {
namespace {

struct record_options {
  std::string output = "ufence.trace";
  std::string ftrace;
  std::int64_t process = 0;
  std::vector<std::string> program;
};

struct report_options {
  std::string input, output, ftrace;
};

void complain(std::string_view text) { fmt::print(stderr, "ufence: {}\n", text); }

// --- Writing, by what the file is called ---

enum class form { native, perfetto, page };

form form_of(const std::string& path) {
  if (path.ends_with(".html")) return form::page;
  return path.ends_with(".pftrace") || path.ends_with(".perfetto-trace") ? form::perfetto
                                                                         : form::native;
}

void or_throw(std::error_code failed, const std::string& path) {
  if (failed) throw std::runtime_error(path + ": " + failed.message());
}

// Tells people about it, and its contents, on stderr.
void tell_about(const recording& r, const std::string& output, const std::string& of_fences) {
  for (const std::string& note : r.notes) complain(note);
  complain(fmt::format("{}: {} events of {} processes: {}", output, r.counts.events,
                       r.processes.size(), of_fences));
}

void write_story(recording& r, const std::string& ftrace, output_file& to, const std::string& output) {
  if (!ftrace.empty()) add_ftrace_file(r, ftrace);
  r.counts.events = r.events.size();
  const story s = tell(r);
  or_throw(to.write_and_commit(form_of(output) == form::page ? to_page(r, s) : to_perfetto(r, s)), output);
  const auto signaled =
      std::ranges::count_if(s.fences, [](const story_fence& f) { return f.signaled_ns != 0; });
  tell_about(r, output,
             fmt::format("{} fences, {} of them signaled, {} waits", s.fences.size(), signaled,
                         s.waits.size()));
}

// As it was recorded, it is checked and counted only: a run should not take long to end.
// @param to       is open, and called `output`
// @param publish  makes it the output
void write_recording(std::string_view native, const std::string& ftrace, output_file& to, const std::string& output,
                     const std::function<void()>& publish) {
  if (form_of(output) != form::native) {
    recording r = read_recording(native);
    return write_story(r, ftrace, to, output);
  }
  const recording r = count_recording(native);
  publish();
  tell_about(r, output,
             fmt::format("{} fences made, {} waits", r.counts.fences, r.counts.waits));
}

void write_recording(std::string_view native, const std::string& ftrace, output_file& to,
                     const std::string& output) {
  write_recording(native, ftrace, to, output, [&] { or_throw(to.write_and_commit(native), output); });
}

void refuse_ftrace_in_native(const std::string& ftrace, const std::string& output) {
  if (ftrace.empty() || form_of(output) != form::native) return;
  throw CLI::ValidationError(
      "--with-ftrace",
      "the kernel's events go into a trace of Perfetto (.pftrace) or a page (.html)");
}

// --- A program ---

int finish(recording_parts& parts, output_file& to, const record_options& options, int status) {
  const std::string_view native = parts.join();
  if (native.empty()) {
    complain("nothing was recorded: the program does not use libufence.so, or was not started");
    return status != 0 ? status : 1;
  }
  write_recording(native, options.ftrace, to, options.output,
                  [&] { or_throw(parts.publish(), options.output); });
  return status;
}

int record_program(const record_options& options) {
  output_file to;
  to.open_or_throw(options.output);
  recording_parts parts(to);
  const result<pid_t> program = start_program(
      options.program, [&parts] { ::setenv("UFENCE_RECORD", parts.prefix().c_str(), 1); });
  if (!program) throw std::system_error(program.error(), "cannot start a process");
  return finish(parts, to, options, status_of(*program));
}

// --- A process that runs ---

// A signal handler has nothing but globals; relaxed in all uses: a descriptor that stays open.
atomic<int> stream_to_end{-1};

extern "C" void end_stream(int) {
  const int saved_errno = errno;
  ::shutdown(stream_to_end.load(mo::relaxed), SHUT_WR);
  errno = saved_errno;
}

int record_process(const record_options& options) {
  output_file to;
  to.open_or_throw(options.output);
  auto connected = connect_to_process(options.process);
  if (const auto* const why = std::get_if<std::string>(&connected)) {
    throw std::runtime_error(fmt::format("process {}: {}", options.process, *why));
  }
  const unique_fd stream = std::move(std::get<unique_fd>(connected));
  // It may take as long as it likes to tell the next thing.
  constexpr timeval for_ever{};
  ::setsockopt(stream.get(), SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof for_ever);
  stream_to_end.store(stream.get(), mo::relaxed);
  struct sigaction action {};
  action.sa_handler = &end_stream;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
  constexpr std::string_view request = "record\n";
  if (::send(stream.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) {
    throw std::system_error(errno, std::generic_category(), "cannot ask the process");
  }
  std::string native;
  std::vector<char> room(1U << 20U);
  for (;;) {
    const ssize_t n = ::recv(stream.get(), room.data(), room.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (native.empty()) {
      complain(fmt::format("recording process {}; Ctrl-C ends it", options.process));
    }
    native.append(room.data(), static_cast<std::size_t>(n));
  }
  if (native.empty()) {
    throw std::runtime_error(fmt::format(
        "process {}: it is recorded already, or its libufence.so can't do it", options.process));
  }
  native.resize(complete_size(native));
  write_recording(native, options.ftrace, to, options.output);
  return 0;
}

int record(const record_options& options) {
  if (options.process != 0) return record_process(options);
  return record_program(options);
}

int report(const report_options& options) {
  output_file to;
  to.open_or_throw(options.output);
  const std::string native = read_file(options.input);
  try {
    write_recording(native, options.ftrace, to, options.output);
  } catch (const CLI::Error&) {
    throw;
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(options.input + ": " + e.what());
  }
  return 0;
}

constexpr const char* record_description =
    "Records what happens to the fences of a program and of what it starts\n"
    "Written are events of fences, waits, jobs, modules and sync files, of each thread, with the "
    "time. Or of a process that runs, if it has its debug socket (UFENCE_DEBUG=1).";

constexpr const char* record_footer =
    "A file whose name ends with .pftrace is for ui.perfetto.dev and trace_processor, one with "
    ".html is a page as of `ufence report`; all others are for `ufence report`. The file appears when it is "
    "complete, but for what is written into: a pipe, a device, /dev/stdout.\n"
    "A child of fork() that does not execute a program is not recorded.\n\n"
    "Exit status: the program's; 128 and its number for a signal; 127 not found, 126 not "
    "executable; 1 if nothing was recorded; 2 for a wrong command line.";

constexpr const char* report_description =
    "Makes a page of what `ufence record` has recorded, or a trace for Perfetto\n"
    "The page (.html) needs no network: a row for each timeline, what became of each fence, who "
    "waited "
    "for it, and the critical path to it.";

}  // namespace

int record_to(const std::string& output, const std::function<int()>& act) {
  output_file to;
  to.open_or_throw(output);
  recording_parts parts(to);
  const result<pid_t> child = fork_in_place();
  if (!child) throw std::system_error(child.error(), "cannot start a process");
  if (*child == 0) {
    // For the processes that it starts, and this one.
    ::setenv("UFENCE_RECORD", parts.prefix().c_str(), 1);
    const std::error_code failed = record_start(fmt::format("{}.{}", parts.prefix(), ::getpid()));
    if (failed) complain("nothing is recorded: " + failed.message());
    const int status = act();
    static_cast<void>(record_stop());
    static_cast<void>(std::fflush(nullptr));
    ::_exit(status);
  }
  return finish(parts, to, {.output = output, .ftrace = {}, .process = 0, .program = {}},
                status_of(*child));
}

void add_record_command(CLI::App& app, command& chosen) {
  CLI::App* const record_app = app.add_subcommand("record", record_description);
  record_app->footer(record_footer);
  const auto options = std::make_shared<record_options>();
  record_app->add_option("-o,--output", options->output, "The file to write")
      ->type_name("FILE")
      ->capture_default_str();
  CLI::Option* const process =
      record_app
          ->add_option("--pid", options->process,
                       "Record this process, until it ends or Ctrl-C, instead of a program")
          ->type_name("PID")
          ->check(CLI::PositiveNumber);
  record_app
      ->add_option(
          "--with-ftrace", options->ftrace,
          "Merge the kernel's events of dma_fence and gpu_scheduler: what `trace-cmd report` "
          "or trace_pipe printed, recorded with the clock `mono` (trace-cmd record -C mono)")
      ->type_name("FILE");
  record_app->add_option("program", options->program, "The program and its arguments, after --")
      ->type_name("PROGRAM ARGS...")
      ->excludes(process);
  record_app->callback([options, &chosen] {
    refuse_ftrace_in_native(options->ftrace, options->output);
    if (options->process == 0 && options->program.empty()) {
      throw CLI::ValidationError("which program? Write: ufence record -- PROGRAM ARGS");
    }
    chosen = [options] { return record(*options); };
  });

  CLI::App* const report_app = app.add_subcommand("report", report_description);
  const auto of = std::make_shared<report_options>();
  report_app->add_option("file", of->input, "What `ufence record` has written")
      ->type_name("FILE")
      ->required();
  report_app
      ->add_option("-o,--output", of->output,
                   "The file to write: .html a page, .pftrace for Perfetto")
      ->type_name("FILE")
      ->required();
  report_app
      ->add_option("--with-ftrace", of->ftrace,
                   "Merge the kernel's events, as `ufence record` does")
      ->type_name("FILE");
  report_app->callback([of, &chosen] {
    refuse_ftrace_in_native(of->ftrace, of->output);
    chosen = [of] { return report(*of); };
  });
}

}  // namespace ufence::tool

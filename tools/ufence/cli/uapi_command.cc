// `ufence uapi`: runs a program with emulated devices, and is its broker.
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tools/ufence/cli/child_program.h"
#include "tools/ufence/cli/commands.h"
#include "tools/ufence/reader/fd_message.h"
#include "ufence/base/atomic.h"
#include "ufence/uapi/broker.h"

namespace ufence::tool {
namespace {

struct uapi_options {
  int listener = -1;
  bool is_supervised = false;
  bool supervises = false;
  std::string driver = "vgem";
  std::vector<std::string> program;
};

uapi_driver driver_of(const uapi_options& options) {
  return options.driver == "virtio_gpu" ? uapi_driver::virtio_gpu : uapi_driver::vgem;
}

int complain(std::string_view what, std::error_code why) {
  fmt::print(stderr, "ufence: uapi: {}: {}\n", what, why.message());
  return 1;
}

std::string preload_path() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  const std::string_view program(path.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  const std::size_t slash = program.rfind('/');
  const std::string folder(program.substr(0, slash == std::string_view::npos ? 0 : slash));
  const std::string library = folder + "/" UFENCE_LIBRARY_FROM_PROGRAM "/libufence-preload.so";
  char* const whole = ::realpath(library.c_str(), nullptr);
  if (whole == nullptr) throw std::system_error(errno_code(errno), library);
  std::string result(whole);
  std::free(whole);
  return result;
}

// Where execvp() finds it.
std::string path_of_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* const given = std::getenv("PATH");
  std::string_view rest = given != nullptr ? given : "/bin:/usr/bin";
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    std::string path = std::string(folder.empty() ? "." : folder) + "/" + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
  }
  return name;
}

// The Go linker's note has this name.
bool is_note_of_go(int file, const Elf64_Phdr& part) {
  struct {
    Elf64_Nhdr head;
    std::array<char, 4> name;
  } note{};
  return ::pread(file, &note, sizeof note, static_cast<off_t>(part.p_offset)) == sizeof note &&
         note.head.n_namesz == note.name.size() &&
         std::memcmp(note.name.data(), "Go\0\0", note.name.size()) == 0;
}

// The reason why the preloaded library can't reach a program. Empty: it can.
std::string_view reason_not_reached(const std::string& name) {
  const unique_fd file(::open(path_of_program(name).c_str(), O_RDONLY | O_CLOEXEC));
  struct stat s {};
  if (!file || ::fstat(file.get(), &s) != 0) return {};
  const bool gains = ((s.st_mode & S_ISUID) != 0 && s.st_uid != ::geteuid()) ||
                     ((s.st_mode & S_ISGID) != 0 && s.st_gid != ::getegid());
  if (gains) return "it runs as another user or group";
  Elf64_Ehdr head{};
  if (::pread(file.get(), &head, sizeof head, 0) != sizeof head ||
      std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
      head.e_phentsize != sizeof(Elf64_Phdr)) {
    return {};
  }
  bool is_dynamic = false;
  for (std::size_t i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr part{};
    const auto at = static_cast<off_t>(head.e_phoff + i * sizeof part);
    if (::pread(file.get(), &part, sizeof part, at) != sizeof part) return {};
    is_dynamic = is_dynamic || part.p_type == PT_INTERP;
    if (part.p_type == PT_NOTE && is_note_of_go(file.get(), part)) {
      return "it is written in Go, and makes system calls itself";
    }
  }
  return is_dynamic ? std::string_view() : "it is linked statically";
}

// Nobody else tells the program's user why its devices are not there.
void tell_if_not_reached(const std::string& program) {
  const std::string_view why = reason_not_reached(program);
  if (why.empty()) return;
  fmt::print(stderr,
             "ufence uapi: {}: the emulated devices do not reach this program: {}; "
             "they do with --seccomp\n",
             program, why);
}

// The program and whatever it has started.
struct family {
  unique_fd end;  // its peer is closed when none of them is left
  std::future<int> status;
};

// A thread waits for them all.
result<family> watch_family(pid_t program) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return failure(errno);
  std::promise<int> status;
  family all{.end = unique_fd(ends[0]), .status = status.get_future()};
  std::thread([program, writer = unique_fd(ends[1]), status = std::move(status)]() mutable {
    wait_for_all(program, [&status](int how) { status.set_value(how); });
  }).detach();
  return all;
}

// --- Programs that the preloaded library is not in ---

// In the child: has the kernel ask, and gives away what is answered by.
void ask(int filter(), int to) {
  const unique_fd listener(filter());
  const int failed = errno;
  const std::byte byte{};
  if (listener && !send_message(to, {&byte, 1}, std::array{listener.get()})) return;
  if (!listener && failed == EBUSY) {
    fmt::print(stderr, "ufence: uapi: seccomp: another process supervises this one already\n");
  } else {
    complain("seccomp", errno_code(listener ? EPROTO : failed));
  }
  static_cast<void>(std::fflush(stderr));
  constexpr int cannot_start = 126;
  ::_exit(cannot_start);
}

// Runs the program, and makes the calls that the kernel asks about in its place: the library that
// is preloaded into this very process does so. Ends when no process asks any more.
int supervise_program(const std::vector<std::string>& program) {
  const auto filter = reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "ufence_uapi_filter"));
  const auto supervise =
      reinterpret_cast<int (*)(int)>(::dlsym(RTLD_DEFAULT, "ufence_uapi_supervise"));
  auto ends = message_sockets();
  if (filter == nullptr || supervise == nullptr || !ends) {
    return complain("cannot supervise", ends ? errno_code(ENOSYS) : ends.error());
  }
  const result<pid_t> child = start_program(program, [&] {
    ends->first.reset();
    ask(filter, ends->second.get());
  });
  if (!child) return complain("cannot start a process", child.error());
  ends->second.reset();
  pollfd given{.fd = ends->first.get(), .events = POLLIN, .revents = 0};
  while (::poll(&given, 1, -1) < 0 && errno == EINTR) {
  }
  std::byte byte;
  auto got = receive_message(ends->first.get(), {&byte, 1});
  if (got && got->fd_count == 1) {
    if (const int failed = supervise(got->fds[0].get())) complain("seccomp", errno_code(failed));
  }
  return status_of(*child);
}

// With --seccomp a process between this one and the program.
std::vector<std::string> command_of(const uapi_options& options) {
  if (!options.is_supervised) return options.program;
  std::vector<std::string> command{"/proc/self/exe", "uapi", "--supervise", "--"};
  command.insert(command.end(), options.program.begin(), options.program.end());
  return command;
}

int run_program(const uapi_options& options) {
  const std::vector<std::string> program = command_of(options);
  const std::string name = make_uapi_broker_name();
  std::string preload = preload_path();
  if (const char* const others = std::getenv("LD_PRELOAD"); others != nullptr && *others != '\0') {
    preload += ":" + std::string(others);
  }
  if (!options.is_supervised) tell_if_not_reached(program[0]);
  result<unique_fd> listener = listen_for_uapi(name);
  if (!listener) return complain("cannot listen", listener.error());
  adopt_orphans();
  const result<pid_t> started = start_program(program, [&] {
    ::setenv("LD_PRELOAD", preload.c_str(), 1);
    ::setenv(uapi_broker_variable, name.c_str(), 1);
    ::setenv(uapi_driver_variable, options.driver.c_str(), 1);
  });
  if (!started) return complain("cannot start a process", started.error());
  result<family> all = watch_family(*started);
  std::error_code failed = all ? std::error_code() : all.error();
  if (!failed) failed = serve_uapi(std::move(*listener), all->end.get(), driver_of(options));
  if (failed) complain("cannot serve", failed);
  const int status = all ? all->status.get() : status_of(*started);
  return failed && status == 0 ? 1 : status;
}

int run_uapi(const uapi_options& options) {
  if (options.listener >= 0) {
    const std::error_code failed = serve_uapi(unique_fd(options.listener));
    return failed ? complain("cannot serve", failed) : 0;
  }
  if (options.program.empty()) {
    fmt::print(stderr, "ufence: which program? Write: ufence uapi -- PROGRAM ARGS\n");
    return usage_error;
  }
  return options.supervises ? supervise_program(options.program) : run_program(options);
}

}  // namespace

void add_uapi_command(CLI::App& app, command& chosen) {
  CLI::App* const uapi_app =
      app.add_subcommand("uapi",
                         "Runs a program that was written for the kernel's fences\n"
                         "/dev/sw_sync, its debugfs paths and /dev/dri/card0 are there, with their "
                         "ioctls and those of sync files, for the program and whatever it starts: "
                         "this ends when all of them have.");
  uapi_app->footer(
      "Exit status: the program's; 128 and its number for a signal; 127 not found, 126 not "
      "executable; 1 if its devices could not be served; 2 for a wrong command line.");
  auto options = std::make_shared<uapi_options>();
  uapi_app->add_option("program", options->program, "The program and its arguments, after --")
      ->type_name("PROGRAM ARGS...");
  uapi_app
      ->add_option(
          "--driver", options->driver,
          "What the driver of /dev/dri/card0 is called: vgem, whose fences of buffers are there as "
          "well, or virtio_gpu")
      ->check(CLI::IsMember({"vgem", "virtio_gpu"}))
      ->type_name("NAME");
  uapi_app->add_flag(
      "--seccomp", options->is_supervised,
      "Reach programs that no library can be preloaded into as well: static ones, those in Go. The "
      "kernel asks before calls that may be meant for the devices; programs that run as another "
      "user "
      "run as this one, unless it is root");
  uapi_app->add_flag("--supervise", options->supervises,
                     "Be the process that such calls are asked of: what --seccomp starts");
  uapi_app
      ->add_option("--serve", options->listener,
                   "Serve this descriptor, a bound listener, and run no program: what the "
                   "preloaded library starts where there is no broker")
      ->type_name("FD");
  uapi_app->callback([options, &chosen] { chosen = [options] { return run_uapi(*options); }; });
}

}  // namespace ufence::tool

// A ring of 16 numbers between two processes. One timeline counts what was written, the other what was read;
// each process waits for the other's number, by a futex in shared memory and nothing else.
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "ufence/sync/shared_timeline.h"

namespace {

constexpr std::uint64_t places = 16;
constexpr std::uint64_t numbers = 10'000;

struct ring {
  std::uint64_t numbers[places];
};

ring* map(int fd) {
  void* const at = ::mmap(nullptr, sizeof(ring), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return at == MAP_FAILED ? nullptr : static_cast<ring*>(at);
}

// The other process: reads, and tells how far it is.
int consume(int memory, int written_fd, int read_fd) {
  const ring* const from = map(memory);
  const auto written = ufence::shared_timeline::import(written_fd);
  const auto read = ufence::shared_timeline::import(read_fd);
  if (from == nullptr || !written || !read) return 1;
  std::uint64_t sum = 0;
  for (std::uint64_t n = 1; n <= numbers; ++n) {
    if ((*written)->wait(n) || (sum += from->numbers[n % places], (*read)->signal(n))) return 1;
  }
  std::printf("sum %llu\n", static_cast<unsigned long long>(sum));
  return sum == numbers * (numbers + 1) / 2 ? 0 : 1;
}

pid_t start(char* program, int memory, int written, int read) {
  std::string words[] = {std::to_string(memory), std::to_string(written), std::to_string(read)};
  char* const arguments[] = {program, words[0].data(), words[1].data(), words[2].data(), nullptr};
  pid_t child = -1;
  return ::posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, arguments, environ) == 0 ? child : -1;
}

// A number for it that the child inherits.
int inherited(const ufence::result<ufence::unique_fd>& fd) { return fd ? ::dup(fd->get()) : -1; }

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4) return consume(std::atoi(argv[1]), std::atoi(argv[2]), std::atoi(argv[3]));
  const int memory = ::memfd_create("ring", 0);
  if (memory < 0 || ::ftruncate(memory, sizeof(ring)) != 0) return 1;
  ring* const to = map(memory);
  const auto written = ufence::shared_timeline::create({.name = "written"});
  const auto read = ufence::shared_timeline::create({.name = "read", .peers_may_signal = true});
  if (to == nullptr || !written || !read) return 1;
  const int written_fd = inherited((*written)->export_fd(ufence::shared_access::wait));
  const int read_fd = inherited((*read)->export_fd(ufence::shared_access::signal));
  const pid_t child = start(argv[0], memory, written_fd, read_fd);
  if (child < 0) return 1;
  for (std::uint64_t n = 1; n <= numbers; ++n) {
    if (n > places && (*read)->wait(n - places)) return 1;  // until its place is free
    to->numbers[n % places] = n;
    if ((*written)->signal(n)) return 1;
  }
  int status = 0;
  return ::waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}

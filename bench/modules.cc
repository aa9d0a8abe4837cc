// Unloading and loading a driver module while its fences are held.
#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/benchmarks.h"
#include "drivers/cpu/cpu.h"
#include "ufence/fence/fence.h"
#include "ufence/issuer/device_scheduler.h"
#include "ufence/issuer/host.h"

namespace ufence::bench {
namespace {

std::size_t count_threads() {
  std::size_t threads = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    keep(&task);
    ++threads;
  }
  return threads;
}

void read_maps() {
  const int fd = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  require(fd >= 0, "/proc/self/maps can't be read");
  std::array<char, 16384> buffer;
  while (::read(fd, buffer.data(), buffer.size()) > 0) clobber();
  ::close(fd);
}

device_ref load(host& h, const std::string& path) {
  std::string why;
  result<device_ref> loaded = h.load(path, &why);
  require(loaded.has_value(), why);
  return *std::move(loaded);
}

void unload(host& h, const device_ref& d) {
  const result<unload_report> how = h.unload(d);
  require(how && how->state == unload_state::unmapped, "the module unmaps");
}

ufence_cpu_sha256_update hash_of_nothing(ufence_cpu_sha256& state) noexcept {
  return {.state = &state,
          .data = nullptr,
          .size = 0,
          .size_from = nullptr,
          .digest = nullptr,
          .flags = UFENCE_CPU_FIRST,
          .reserved = 0};
}

// Fences of jobs that are done: hashes of nothing, a few at a time as in a real run.
std::vector<fence_ref> make_fences(device& d, std::size_t count) {
  constexpr std::size_t in_flight = 64;
  std::array<ufence_cpu_sha256, in_flight> states{};
  std::vector<fence_ref> fences;
  fences.reserve(count);
  while (fences.size() < count) {
    const std::size_t first = fences.size();
    for (ufence_cpu_sha256& state : states) {
      if (fences.size() == count) break;
      const ufence_cpu_sha256_update update = hash_of_nothing(state);
      result<fence_ref> f = d.submit({.opcode = UFENCE_CPU_SHA256,
                                      .args = std::as_bytes(std::span(&update, 1)),
                                      .in_fences = {}});
      require(f.has_value(), "the device takes a job");
      fences.push_back(*std::move(f));
    }
    for (std::size_t i = first; i < fences.size(); ++i) {
      require(!fences[i]->wait() && fences[i]->error() == 0, "a hash of nothing succeeds");
    }
  }
  return fences;
}

void unload_load(session& s, std::string_view name, std::size_t held) {
  const subject about{.name = name,
                      .what = "unload() and load() of cpu.so, so many of its fences held",
                      .baseline = "dlopen, dlclose, its threads made and joined, a read of maps",
                      .target = 2};
  const std::string path = s.driver_path() + "/cpu.so";
  if (::access(path.c_str(), R_OK) != 0) {
    s.skip(about, path + " can't be read; see --driver-path");
    return;
  }
  host h;
  const std::size_t threads_before = count_threads();
  device_ref first = load(h, path);
  const std::size_t threads = count_threads() - threads_before;
  unload(h, first);

  const batch ours = [&](std::uint64_t n) {
    batch_time sum;
    for (std::uint64_t i = 0; i < n; ++i) {
      device_ref d = load(h, path);
      const std::vector<fence_ref> fences = make_fences(*d, held);
      const batch_time time = time_calls(1, [&] {
        unload(h, d);
        d = load(h, path);
      });
      unload(h, d);
      for (const fence_ref& f : fences) require(f->status() == 1, "a held fence stays what it is");
      sum.ns += time.ns;
      sum.was_disturbed |= time.was_disturbed;
    }
    return sum;
  };
  const batch baseline = [&](std::uint64_t n) {
    return time_calls(n, [&] {
      void* const handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
      require(handle != nullptr, "the dynamic linker opens the module");
      ::dlclose(handle);
      for (std::size_t i = 0; i < threads; ++i) std::thread([] {}).join();
      read_maps();
    });
  };
  s.compare(about, held > 1000 || s.how_much().quick ? 1 : 5, ours, baseline, 31);
}

// Jobs of nothing, 64 in a row, each from its submission to its end.
constexpr std::size_t hashes_in_a_row = 64;

struct hashes {
  explicit hashes(const std::string& path) : of(load(h, path)) {}
  ~hashes() { unload(h, of); }
  template <class Submit>
  batch_time time(std::uint64_t n, Submit submit) {
    const auto row = [&] {
      std::array<fence_ref, hashes_in_a_row> ends;
      for (std::size_t i = 0; i < hashes_in_a_row; ++i) {
        const ufence_cpu_sha256_update update = hash_of_nothing(states[i]);
        ends[i] = submit(std::as_bytes(std::span(&update, 1)));
      }
      for (const fence_ref& f : ends)
        require(!f->wait() && f->error() == 0, "a hash of nothing succeeds");
    };
    row();
    return time_calls(n / hashes_in_a_row + 1, row);
  }
  host h;
  const device_ref of;
  std::array<ufence_cpu_sha256, hashes_in_a_row> states{};
};

}  // namespace

void device_entity_job(session& s) {
  const subject about{
      .name = "device_entity_job",
      .what =
          "a hash of nothing pushed to an entity of cpu.so's device, until it ends; 64 in a row",
      .baseline = "the same by device::submit()"};
  const std::string path = s.driver_path() + "/cpu.so";
  if (::access(path.c_str(), R_OK) != 0) {
    s.skip(about, path + " can't be read; see --driver-path");
    return;
  }
  const batch ours = [&](std::uint64_t n) {
    hashes d(path);
    device_scheduler scheduler = device_scheduler::create(d.of).value();
    device_entity e = device_entity::create(scheduler).value();
    const batch_time time = d.time(n, [&](std::span<const std::byte> args) {
      return e.push({.opcode = UFENCE_CPU_SHA256, .args = args}).value().finished;
    });
    require(!scheduler.fini(), "a scheduler ends");
    return time;
  };
  const batch direct = [&](std::uint64_t n) {
    hashes d(path);
    return d.time(n, [&](std::span<const std::byte> args) {
      return d.of->submit({.opcode = UFENCE_CPU_SHA256, .args = args, .in_fences = {}}).value();
    });
  };
  s.compare(about, s.how_much().scaled(20'000), ours, direct, s.how_much().pairs_at_most(31));
}

void unload_load_0(session& s) { unload_load(s, "unload_load_0", 0); }
void unload_load_1000(session& s) { unload_load(s, "unload_load_1000", 1000); }
void unload_load_100000(session& s) { unload_load(s, "unload_load_100000", 100'000); }

}  // namespace ufence::bench

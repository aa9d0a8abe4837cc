// ufence-bench: each operation against a baseline that is not ours.
#include <getopt.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "bench/benchmarks.h"
#include "bench/report.h"

namespace ufence::bench {
namespace {

struct entry {
  std::string_view name;
  void (*run)(session&);
};

constexpr entry benchmarks[] = {
    {"locked_after_store", locked_after_store},
    {"is_signaled", is_signaled},
    {"create_signal_release", create_signal_release},
    {"create_with_data", create_with_data},
    {"signal_up_to_1", signal_up_to_1},
    {"signal_up_to_1000", signal_up_to_1000},
    {"signal_up_to_1000000", signal_up_to_1000000},
    {"add_remove_callback", add_remove_callback},
    {"add_64_callbacks", add_64_callbacks},
    {"poll_op", poll_op},
    {"poll_op_or_lock", poll_op_or_lock},
    {"is_signaled_or_lock", is_signaled_or_lock},
    {"c_is_signaled", c_is_signaled},
    {"c_create_signal_release", c_create_signal_release},
    {"c_add_remove_callback", c_add_remove_callback},
    {"wake_waiter", wake_waiter},
    {"array_of_64", array_of_64},
    {"kernel_create_signal_release", kernel_create_signal_release},
    {"kernel_array_of_64", kernel_array_of_64},
    {"kernel_is_signaled", kernel_is_signaled},
    {"kernel_get_status", kernel_get_status},
    {"kernel_chain_walk", kernel_chain_walk},
    {"chain_walk_rcu", chain_walk_rcu},
    {"chain_walk", chain_walk},
    {"chain_build_signal_collect", chain_build_signal_collect},
    {"merge_two_arrays", merge_two_arrays},
    {"resv_iterate", resv_iterate},
    {"sched_job", sched_job},
    {"sched_chain", sched_chain},
    {"sched_64_entities", sched_64_entities},
    {"sched_10000_entities", sched_10000_entities},
    {"sched_job_and_node", sched_job_and_node},
    {"sched_fair", sched_fair},
    {"device_entity_job", device_entity_job},
    {"shared_timeline_wake", shared_timeline_wake},
    {"sync_file_create_close", sync_file_create_close},
    {"sync_file_create_close_on", sync_file_create_close_on},
    {"sync_file_merge", sync_file_merge_two},
    {"sync_file_wake", sync_file_wake},
    {"sw_sync_random_merge", sw_sync_random_merge},
    {"recorded_event", recorded_event},
    {"unload_load_0", unload_load_0},
    {"unload_load_1000", unload_load_1000},
    {"unload_load_100000", unload_load_100000},
};

constexpr std::string_view usage =
    "usage: ufence-bench [--json] [--quick] [--pairs N] [--filter TEXT] [--cpu N]\n"
    "                    [--driver-path DIR] [--list]\n"
    "  --json         JSON lines on stdout, the table on stderr; else the table on stdout\n"
    "  --quick        a smoke run: that everything works, not how fast it is\n"
    "  --pairs N      batches of each side, at least 31; 101 if not said\n"
    "  --filter TEXT  only benchmarks whose name contains it\n"
    "  --cpu N        pins to this CPU; the last usable one if not said\n"
    "  --driver-path DIR  where cpu.so is; else $UFENCE_DRIVER_PATH, or beside the program\n"
    "  --list         names of the benchmarks\n";

struct options {
  effort how_much;
  bool json = false;
  bool list = false;
  int cpu = -1;
  std::string_view filter;
  std::string driver_path;
};

[[noreturn]] void refuse(std::string_view what) {
  static_cast<void>(std::fprintf(stderr, "ufence-bench: %.*s\n%s", static_cast<int>(what.size()),
                                 what.data(), usage.data()));
  std::exit(2);
}

int number(std::string_view text, int least, std::string_view what) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least) refuse(what);
  return value;
}

options parse(int argc, char** argv) {
  static constexpr std::array<option, 9> known{{{"json", no_argument, nullptr, 'j'},
                                                {"quick", no_argument, nullptr, 'q'},
                                                {"pairs", required_argument, nullptr, 'p'},
                                                {"filter", required_argument, nullptr, 'f'},
                                                {"cpu", required_argument, nullptr, 'c'},
                                                {"driver-path", required_argument, nullptr, 'd'},
                                                {"list", no_argument, nullptr, 'l'},
                                                {"help", no_argument, nullptr, 'h'},
                                                {nullptr, 0, nullptr, 0}}};
  options chosen;
  for (int c = 0; (c = getopt_long(argc, argv, "", known.data(), nullptr)) != -1;) {
    switch (c) {
      case 'j': chosen.json = true; break;
      case 'q': chosen.how_much = {.pairs = 1, .quick = true}; break;
      case 'p': chosen.how_much.pairs = number(optarg, 31, "--pairs: a number from 31"); break;
      case 'f': chosen.filter = optarg; break;
      case 'c': chosen.cpu = number(optarg, 0, "--cpu: a number from 0"); break;
      case 'd': chosen.driver_path = optarg; break;
      case 'l': chosen.list = true; break;
      case 'h': std::fputs(usage.data(), stdout); std::exit(0);
      default: refuse("see the usage");
    }
  }
  if (optind != argc) refuse("takes no arguments but options");
  return chosen;
}

std::string default_driver_path() {
  const char* const variable = std::getenv("UFENCE_DRIVER_PATH");
  if (variable != nullptr && *variable != '\0') return variable;
  std::error_code failed;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failed);
  return (program.parent_path() / "../lib/ufence/drivers").string();
}

// The CPUs to use, the one that was asked for first.
std::vector<int> choose_cpus(int first) {
  std::vector<int> cpus = usable_cpus();
  if (first < 0) return cpus;
  for (int& cpu : cpus) {
    if (cpu != first) continue;
    std::swap(cpu, cpus.front());
    return cpus;
  }
  refuse("--cpu: this process may not run there");
}

int run(const options& chosen) {
  std::vector<entry> wanted;
  for (const entry& e : benchmarks) {
    if (e.name.find(chosen.filter) != std::string_view::npos) wanted.push_back(e);
  }
  if (wanted.empty()) refuse("--filter: no benchmark has such a name; see --list");
  if (chosen.list) {
    for (const entry& e : wanted) static_cast<void>(std::printf("%s\n", e.name.data()));
    return 0;
  }
  session s(chosen.how_much, choose_cpus(chosen.cpu),
            chosen.driver_path.empty() ? default_driver_path() : chosen.driver_path);
  pin_to(s.cpus().front());
  // C libraries leave out locked instructions in a process that never had a second thread.
  std::thread([] {}).join();

  std::size_t printed = 0;
  for (const entry& e : wanted) {
    e.run(s);
    for (; chosen.json && printed < s.results().size(); ++printed) {
      print_json(stdout, s.results()[printed]);
      static_cast<void>(std::fflush(stdout));
    }
  }
  print_table(chosen.json ? stderr : stdout, s.results());
  return 0;
}

}  // namespace
}  // namespace ufence::bench

int main(int argc, char** argv) { return ufence::bench::run(ufence::bench::parse(argc, argv)); }

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <vector>

#include "drivers/cpu/cpu.h"
#include "tools/ufence/cli/commands.h"
#include "tools/ufence/run/run.h"
#include "tools/ufence/run/run_options.h"

namespace ufence::tool {
namespace {

constexpr std::uint64_t block_bytes_default = 128UL * 1024;
constexpr std::uint64_t block_bytes_max = 1UL << 28U;
constexpr std::uint64_t reload_every_ms_max = 24UL * 3600 * 1000;
constexpr unsigned clients_max = 64;
constexpr std::uint32_t weight_max = 1000;

unsigned default_workers() {
  return std::clamp(std::thread::hardware_concurrency(), 1U, unsigned{UFENCE_CPU_WORKERS_MAX});
}

// "high", "normal", "low", or a weight. False: none of these.
bool parse_share(const std::string& text, client_share& share) {
  share = {.name = text};
  if (text == "normal") return true;
  share.rank = text == "high" ? sched::priority::high : sched::priority::low;
  if (text == "high" || text == "low") return true;
  share.rank = sched::priority::normal;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, share.weight);
  return error == std::errc() && rest == end && share.weight >= 1 && share.weight <= weight_max;
}

// As they are on the command line.
struct clients {
  unsigned count = 1;
  std::vector<std::string> priorities;  // of the first ones
};

void set_clients(run_options& options, const clients& said) {
  if (said.priorities.size() > said.count) {
    throw CLI::ValidationError("--priority", "there are not so many clients");
  }
  if (options.inputs.size() < said.count) {
    throw CLI::ValidationError("--clients", "each needs an input of its own");
  }
  options.clients.assign(said.count, {});
  for (std::size_t i = 0; i < said.priorities.size(); ++i) {
    static_cast<void>(parse_share(said.priorities[i], options.clients[i]));
  }
}

constexpr const char* run_description =
    "Hashes trees through driver modules that come and go, and tells what became of each fence\n"
    "Files are read by the module `uring` and hashed with SHA-256 by the module `cpu`; the sums "
    "are "
    "what sha256sum prints, sorted by path. `ufence sum` is the same without the demonstration.";

constexpr const char* run_footer =
    "Links, FIFOs, sockets and devices inside a tree are skipped; a link named as input is "
    "followed. With --via the modules of both processes are reloaded, and the ones of this process "
    "are told. A reader that is killed loses nothing: what it had under way is submitted again.\n\n"
    "--json: files, bytes, seconds, skipped, errors, resubmitted, fences_issued, fences_awaited, "
    "fences_held_at_exit, fences_outliving_issuer, retired_by_settlement, retired_by_last_op, "
    "module_loads, module_unloads, unloads_unmapped, unloads_deferred, unloads_pinned, "
    "unload_us_p50, unload_us_p99, readers_started, readers_killed, readers_lost, timeouts, "
    "resets, "
    "clients: of each its priority, files, bytes, share of the time of `cpu` while all clients had "
    "work, file_us_p50, file_us_p99. "
    "The two retired_by_... also count the job that tells each loaded `cpu` its workers.\n\n"
    "With --hosts: files, bytes, seconds, skipped, errors, hosts, workers (each life of one), "
    "deaths (of workers that had an item), hand_outs (a file is handed out again when its worker "
    "is gone), late_results (of workers that counted as gone: they are refused). A namespace has "
    "one run at a time.\n\n"
    "Exit status: 0; 1 if something could not be hashed (told on stderr, the rest is done); 2 for "
    "a wrong command line; 128 + n if ended by signal n (130 for Ctrl-C).";

constexpr const char* sum_description =
    "Prints SHA-256 sums as sha256sum does, in the order of the arguments\n"
    "Of a directory the files in it are summed, sorted by path. Standard input is not read.";

constexpr const char* sum_footer =
    "Exit status: 0; 1 if something could not be hashed (told on stderr, the rest is done); 2 for "
    "a wrong command line; 128 + n if ended by signal n (130 for Ctrl-C).";

std::shared_ptr<run_options> default_options() {
  auto options = std::make_shared<run_options>();
  options->workers = default_workers();
  options->block_bytes = block_bytes_default;
  return options;
}

// How files are read and hashed, and where the sums go.
void add_hash_options(CLI::App& app, run_options& options) {
  app.add_option("--output", options.output,
                 "Write the sums to this file, which appears when it is complete, instead of to "
                 "stdout")
      ->type_name("FILE")
      ->check([](const std::string& path) { return path.empty() ? "the name is empty" : ""; });
  app.add_option("--workers", options.workers, "Threads that hash")
      ->type_name("N")
      ->check(CLI::Range(1U, unsigned{UFENCE_CPU_WORKERS_MAX}))
      ->default_str("the processors");
  app.add_option("--block", options.block_bytes, "Bytes to read and hash at a time (k, M: 1024)")
      ->type_name("BYTES")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(std::uint64_t{1}, block_bytes_max))
      ->capture_default_str();
  app.add_option("--driver-path", options.driver_path,
                 "Where uring.so and cpu.so are; else $UFENCE_DRIVER_PATH, else "
                 "../lib/ufence/drivers beside this program")
      ->type_name("DIR");
}

void add_reload_options(CLI::App& app, run_options& options) {
  app.add_option("--reload-every", options.reload_every_ms,
                 "Unload and reload both modules at this interval for as long as the job runs")
      ->type_name("MS")
      ->check(CLI::Range(std::uint64_t{1}, reload_every_ms_max));
  app.add_flag("--watch", options.watches,
               "Reload a module when its file is replaced or changed in place: the new build is "
               "loaded beside the old one, which goes on if it is refused")
      ->excludes("--reload-every");
  app.add_option_function<std::string>(
         "--policy",
         [&options](const std::string& name) {
           options.policy = name == "cancel" ? unload_policy::cancel : unload_policy::drain;
         },
         "What a reload does with jobs under way: waits for them, or ends them (they are "
         "submitted again)")
      ->type_name("drain|cancel")
      ->check(CLI::IsMember({"drain", "cancel"}))
      ->default_str("drain");
  app.add_flag("--hold", options.holds,
               "Keep every fence to the end, unload all modules, then read and check each fence");
}

void add_client_options(CLI::App& app, run_options& options, clients& said) {
  app.add_option(
         "--clients", said.count,
         "Share the modules among so many clients; the inputs are dealt out to them in turn")
      ->type_name("N")
      ->check(CLI::Range(1U, clients_max))
      ->capture_default_str();
  app.add_option("--priority", said.priorities,
                 "Of each client in turn, the rest is normal: high, normal or low, which are the "
                 "weights 32, 8 and 1, or a weight")
      ->type_name("P,...")
      ->delimiter(',')
      ->check([](const std::string& text) {
        client_share share;
        return parse_share(text, share) ? "" : "neither a priority nor a weight: " + text;
      });
  app.add_option(
         "--timeout", options.timeout_ms,
         "Reload a module when a job has taken so long, from when it was the oldest one; the "
         "job is submitted again, up to 8 of a file")
      ->type_name("MS")
      ->check(CLI::Range(std::uint64_t{1}, reload_every_ms_max));
}

void add_reader_options(CLI::App& app, run_options& options) {
  CLI::Option* const via =
      app.add_option_function<std::string>(
             "--via",
             [&options](const std::string& name) {
               options.via = name == "syncobj" ? read_path::syncobj : read_path::sync_file;
             },
             "Read in a process of its own, and pass the fence of each read as a sync file, "
             "or as a point of one shared timeline for each file")
          ->type_name("sync-file|syncobj")
          ->check(CLI::IsMember({"sync-file", "syncobj"}))
          ->excludes("--clients");
  app.add_option("--kill-reader-every", options.kill_reader_every_ms,
                 "Kill the reader process so long after its first read, and start another one")
      ->type_name("MS")
      ->check(CLI::Range(std::uint64_t{1}, reload_every_ms_max))
      ->needs(via);
}

// An option that the program for other hosts reads itself: it is here for the help.
void add_host_options(CLI::App& app, run_options& options) {
  CLI::Option* const hosts =
      app.add_option("--hosts", options.hosts,
                     "Let workers do it, on whatever hosts run `ufence worker`\n"
                     "Of the options above --input, which is one folder or file, "
                     "--output, --json and --quiet go with it")
          ->type_name("NAMESPACE");
  app.add_option("--server", "Their nats-server; of a cluster, several")
      ->type_name("URL...")
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args()
      ->default_str("nats://127.0.0.1:4222")
      ->needs(hosts);
  const std::string sends = "Send the blocks of the files over the server: no folder is shared";
  app.add_flag("--send-files", sends)->needs(hosts);
  app.add_option("--lease", "How long a worker may be silent before it counts as gone")
      ->type_name("SECONDS")
      ->default_str("3")
      ->needs(hosts);
  app.add_option("--replicas",
                 "How many servers of a cluster keep the values and queues of the namespace; "
                 "counts when it is used for the first time")
      ->type_name("N")
      ->default_str("1")
      ->needs(hosts);
  app.add_option("--user",
                 "As whom it connects; the password is UFENCE_NET_PASSWORD in the environment")
      ->type_name("NAME")
      ->needs(hosts);
  for (const auto& [name, value, what] :
       {std::tuple("--credentials", "FILE", "A file with a user's JWT and seed"),
        std::tuple("--nkey", "FILE", "A file with the seed of a user's nkey"),
        std::tuple("--nkey-public", "KEY", "The public half of that nkey, U..."),
        std::tuple("--ca", "FILE",
                   "Over TLS: a file with the certificates of who signed the server's"),
        std::tuple("--cert", "FILE",
                   "Over TLS: a file with this host's certificate, where the server asks for one"),
        std::tuple("--key", "FILE", "The key of that certificate")}) {
    app.add_option(name, what)->type_name(value)->needs(hosts);
  }
}

// All that was said, for the program that runs a job on other hosts. It refuses what it does not
// know.
int run_on_hosts(const CLI::App& app) {
  std::vector<std::string> arguments{"run"};
  for (const CLI::Option* one : app.get_options()) {
    if (one->count() == 0) continue;
    arguments.push_back(one->get_name());
    if (one->get_items_expected_max() == 0) continue;
    arguments.insert(arguments.end(), one->results().begin(), one->results().end());
  }
  return become("ufence-net", std::move(arguments),
                "install the package ufence-net, or build with libnats-dev", 1);
}

}  // namespace

void add_run_command(CLI::App& app, command& chosen) {
  CLI::App* const run_app = app.add_subcommand("run", run_description);
  run_app->footer(run_footer);
  const auto options = default_options();
  options->inputs = {"."};
  run_app->add_option("--input", options->inputs, "Files and directories to hash")
      ->type_name("DIR|FILE...")
      ->capture_default_str();
  add_hash_options(*run_app, *options);
  add_reload_options(*run_app, *options);
  const auto said = std::make_shared<clients>();
  add_client_options(*run_app, *options, *said);
  add_reader_options(*run_app, *options);
  run_app->add_flag(
      "--json", options->json,
      "Print one JSON object about the run on stdout; the sums go to --output or nowhere");
  run_app
      ->add_option("--record", options->record,
                   "Record what happens to its fences, as `ufence record -o FILE` does")
      ->type_name("FILE");
  run_app->add_flag("--quiet", options->quiet, "Neither progress nor summary on stderr");
  add_host_options(*run_app, *options);
  run_app->callback([run_app, options, said, &chosen] {
    if (!options->hosts.empty()) {
      chosen = [run_app] { return run_on_hosts(*run_app); };
      return;
    }
    set_clients(*options, *said);
    chosen = [options] {
      if (options->record.empty()) return run(*options);
      return record_to(options->record, [options] { return run(*options); });
    };
  });
}

void add_sum_command(CLI::App& app, command& chosen) {
  CLI::App* const sum_app = app.add_subcommand("sum", sum_description);
  sum_app->footer(sum_footer);
  const auto options = default_options();
  options->keeps_order = true;
  options->quiet = true;
  sum_app->add_option("files", options->inputs, "Files and directories to hash")
      ->type_name("FILE...")
      ->required();
  add_hash_options(*sum_app, *options);
  sum_app->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace ufence::tool

// `ufence worker`, and `ufence run` with --hosts: these programs hand over to this one.
#include <algorithm>
#include <memory>
#include <thread>

#include "drivers/cpu/cpu.h"
#include "tools/net/commands.h"
#include "tools/net/job/run.h"
#include "tools/net/job/worker.h"
#include "ufence/net/remote_point.h"

namespace ufence::tool {
namespace {

void add_namespace_option(CLI::App& app, link_arguments& to) {
  app.add_option("--hosts", to.link.namespace_,
                 "The namespace, the same for the run and its workers")
      ->type_name("NAMESPACE")
      ->required()
      ->check([](const std::string& name) {
        return is_net_namespace(name) ? "" : "letters, digits, - and _, up to 63: " + name;
      });
}

}  // namespace

void add_worker_command(CLI::App& app, command& chosen) {
  CLI::App* const sub = app.add_subcommand(
      "worker",
      "Hashes files for `ufence run --hosts` of the same namespace\n"
      "It reads them in the folder that the hosts share, or gets their blocks over the server with "
      "--send-files of the run. It may come and go at any time: what it had is handed out again.");
  sub->footer(
      "It serves one run after the other until it is interrupted, and waits for a server that is "
      "away. It reads nothing outside of the folder that the run names, or --input.\n\n"
      "Exit status: 1 it can't go on (told on stderr); 2 for a wrong command line; 128 + n if "
      "ended "
      "by signal n (130 for Ctrl-C).");
  auto options = std::make_shared<worker_options>();
  options->workers =
      std::clamp(std::thread::hardware_concurrency(), 1U, unsigned{UFENCE_CPU_WORKERS_MAX});
  add_namespace_option(*sub, options->server);
  add_link_options(*sub, options->server);
  add_lease_option(*sub, options->server);
  add_replicas_option(*sub, options->server);
  sub->add_option("--name", options->server.link.host_name,
                  "What it is called, instead of the host's name")
      ->type_name("NAME");
  sub->add_option("--input", options->folder,
                  "Where the shared folder lies here, if not where the run has it")
      ->type_name("DIR");
  sub->add_option("--workers", options->workers, "Files that it hashes at a time, each on a thread")
      ->type_name("N")
      ->check(CLI::Range(1U, unsigned{UFENCE_CPU_WORKERS_MAX}))
      ->default_str("the processors");
  sub->add_option(
         "--driver-path", options->driver_path,
         "Where cpu.so is; else $UFENCE_DRIVER_PATH, else ../lib/ufence/drivers beside this "
         "program")
      ->type_name("DIR");
  sub->add_flag("--quiet", options->quiet, "No progress on stderr");
  sub->callback([options, &chosen] { chosen = [options] { return work(*options); }; });
}

void add_run_command(CLI::App& app, command& chosen) {
  CLI::App* const sub = app.add_subcommand("run", "`ufence run` with --hosts");
  sub->group("");  // `ufence run` describes it
  auto options = std::make_shared<host_run_options>();
  add_namespace_option(*sub, options->server);
  add_link_options(*sub, options->server);
  add_lease_option(*sub, options->server);
  add_replicas_option(*sub, options->server);
  sub->add_option("--input", options->input);
  sub->add_option("--output", options->output);
  sub->add_flag("--send-files", options->sends_files);
  sub->add_flag("--json", options->json);
  sub->add_flag("--quiet", options->quiet);
  sub->callback([options, &chosen] { chosen = [options] { return run_on_hosts(*options); }; });
}

}  // namespace ufence::tool

// The subcommands of ufence-net: each adds itself to the command line and says what to run.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace ufence::tool {

/// Runs the chosen subcommand; returns the exit status.
using command = std::function<int()>;

/// `ufence net serve`: runs a nats-server of this user.
void add_serve_command(CLI::App& app, command& chosen);
/// `ufence net status`: what a namespace has.
void add_status_command(CLI::App& app, command& chosen);
/// `ufence worker`: works for a job of a namespace.
void add_worker_command(CLI::App& app, command& chosen);
/// `ufence run --hosts`: such a job.
void add_run_command(CLI::App& app, command& chosen);

}  // namespace ufence::tool

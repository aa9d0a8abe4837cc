// The options by which commands say which server they use, and as whom.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "ufence/net/host_link.h"

namespace ufence::tool {

/// Whose defaults are a server on this host, without a name or password.
struct link_arguments {
  host_link_options link = {.servers = {"nats://127.0.0.1:4222"}};
  double lease_s = 3;

  /// The options in the form that the library takes.
  [[nodiscard]] host_link_options options() const;
};

/// --server, --user, --password, --credentials, --nkey, --nkey-public, --ca, --cert, --key
void add_link_options(CLI::App& app, link_arguments& to);
/// --lease
void add_lease_option(CLI::App& app, link_arguments& to);
/// --replicas
void add_replicas_option(CLI::App& app, link_arguments& to);

}  // namespace ufence::tool

#include "tools/net/link_arguments.h"

#include <cstdint>

namespace ufence::tool {

host_link_options link_arguments::options() const {
  host_link_options o = link;
  o.lease_ns = static_cast<std::int64_t>(lease_s * 1e9);
  o.tls = !o.ca_file.empty();
  return o;
}

void add_link_options(CLI::App& app, link_arguments& to) {
  app.add_option("--server", to.link.servers, "The server; of a cluster, several")
      ->type_name("URL...")
      ->capture_default_str();
  app.add_option("--user", to.link.user, "As whom it connects")->type_name("NAME");
  app.add_option("--password", to.link.password,
                 "The user's password; better as UFENCE_NET_PASSWORD in the environment")
      ->type_name("TEXT")
      ->envname("UFENCE_NET_PASSWORD");
  app.add_option("--credentials", to.link.credentials_file, "A file with a user's JWT and seed")
      ->type_name("FILE");
  app.add_option("--ca", to.link.ca_file,
                 "Over TLS: a file with the certificates of who signed the server's")
      ->type_name("FILE");
}

void add_lease_option(CLI::App& app, link_arguments& to) {
  app.add_option("--lease", to.lease_s,
                 "How long a host may be silent before it counts as gone; of two the longer counts")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.05, 60.0))
      ->capture_default_str();
}

}  // namespace ufence::tool

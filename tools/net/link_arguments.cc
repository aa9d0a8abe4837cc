#include "tools/net/link_arguments.h"

#include <cstdint>

namespace ufence::tool {

host_link_options link_arguments::options() const {
  host_link_options o = link;
  o.lease_ns = static_cast<std::int64_t>(lease_s * 1e9);
  o.tls = !o.ca_file.empty() || !o.certificate_file.empty();
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
  CLI::Option* const seed =
      app.add_option("--nkey", to.link.nkey_seed_file, "A file with the seed of a user's nkey")
          ->type_name("FILE");
  CLI::Option* const key =
      app.add_option("--nkey-public", to.link.nkey_public, "The public half of that nkey, U...")
          ->type_name("KEY")
          ->needs(seed);
  seed->needs(key);
  app.add_option("--ca", to.link.ca_file,
                 "Over TLS: a file with the certificates of who signed the server's")
      ->type_name("FILE");
  CLI::Option* const certificate =
      app.add_option("--cert", to.link.certificate_file,
                     "Over TLS: a file with this host's certificate, where the server asks for one")
          ->type_name("FILE");
  certificate->needs(app.add_option("--key", to.link.key_file, "The key of that certificate")
                         ->type_name("FILE")
                         ->needs(certificate));
}

void add_lease_option(CLI::App& app, link_arguments& to) {
  app.add_option("--lease", to.lease_s,
                 "How long a host may be silent before it counts as gone; of two the longer counts")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.05, 60.0))
      ->capture_default_str();
}

void add_replicas_option(CLI::App& app, link_arguments& to) {
  app.add_option("--replicas", to.link.replicas,
                 "How many servers of a cluster keep the values and queues of a namespace; counts "
                 "when it is used for the first time")
      ->type_name("N")
      ->check(CLI::IsMember({1, 3, 5}))
      ->capture_default_str();
}

}  // namespace ufence::tool

#include "ufence/net/nats_connection.h"

#include <nats/nats.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <string>
#include <vector>

#include "ufence/io/random.h"

namespace ufence {
namespace {

constexpr std::int64_t ping_ms = 1000;
constexpr int pings_out_max = 2;
constexpr std::int64_t connect_ms = 2000;
constexpr std::int64_t reconnect_ms_max = 1000;

// In milliseconds; attempts: how often all servers were tried.
int64_t reconnect_delay(natsConnection*, int attempts, void*) {
  unsigned random = 0;
  static_cast<void>(detail::fill_random(&random, sizeof random));
  const std::int64_t longest =
      std::min<std::int64_t>(reconnect_ms_max, std::int64_t{20} << std::min(attempts, 6));
  return longest / 2 + random % (longest / 2 + 1);
}

natsStatus set_servers(natsOptions* to, const host_link_options& o) {
  std::vector<const char*> servers;
  for (const std::string& one : o.servers) servers.push_back(one.c_str());
  if (servers.empty()) servers.push_back("nats://127.0.0.1:4222");
  return natsOptions_SetServers(to, servers.data(), static_cast<int>(servers.size()));
}

natsStatus set_identity(natsOptions* to, const host_link_options& o) {
  natsStatus s = NATS_OK;
  if (!o.user.empty()) {
    s = natsOptions_SetUserInfo(to, o.user.c_str(), o.password.c_str());
  }
  if (s == NATS_OK && !o.nkey_seed_file.empty()) {
    s = natsOptions_SetNKeyFromSeed(to, o.nkey_public.c_str(), o.nkey_seed_file.c_str());
  }
  if (s == NATS_OK && !o.credentials_file.empty()) {
    s = natsOptions_SetUserCredentialsFromFiles(to, o.credentials_file.c_str(), nullptr);
  }
  if (s == NATS_OK && o.tls) s = natsOptions_SetSecure(to, true);
  if (s == NATS_OK && !o.ca_file.empty()) {
    s = natsOptions_LoadCATrustedCertificates(to, o.ca_file.c_str());
  }
  if (s == NATS_OK && !o.certificate_file.empty()) {
    s = natsOptions_LoadCertificatesChain(to, o.certificate_file.c_str(), o.key_file.c_str());
  }
  return s;
}

// The defaults of the client library hide a death for minutes, and keep megabytes of what is old.
natsStatus set_liveness(natsOptions* to, std::int64_t lease_ns) {
  const std::int64_t ping = std::clamp<std::int64_t>(lease_ns / 3'000'000, 20, ping_ms);
  natsStatus s = natsOptions_SetPingInterval(to, ping);
  if (s == NATS_OK) s = natsOptions_SetMaxPingsOut(to, pings_out_max);
  if (s == NATS_OK) s = natsOptions_SetTimeout(to, connect_ms);
  if (s == NATS_OK) s = natsOptions_SetAllowReconnect(to, true);
  if (s == NATS_OK) s = natsOptions_SetMaxReconnect(to, -1);
  if (s == NATS_OK) s = natsOptions_SetCustomReconnectDelay(to, reconnect_delay, nullptr);
  if (s == NATS_OK) s = natsOptions_SetReconnectBufSize(to, 1);
  if (s == NATS_OK) s = natsOptions_SetSendAsap(to, true);
  return s;
}

// The client library sends no signature where its first byte is 0, so servers refuse one of 256
// connections by nkey: a refusal counts if it comes three times.
natsStatus connect_with(natsOptions* options, const host_link_options& o, natsConnection** made) {
  natsStatus s = NATS_CONNECTION_AUTH_FAILED;
  const int attempts_max = o.nkey_seed_file.empty() ? 1 : 3;
  for (int i = 0; i < attempts_max && s == NATS_CONNECTION_AUTH_FAILED; ++i) {
    s = natsConnection_Connect(made, options);
  }
  return s;
}

int error_of(natsStatus refused) noexcept {
  switch (refused) {
    case NATS_NO_MEMORY: return ENOMEM;
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED: return EACCES;
    case NATS_INVALID_ARG: return EINVAL;
    default: return ECONNREFUSED;
  }
}

}  // namespace

bool detail::is_one_identity(const host_link_options& o) noexcept {
  const int identities = static_cast<int>(!o.user.empty()) +
                         static_cast<int>(!o.nkey_seed_file.empty()) +
                         static_cast<int>(!o.credentials_file.empty());
  return identities <= 1 && o.nkey_seed_file.empty() == o.nkey_public.empty() &&
         o.certificate_file.empty() == o.key_file.empty();
}

result<natsConnection*> connect_nats(const host_link_options& options, natsOptions* with) noexcept
    try {
  if (!detail::is_one_identity(options)) return failure(EINVAL);
  natsStatus s = set_servers(with, options);
  if (s == NATS_OK) s = set_identity(with, options);
  if (s == NATS_OK) s = set_liveness(with, options.lease_ns);
  if (s != NATS_OK) return failure(s == NATS_NO_MEMORY ? ENOMEM : EINVAL);
  natsConnection* made = nullptr;
  s = connect_with(with, options, &made);
  if (s != NATS_OK) return failure(error_of(s));
  return made;
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

}  // namespace ufence

// A connection of one's own to the servers of a host_link, for what has to travel beside its
// fences. What is done with it is the client library's (nats/nats.h of libnats-dev).
#pragma once

#include "ufence/base/api.h"
#include "ufence/base/result.h"
#include "ufence/net/host_link.h"

// As nats/nats.h declares them, which programs that only import and export do without.
typedef struct __natsConnection natsConnection;  // NOLINT(bugprone-reserved-identifier)
typedef struct __natsOptions natsOptions;        // NOLINT(bugprone-reserved-identifier)

namespace ufence {

namespace detail {
/// Does it say in one way who it is, and all of that?
[[nodiscard]] bool is_one_identity(const host_link_options& options) noexcept;
}  // namespace detail

/// Connects as host_link::connect() does: to the same servers, as the same user, over TLS if it
/// does; with a sign of life each second or more often, for ever again after it was lost, and
/// without a buffer for what is sent meanwhile.
/// @param with  options of the caller, its callbacks for instance; gets those that were named
/// @return  the caller's, for natsConnection_Destroy(); -EINVAL the options; -ECONNREFUSED no
///          server can be reached; -EACCES refused; -ENOMEM
/// Threads: any. Blocks: up to two seconds for each server.
[[nodiscard]] UFENCE_API result<natsConnection*> connect_nats(const host_link_options& options,
                                                              natsOptions* with) noexcept;

}  // namespace ufence

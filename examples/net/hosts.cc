// Two hosts: one does work, the other waits for it.
//   hosts owner URL     signals three points of the timeline "work", and fails it after the last
//   hosts waiter URL    waits for each, on the same host or another one
// URL: nats://HOST:PORT, of a nats-server with JetStream (`ufence net serve`)
#include <cstdint>
#include <cstdio>
#include <string>

#include "ufence/net/host_link.h"

static int be_owner(ufence::host_link& link) {
  auto issuer = ufence::timeline_issuer::create({.driver_name = "hosts", .timeline_name = "work"});
  if (!issuer) return 1;
  auto out = link.export_timeline(std::move(*issuer), "work");
  if (!out) return std::printf("export: %s\n", out.error().message().c_str()), 1;
  std::printf("point 3 is %s\n", out->at(3)->to_string().c_str());
  for (std::uint64_t point = 1; point <= 3; ++point) out->signal_up_to(point);
  out->fail(-ENODATA);
  // Messages of before are with the server when this returns 0.
  return out->flush(ufence::deadline_after(10'000'000'000)) ? 1 : 0;
}

static int be_waiter(ufence::host_link& link) {
  // It may begin before the owner does.
  auto in = link.import_timeline("work", {.find_within_ns = ufence::no_deadline});
  if (!in) return 1;
  for (std::uint64_t point = 1; point <= 4; ++point) {
    const auto fence = in->fence_at(point);
    if (!fence) return 1;
    const std::error_code result = (*fence)->wait_result();
    std::printf("point %d: %s\n", static_cast<int>(point),
                result ? result.message().c_str() : "reached");
  }
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 3) return std::printf("usage: hosts owner|waiter URL\n"), 2;
  auto link = ufence::host_link::connect({.servers = {argv[2]}, .namespace_ = "demo"});
  if (!link) return std::printf("%s: %s\n", argv[2], link.error().message().c_str()), 1;
  return std::string(argv[1]) == "owner" ? be_owner(*link) : be_waiter(*link);
}

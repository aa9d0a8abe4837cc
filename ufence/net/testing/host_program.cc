// Another host of the tests: exports one timeline, and does what it is told line by line.
//   host_program URL NAMESPACE NAME LEASE_NS
//   signal N | fail E | flush | ended | at N | import NAME | reach N | status N
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <utility>

#include "ufence/net/host_link.h"

namespace {

constexpr std::int64_t patience_ns = 120'000'000'000;

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  ufence::host_link_options options{.servers = {argv[1]}, .namespace_ = argv[2]};
  options.lease_ns = std::atoll(argv[4]);
  options.host_name = "other";
  auto link = ufence::host_link::connect(options);
  if (!link) return std::printf("connect: %s\n", link.error().message().c_str()), 1;
  auto issuer = ufence::timeline_issuer::create({.driver_name = "child", .timeline_name = argv[3]});
  auto out = link->export_timeline(std::move(*issuer), argv[3], {.within_ns = patience_ns});
  if (!out) return std::printf("export: %s\n", out.error().message().c_str()), 1;
  std::cout << "ready" << std::endl;
  std::optional<ufence::remote_timeline> in;
  for (std::string line; std::getline(std::cin, line);) {
    const std::size_t space = line.find(' ');
    const std::string what = line.substr(0, space);
    const long long number = space == std::string::npos ? 0 : std::atoll(line.c_str() + space);
    if (what == "signal") out->signal_up_to(static_cast<std::uint64_t>(number));
    if (what == "fail") out->fail(static_cast<int>(number));
    if (what == "flush") {
      std::cout << -out->flush(ufence::deadline_after(patience_ns)).value() << std::endl;
    } else if (what == "ended") {
      std::cout << out->ended()->wait_result(ufence::deadline_after(patience_ns)).value()
                << std::endl;
    } else if (what == "import") {
      in = std::move(
          *link->import_timeline(line.substr(space + 1), {.find_within_ns = patience_ns}));
      std::cout << (in->wait_found(ufence::deadline_after(patience_ns)) ? "not found" : "found")
                << std::endl;
    } else if (what == "reach") {
      const auto point = in->fence_at(static_cast<std::uint64_t>(number)).value();
      std::cout << point->wait_result(ufence::deadline_after(patience_ns)).value() << std::endl;
    } else if (what == "status") {
      std::cout << in->fence_at(static_cast<std::uint64_t>(number)).value()->status() << std::endl;
    } else if (what == "at") {
      std::cout << out->at(static_cast<std::uint64_t>(number))->to_string() << std::endl;
    } else {
      std::cout << "done" << std::endl;
    }
  }
  return 0;
}

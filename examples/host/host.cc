// A host with two drivers: (2 + 3) * 7. The product waits for the sum, and the driver that made the sum is
// unloaded while its fence is held.
//     host ADDER MULTIPLIER
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "ufence/issuer/host.h"

#include "job.h"

namespace {

std::span<const std::byte> bytes_of(const job_args& args) { return std::as_bytes(std::span(&args, 1)); }

// True if it is unmapped; else it says why not.
bool unload(ufence::host& host, const ufence::device_ref& device) {
  const auto report = host.unload(device);
  if (report && report->state == ufence::unload_state::unmapped) return true;
  std::fprintf(stderr, "%s stays\n", std::string(device->driver_name()).c_str());
  if (report) {
    for (const std::string& pin : report->pins) std::fprintf(stderr, "  %s\n", pin.c_str());
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: host ADDER MULTIPLIER\n"), 2;
  ufence::host host;
  std::string why;
  const auto adder = host.load(argv[1], &why);
  if (!adder) return std::fprintf(stderr, "%s\n", why.c_str()), 1;
  const auto multiplier = host.load(argv[2], &why);
  if (!multiplier) return std::fprintf(stderr, "%s\n", why.c_str()), 1;

  const std::int64_t two = 2, three = 3, seven = 7;
  std::int64_t sum = 0, product = 0;
  const auto summed = (*adder)->submit({.args = bytes_of({&two, &three, &sum})});
  if (!summed) return 1;
  const auto multiplied = (*multiplier)->submit(
      {.args = bytes_of({&sum, &seven, &product}), .in_fences = std::span(&*summed, 1)});
  if (!multiplied || (*multiplied)->wait_result()) return 1;
  if (!unload(host, *adder) || !unload(host, *multiplier)) return 1;

  std::printf("%lld\n%s\n%s\n", static_cast<long long>(product), (*summed)->describe().c_str(),
              (*multiplied)->describe().c_str());
  return product == 35 && (*summed)->status() == 1 && (*multiplied)->status() == 1 ? 0 : 1;
}

// A job of a module that is unloaded before its result is looked at.
//     quickstart [cpu.so]
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

#include "ufence/drivers/cpu.h"
#include "ufence/issuer/host.h"

int main(int argc, char** argv) {
  ufence::host host;
  std::string why;
  const auto cpu = host.load(argc > 1 ? argv[1] : "/usr/lib/ufence/drivers/cpu.so", &why);
  if (!cpu) return std::printf("%s\n", why.c_str()), 1;

  const std::string_view text = "abc";
  std::array<std::uint8_t, UFENCE_CPU_DIGEST_SIZE> sum{};
  ufence_cpu_sha256 state{};
  ufence_cpu_sha256_update job{};
  job.state = &state;
  job.data = text.data();
  job.size = text.size();
  job.digest = sum.data();
  job.flags = UFENCE_CPU_FIRST | UFENCE_CPU_LAST;
  const auto done = (*cpu)->submit(
      {.opcode = UFENCE_CPU_SHA256, .args = std::as_bytes(std::span(&job, 1))});
  if (!done) return 1;

  const auto report = host.unload(*cpu);  // waits for the job; then the module's code is gone
  if (!report || report->state != ufence::unload_state::unmapped) return 1;
  if ((*done)->wait_result()) return 1;  // its fence is not: was the work done?
  for (const std::uint8_t byte : sum) std::printf("%02x", unsigned{byte});
  std::printf("\n%s\n", (*done)->describe().c_str());
}

// load_driver FILE...: loads each driver, has it add two numbers, unloads it while its fence is held,
// and reads the fence afterwards.
#include <ufence/issuer/host.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "sum.h"

namespace {

void expect(bool condition, const char* path, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s: expected: %s\n", path, what);
  std::exit(1);
}

void check_driver(ufence::host& host, const char* path) {
  std::string why;
  ufence::result<ufence::device_ref> device = host.load(path, &why);
  if (!device) {
    std::fprintf(stderr, "%s: %s\n", path, why.c_str());
    std::exit(1);
  }
  const std::string name((*device)->driver_name());

  std::int64_t sum = 0;
  const sum_args args{.a = 40, .b = 2, .sum = &sum};
  const ufence::job_request request{.opcode = SUM_OPCODE,
                                    .args = std::as_bytes(std::span(&args, 1))};
  const ufence::result<ufence::fence_ref> done = (*device)->submit(request);
  expect(done.has_value(), path, "the job is taken");
  expect(!(*done)->wait(ufence::no_deadline), path, "the job ends");
  expect(sum == 42, path, "40 + 2 = 42");

  const ufence::result<ufence::unload_report> report = host.unload(*device);
  expect(report && report->state == ufence::unload_state::unmapped, path, "it is unmapped");
  expect((*done)->status() == 1, path, "the fence that it left says success");
  expect((*done)->driver_name() == name, path, "the fence that it left knows its driver");
  std::printf("%s: ok\n", name.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: load_driver FILE...\n");
    return 2;
  }
  ufence::host host;
  for (int i = 1; i < argc; ++i) check_driver(host, argv[i]);
}

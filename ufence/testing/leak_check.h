// The main of our test programs: runs GoogleTest and fails each test that leaves something behind.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ufence/testing/probe.h"

namespace ufence::testing {

using probe_list = std::vector<std::unique_ptr<probe>>;

/// File descriptors, threads, mapped modules.
[[nodiscard]] probe_list process_probes();

/// What `probe` finds leaked since `before`, one line each; empty if nothing. Looks again, for as
/// long as the probe's things may linger, before it calls something leaked.
[[nodiscard]] std::vector<std::string> find_leaks(const probe& probe, const probe::view& before);

/// Runs the tests that the command line selects, comparing what the probes see at the end of each
/// test with its begin (fixtures included). Returns the exit status of the program.
[[nodiscard]] int run_all_tests(int argc, char** argv, probe_list probes);

}  // namespace ufence::testing

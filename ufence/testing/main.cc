// main() of the tests of layers below fence.
#include "ufence/testing/leak_check.h"

int main(int argc, char** argv) {
  return ufence::testing::run_all_tests(argc, argv, ufence::testing::process_probes());
}

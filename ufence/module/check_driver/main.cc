// ufence-check-driver FILE...: would a host load these modules, and could it unmap them? Run after
// each link by ufence_add_driver(). Exit status: 0 yes; 1 no; 2 usage, or out of memory.
#include <cstdio>
#include <exception>

#include "ufence/module/inspect.h"

namespace {

bool check(const char* path) {
  const ufence::module_info info = ufence::inspect(path);
  for (const std::string& w : info.warnings) {
    std::fprintf(stderr, "%s: warning: %s\n", path, w.c_str());
  }
  for (const std::string& p : info.problems) std::fprintf(stderr, "%s: %s\n", path, p.c_str());
  return info.is_loadable();
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fprintf(stderr, "usage: ufence-check-driver FILE...\n");
    return 2;
  }
  bool all_good = true;
  for (int i = 1; i < argc; ++i) all_good &= check(argv[i]);
  return all_good ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "ufence-check-driver: %s\n", e.what());
  return 2;
}

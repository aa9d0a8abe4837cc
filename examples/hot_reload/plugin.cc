// A driver that answers with a number, which rebuild.sh compiles in.
#include <ufence/driver.hpp>

namespace {

class oracle {
 public:
  explicit oracle(ufence::driver::services host) : host_(host) {}
  int submit(ufence::driver::job& job) {
    int** const answer = ufence::driver::args_of<int*>(job);
    if (answer == nullptr) return -EINVAL;
    **answer = ANSWER;
    host_.signal(job, 0);
    return 0;
  }
  void stop() {}

 private:
  ufence::driver::services host_;
};

}  // namespace

UFENCE_CPP_DRIVER(oracle, "oracle", nullptr, "answers with a number that was compiled in");

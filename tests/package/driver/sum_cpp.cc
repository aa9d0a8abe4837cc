// The same driver in C++. Its std::make_shared would keep the module mapped for ever if
// ufence_add_driver() did not see to it.
#include <ufence/driver.hpp>

#include <cerrno>
#include <memory>

#include "sum.h"

namespace {

class adder {
 public:
  explicit adder(ufence::driver::services host)
      : host_(host), total_(std::make_shared<std::int64_t>(0)) {}

  int submit(ufence::driver::job& j) {
    auto* args = ufence::driver::args_of<sum_args>(j);
    if (j.opcode != SUM_OPCODE || args == nullptr) return -EINVAL;
    *args->sum = args->a + args->b;
    *total_ += *args->sum;
    host_.signal(j, 0);
    return 0;
  }
  void stop() {}

 private:
  ufence::driver::services host_;
  std::shared_ptr<std::int64_t> total_;
};

}  // namespace

UFENCE_CPP_DRIVER(adder, "sum_cpp", nullptr, "adds two numbers, in C++");

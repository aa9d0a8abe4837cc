// Runs the suites that are written in C, in the kernel's style: a test for each case.
#include <gtest/gtest.h>

#include <string>

#include "ufence/kernel/testing/shim/kunit/test.h"

extern "C" {
extern kunit_suite* const kunit_dma_fence;
extern kunit_suite* const kunit_dma_fence_chain;
extern kunit_suite* const kunit_dma_fence_unwrap;
extern kunit_suite* const kunit_dma_fence_behaviour;
extern kunit_suite* const kunit_enable;
extern kunit_suite* const kunit_nested;
extern kunit_suite* const kunit_resv;
extern kunit_suite* const kunit_names;
extern kunit_suite* const kunit_dma_resv;
extern kunit_suite* const kunit_sync_file_suite;
extern kunit_suite* const kunit_headers;
extern kunit_suite* const kunit_tasks;
extern kunit_suite* const kunit_other_shim;
extern kunit_suite* const kunit_replaced;
extern kunit_suite* const kunit_gpu_scheduler;
extern kunit_suite* const kunit_gpu_scheduler_driver;
extern kunit_suite* const kunit_drm_exec;
extern kunit_suite* const kunit_drm_exec_locking;
}

namespace ufence {
namespace {

class kunit_case_test : public testing::Test {
 public:
  kunit_case_test(const kunit_suite& suite, const kunit_case& which)
      : suite_(suite), case_(which) {}

 private:
  // An assertion jumps here, over frames of C only.
  void TestBody() override {
    kunit test;
    if (suite_.init != nullptr) {
      ASSERT_EQ(suite_.init(&test), 0);
    }
    if (setjmp(test.end) == 0) case_.run_case(&test);
    if (setjmp(test.end) == 0 && suite_.exit != nullptr) suite_.exit(&test);
  }

  const kunit_suite& suite_;
  const kunit_case& case_;
};

// Before main(), as TEST() does it.
const bool registered = [] {
  for (const kunit_suite* suite : {kunit_dma_fence, kunit_dma_fence_chain, kunit_dma_fence_unwrap,
                                   kunit_dma_fence_behaviour, kunit_enable, kunit_nested,
                                   kunit_names, kunit_resv, kunit_dma_resv, kunit_sync_file_suite, kunit_headers,
                                   kunit_tasks,
                                   kunit_other_shim, kunit_replaced, kunit_gpu_scheduler,
                                   kunit_gpu_scheduler_driver, kunit_drm_exec,
                                   kunit_drm_exec_locking}) {
    for (const kunit_case* c = suite->test_cases; c->run_case != nullptr; ++c) {
      testing::RegisterTest(suite->name, c->name, nullptr, nullptr, __FILE__, __LINE__,
                            [suite, c]() -> testing::Test* { return new kunit_case_test(*suite, *c); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace ufence

void kunit_report(const char* file, int line, const char* text) {
  ADD_FAILURE_AT(file, line) << text;
}

// The library's reports during a run, on stderr: each line once.
#pragma once

#include <mutex>
#include <set>
#include <string>

#include "ufence/fence/report.h"

namespace ufence::tool {

/// The report handler of the process while it lives: a driver says at each load what it has to say,
/// and is loaded again and again. One at a time.
class told_reports {
 public:
  told_reports();
  ~told_reports();
  told_reports(const told_reports&) = delete;
  told_reports& operator=(const told_reports&) = delete;

 private:
  void tell(const report& what);

  std::mutex mutex_;
  std::set<std::string> told_;
};

}  // namespace ufence::tool

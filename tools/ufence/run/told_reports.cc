#include "tools/ufence/run/told_reports.h"

#include <fmt/format.h>

#include <cstdio>
#include <exception>

namespace ufence::tool {
namespace {

std::string line_of(const report& what) {
  std::string line = fmt::format("ufence: {}: ", to_string(what.kind));
  if (what.context != 0) {
    line += fmt::format("fence {}:{} {} {}: ", what.context, what.seqno, what.timeline_name,
                        what.driver_name);
  } else if (!what.driver_name.empty()) {
    line += fmt::format("{}: ", what.driver_name);
  }
  return line.append(what.text).append("\n");
}

}  // namespace

told_reports::told_reports() {
  const auto handler = [](const report& what, void* context) noexcept {
    try {
      static_cast<told_reports*>(context)->tell(what);
    } catch (const std::exception&) {
      // No memory for the line.
    }
  };
  // Without memory for that the library's own handler tells everything.
  static_cast<void>(set_report_handler(handler, this));
}

told_reports::~told_reports() { static_cast<void>(set_report_handler(nullptr, nullptr)); }

void told_reports::tell(const report& what) {
  const std::scoped_lock lock(mutex_);
  const auto [line, is_new] = told_.insert(line_of(what));
  if (is_new) static_cast<void>(std::fputs(line->c_str(), stderr));
}

}  // namespace ufence::tool

#include "bench/report.h"

#include <string>

namespace ufence::bench {
namespace {

// Names and reasons are ASCII, but paths and messages of others may be in the reasons.
std::string quoted(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    json += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return json + '"';
}

std::string number(double value) {
  char text[32];
  static_cast<void>(std::snprintf(text, sizeof text, "%.4g", value));
  return text;
}

// With four significant digits, and no exponent: times reach seconds.
std::string nanoseconds(double value) {
  char text[32];
  const int decimals = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3;
  static_cast<void>(std::snprintf(text, sizeof text, "%.*f", decimals, value));
  return text;
}

}  // namespace

void print_json(std::FILE* to, const measurement& m) {
  std::string line = "{\"name\":" + quoted(m.name) + ",\"what\":" + quoted(m.what);
  const auto add = [&line](std::string_view key, const std::string& value) {
    line.append(",\"").append(key).append("\":").append(value);
  };
  if (m.why_skipped.empty()) {
    add("ns", nanoseconds(m.ns));
    add("ns_min", nanoseconds(m.ns_min));
  }
  add("baseline", quoted(m.baseline));
  if (m.why_skipped.empty()) {
    add("baseline_ns", nanoseconds(m.baseline_ns));
    add("baseline_ns_min", nanoseconds(m.baseline_ns_min));
    add("ratio", number(m.ratio()));
  }
  if (m.has_kernel()) add("kernel_told_ns", nanoseconds(m.kernel_told_ns));
  if (m.has_target()) add("target", number(m.target));
  if (m.why_skipped.empty()) {
    if (m.has_target()) add("reached", m.is_reached() ? "true" : "false");
    add("pairs", std::to_string(m.pairs));
    add("operations", std::to_string(m.operations));
  } else {
    add("skipped", quoted(m.why_skipped));
  }
  static_cast<void>(std::fprintf(to, "%s}\n", line.c_str()));
}

void print_table(std::FILE* to, const std::vector<measurement>& results) {
  static_cast<void>(std::fprintf(to, "%-28s %12s %14s %8s %8s\n", "", "ours, ns", "baseline, ns",
                                 "ratio", "target"));
  for (const measurement& m : results) {
    const std::string name(m.name);
    if (!m.why_skipped.empty()) {
      static_cast<void>(
          std::fprintf(to, "%-28s skipped: %s\n", name.c_str(), m.why_skipped.c_str()));
    } else {
      static_cast<void>(std::fprintf(to, "%-28s %12s %14s %8s %8s%s\n", name.c_str(),
                                     nanoseconds(m.ns).c_str(), nanoseconds(m.baseline_ns).c_str(),
                                     number(m.ratio()).c_str(),
                                     m.has_target() ? number(m.target).c_str() : "-",
                                     m.has_target() && !m.is_reached() ? "  missed" : ""));
    }
    static_cast<void>(std::fprintf(to, "    %s  |  %s\n", m.what.c_str(), m.baseline.c_str()));
    if (m.has_kernel()) {
      static_cast<void>(std::fprintf(to, "    the kernel's code, told of another machine: %s ns\n",
                                     nanoseconds(m.kernel_told_ns).c_str()));
    }
  }
}

}  // namespace ufence::bench

#include "lab/engine/text.h"

#include <cstdio>
#include <string_view>

#include "lab/engine/failure.h"

namespace ufence::lab {

std::string place_name(const std::source_location& where) {
  std::string_view file = where.file_name();
  if (file.empty()) return "?";
  if (const std::size_t slash = file.rfind('/'); slash != file.npos) file.remove_prefix(slash + 1);
  return std::string(file) + ":" + std::to_string(where.line());
}

std::string function_name(const std::source_location& where) {
  std::string_view name = where.function_name();
  name = name.substr(0, name.find('('));
  if (const std::size_t space = name.rfind(' '); space != name.npos) name.remove_prefix(space + 1);
  while (!name.empty() && (name.front() == '*' || name.front() == '&')) name.remove_prefix(1);
  for (const std::string_view outer : {"ufence::", "lab::", "detail::"}) {
    if (name.starts_with(outer)) name.remove_prefix(outer.size());
  }
  return std::string(name);
}

std::string thread_name(unsigned thread) { return "T" + std::to_string(thread); }

std::string order_name(std::memory_order order) {
  switch (order) {
    case std::memory_order_relaxed: return "relaxed";
    case std::memory_order_consume:
    case std::memory_order_acquire: return "acquire";
    case std::memory_order_release: return "release";
    case std::memory_order_acq_rel: return "acq_rel";
    case std::memory_order_seq_cst: return "seq_cst";
  }
  return "?";
}

std::string value_name(std::uint64_t value) {
  constexpr std::uint64_t small = 100'000;
  if (value <= small) return std::to_string(value);
  if (~value < small) return "-" + std::to_string(~value + 1);
  char text[20];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string_view to_string(failure kind) noexcept {
  switch (kind) {
    case failure::none: return "none";
    case failure::check_failed: return "check failed";
    case failure::data_race: return "data race";
    case failure::use_after_free: return "use after free";
    case failure::double_free: return "double free";
    case failure::bad_access: return "bad access";
    case failure::bad_free: return "bad free";
    case failure::deadlock: return "deadlock";
    case failure::lost_wakeup: return "lost wakeup";
    case failure::livelock: return "livelock";
    case failure::uninitialised: return "uninitialised read";
    case failure::leak: return "leak";
    case failure::misuse: return "misuse";
    case failure::not_explorable: return "not explorable";
    case failure::not_repeatable: return "not repeatable";
  }
  return "?";
}

}  // namespace ufence::lab

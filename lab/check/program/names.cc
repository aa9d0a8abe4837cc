#include "lab/check/program/names.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <sstream>

namespace ufence::lab::check {

object_names::object_names(const std::string& library) {
  const std::string command = "nm -C -S --defined-only '" + library + "'";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> nm(::popen(command.c_str(), "r"),
                                                           &::pclose);
  if (nm == nullptr) return;
  char line[1024];
  while (std::fgets(line, sizeof line, nm.get()) != nullptr) {
    std::istringstream in(line);
    object o{};
    char kind = 0;
    if (!(in >> std::hex >> o.begin >> o.bytes >> kind)) continue;
    constexpr std::string_view data_kinds = "bBdDuVv";
    if (data_kinds.find(kind) == std::string_view::npos) continue;
    std::getline(in >> std::ws, o.name);
    objects_.push_back(std::move(o));
  }
  std::ranges::sort(objects_, {}, &object::begin);
}

std::string object_names::name_of(std::uintptr_t address, std::uintptr_t base) const {
  const std::uintptr_t at = address - base;
  auto o = std::ranges::upper_bound(objects_, at, {}, &object::begin);
  if (o == objects_.begin()) return {};
  --o;
  if (at >= o->begin + o->bytes) return {};
  return at == o->begin ? o->name : o->name + " +" + std::to_string(at - o->begin);
}

}  // namespace ufence::lab::check

// The names of the explored program's static objects.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ufence::lab::check {

class object_names {
 public:
  /// Of a library that will be loaded.
  explicit object_names(const std::string& library);

  /// "counter", "table +8"; empty: the address is in no object.
  [[nodiscard]] std::string name_of(std::uintptr_t address, std::uintptr_t base) const;

 private:
  struct object {
    std::uintptr_t begin;
    std::uintptr_t bytes;
    std::string name;
  };
  std::vector<object> objects_;  // rising
};

}  // namespace ufence::lab::check

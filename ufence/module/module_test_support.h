// For tests of modules: where the test modules are, and scratch copies of them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace ufence {

/// The path of a module of testing/.
[[nodiscard]] std::string test_module(std::string_view name);

[[nodiscard]] std::string read_file(const std::string& path);

/// A folder under the test modules' that goes with the object.
class scratch_folder {
 public:
  scratch_folder();
  ~scratch_folder();
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;

  [[nodiscard]] std::string path(std::string_view name) const;
  /// A new file with a copy of a test module; replaces a file of that name by rename().
  std::string copy(std::string_view module, std::string_view name) const;
  std::string write(std::string_view name, std::string_view bytes) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace ufence

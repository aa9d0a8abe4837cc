#include "ufence/module/module_test_support.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace ufence {

namespace fs = std::filesystem;

std::string test_module(std::string_view name) {
  return std::string(UFENCE_TEST_MODULES "/") + std::string(name) + ".so";
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

scratch_folder::scratch_folder() {
  std::string name = UFENCE_TEST_MODULES "/scratch-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no scratch folder");
  folder_ = name;
}

scratch_folder::~scratch_folder() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::string scratch_folder::path(std::string_view name) const { return (folder_ / name).string(); }

std::string scratch_folder::copy(std::string_view module, std::string_view name) const {
  const fs::path fresh = folder_ / (std::string(name) + ".new");
  fs::copy_file(test_module(module), fresh);
  fs::rename(fresh, folder_ / name);
  return path(name);
}

std::string scratch_folder::write(std::string_view name, std::string_view bytes) const {
  std::ofstream out(folder_ / name, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path(name);
}

}  // namespace ufence
